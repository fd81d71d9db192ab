package business

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/consignwatch/consignwatch/pkg/catalog"
)

// client is a tenant that is active.
type client struct {
	id   id
	slug string
}

// saleEvent is a sale event of an active client.
type saleEvent struct {
	id      id
	literal string // of the id, in SQL
	client  string
	// changing events are read each round, the others once and then at long intervals.
	changing bool
	// exposed events have series of their own; the others only count in the totals of their client.
	exposed bool
	// labels are further columns of the list by name, `client` and `event` among them.
	labels map[string]string
}

// listing is the state of the directory at one moment. It never changes.
type listing struct {
	read    time.Time
	clients []client
	events  []saleEvent
	slugs   []string      // of the clients, in order
	slugOf  map[id]string // by client id
	// rejected are the rows that cannot be used: a client that is not listed, or has a sale event that is not.
	rejected []rejectedRow
	exposed  map[string][]string // slugs of the exposed sale events by client, those that change first
}

// directory lists clients and sale events, read once an interval for all queries together.
type directory struct {
	db   *reader
	pack *Pack
	log  *slog.Logger

	lock    chan struct{} // a lock of current: holds one token while it is free
	current *listing
}

// The lists in messages.
const (
	listOfClients = "list of clients"
	listOfEvents  = "list of sale events"
)

func (l *List) statement(name string) statement {
	return statement{name: name, text: l.SQL, limit: duration(l.Timeout)}
}

func newDirectory(db *reader, p *Pack) *directory {
	d := &directory{db: db, pack: p, log: slog.New(slog.DiscardHandler), lock: make(chan struct{}, 1)}
	d.lock <- struct{}{}
	return d
}

// get returns a listing that is not older than the interval.
func (d *directory) get(ctx context.Context) (*listing, error) {
	select {
	case <-d.lock:
	case <-ctx.Done():
		return nil, fmt.Errorf("wait for the list of clients and sale events: %w", ctx.Err())
	}
	defer func() { d.lock <- struct{}{} }()
	// The shorter of the two intervals, less a tenth: the queries of the next round get a fresh list.
	age := min(duration(d.pack.Clients.Interval), duration(d.pack.SaleEvents.Interval)) * 9 / 10
	if d.current != nil && time.Since(d.current.read) < age {
		return d.current, nil
	}
	l := &listing{read: time.Now(), slugOf: map[id]string{}}
	if err := d.readClients(ctx, l); err != nil {
		return nil, fmt.Errorf("%s: %w", listOfClients, err)
	}
	if err := d.readEvents(ctx, l); err != nil {
		return nil, fmt.Errorf("%s: %w", listOfEvents, err)
	}
	l.exposed = map[string][]string{}
	for _, changing := range []bool{true, false} {
		for _, e := range l.events {
			if e.exposed && e.changing == changing {
				l.exposed[e.client] = append(l.exposed[e.client], e.labels["event"])
			}
		}
	}
	d.current = l
	return l, nil
}

func (d *directory) readClients(ctx context.Context, l *listing) error {
	return d.db.query(ctx, d.pack.Clients.statement(listOfClients), func(r *row) error {
		c, err := readClient(r)
		if err != nil {
			return l.reject(catalog.Other, err)
		}
		l.clients = append(l.clients, c)
		l.slugs = append(l.slugs, c.slug)
		l.slugOf[c.id] = c.slug
		return nil
	})
}

func readClient(r *row) (c client, err error) {
	if c.id, err = r.id("client_id"); err != nil {
		return client{}, err
	}
	c.slug, err = r.label("client")
	return c, err
}

// reject leaves out a row that cannot be used. What is wrong with the list as a whole is returned.
func (l *listing) reject(client string, err error) error {
	wrong, ok := asRowError(err)
	if !ok {
		return err
	}
	l.rejected = append(l.rejected, rejectedRow{client, wrong})
	return nil
}

func (d *directory) readEvents(ctx context.Context, l *listing) error {
	return d.db.query(ctx, d.pack.SaleEvents.statement(listOfEvents), func(r *row) error {
		owner, err := r.id("client_id")
		if err != nil {
			return l.reject(catalog.Other, err)
		}
		slug := l.slugOf[owner]
		if slug == "" {
			return nil // its client is not active
		}
		e, err := readSaleEvent(r, slug)
		if err != nil {
			return l.reject(slug, err)
		}
		l.events = append(l.events, e)
		return nil
	})
}

func readSaleEvent(r *row, client string) (e saleEvent, err error) {
	e = saleEvent{client: client, labels: map[string]string{}}
	if e.id, err = r.id("event_id"); err != nil {
		return e, err
	}
	if e.literal, err = r.literal("event_id"); err != nil {
		return e, err
	}
	for name, into := range map[string]*bool{"changing": &e.changing, "exposed": &e.exposed} {
		n, ok, err := r.number64(name)
		if err != nil {
			return e, err
		}
		*into = ok && n != 0
	}
	for name := range r.columns {
		switch name {
		case "event_id", "client_id", "changing", "exposed":
			continue
		}
		if e.labels[name], err = r.label(name); err != nil {
			return e, err
		}
	}
	e.labels["client"] = e.client
	return e, nil
}
