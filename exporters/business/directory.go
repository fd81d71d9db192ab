package business

import (
	"context"
	"fmt"
	"time"
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
	slugs   []string            // of the clients, in order
	slugOf  map[id]string       // by client id
	exposed map[string][]string // slugs of the exposed sale events by client, those that change first
}

// directory lists clients and sale events, read once an interval for all queries together.
type directory struct {
	db   *reader
	pack *Pack

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
	d := &directory{db: db, pack: p, lock: make(chan struct{}, 1)}
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
		id, err := r.id("client_id")
		if err != nil {
			return err
		}
		slug, err := r.label("client")
		if err != nil {
			return err
		}
		l.clients = append(l.clients, client{id, slug})
		l.slugs = append(l.slugs, slug)
		l.slugOf[id] = slug
		return nil
	})
}

func (d *directory) readEvents(ctx context.Context, l *listing) error {
	return d.db.query(ctx, d.pack.SaleEvents.statement(listOfEvents), func(r *row) error {
		e := saleEvent{labels: map[string]string{}}
		var err error
		if e.id, err = r.id("event_id"); err != nil {
			return err
		}
		if e.literal, err = r.literal("event_id"); err != nil {
			return err
		}
		owner, err := r.id("client_id")
		if err != nil {
			return err
		}
		if e.client = l.slugOf[owner]; e.client == "" {
			return nil // its client is not active
		}
		for name, into := range map[string]*bool{"changing": &e.changing, "exposed": &e.exposed} {
			n, ok, err := r.number64(name)
			if err != nil {
				return err
			}
			*into = ok && n != 0
		}
		for name := range r.columns {
			switch name {
			case "event_id", "client_id", "changing", "exposed":
				continue
			}
			if e.labels[name], err = r.label(name); err != nil {
				return err
			}
		}
		e.labels["client"] = e.client
		l.events = append(l.events, e)
		return nil
	})
}
