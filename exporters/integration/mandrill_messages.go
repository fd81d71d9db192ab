package integration

import (
	"context"
	"errors"
	"slices"
	"sort"
	"time"

	"github.com/consignwatch/consignwatch/pkg/catalog"
	"github.com/consignwatch/consignwatch/pkg/exporter"
)

// subaccountMessages is the target that asks subaccounts one by one for what became of their messages: some in each round, all in
// turn, so that a round never costs more than a few requests.
type subaccountMessages struct {
	api      *mandrillAPI
	list     *subaccountList
	perRound int
	interval time.Duration
	tally    *exporter.Tally
	now      func() time.Time

	// What lives from one collection to the next.
	last    string // the client that was asked for last
	windows map[string]mailWindow
}

// mailWindow is what became of a client's messages in the last 30 days, when it was asked for.
type mailWindow struct {
	counts []float64
	at     time.Time
}

func newSubaccountMessages(api *mandrillAPI, list *subaccountList, c *mandrillConfig, metrics *catalog.Catalog) *subaccountMessages {
	m := &subaccountMessages{
		api: api, list: list, perRound: c.SubaccountsPerRound, interval: time.Duration(c.Interval),
		tally: exporter.NewTally(metrics), now: time.Now, windows: map[string]mailWindow{},
	}
	api.service.begin(m.tally, "subaccount")
	return m
}

// Name is the name of the target.
func (m *subaccountMessages) Name() string { return "subaccount_messages" }

// Collect asks for those whose turn it is, and tells of all.
func (m *subaccountMessages) Collect(ctx context.Context, sink *exporter.Sink) error {
	err := m.round(ctx, sink)
	m.tally.Tell(sink.Always())
	return err
}

func (m *subaccountMessages) round(ctx context.Context, sink *exporter.Sink) error {
	clients, err := m.list.present(ctx)
	if err != nil {
		return err
	}
	for _, client := range m.turn(clients) {
		m.last = client // also when it fails: one that always fails must not keep the others from their turn
		if err := m.ask(ctx, client); err != nil && serviceOutcomeOf(err) != serviceNotFound {
			return err
		}
	}
	m.forget(clients)
	for client, w := range m.windows {
		for i, kind := range catalog.MailKinds() {
			sink.Gauge("consign_mandrill_client_messages", w.counts[i], client, kind)
		}
	}
	return nil
}

// turn is the clients whose turn it is, of a sorted list: those after the last one, and then from the beginning.
func (m *subaccountMessages) turn(clients []string) []string {
	at := sort.Search(len(clients), func(i int) bool { return clients[i] > m.last })
	all := slices.Concat(clients[at:], clients[:at])
	return all[:min(m.perRound, len(all))]
}

// forget drops what is not there any more, and what was not confirmed for three turns.
func (m *subaccountMessages) forget(clients []string) {
	rounds := (len(clients) + m.perRound - 1) / m.perRound
	oldest := m.now().Add(-3 * time.Duration(rounds) * m.interval)
	for client, w := range m.windows {
		if _, there := slices.BinarySearch(clients, client); !there || w.at.Before(oldest) {
			delete(m.windows, client)
		}
	}
}

func (m *subaccountMessages) ask(ctx context.Context, client string) error {
	var info struct {
		Last30Days *mailCounts `json:"last_30_days"`
	}
	err := m.api.call(ctx, m.tally, "subaccount", "subaccounts/info", map[string]string{"id": client}, func(body []byte) error {
		if err := readJSON(&info)(body); err != nil {
			return err
		}
		if info.Last30Days == nil {
			return errors.New("the answer lacks last_30_days")
		}
		return nil
	})
	switch {
	case err == nil:
		m.windows[client] = mailWindow{info.Last30Days.inOrder(), m.now()}
	case serviceOutcomeOf(err) == serviceNotFound:
		delete(m.windows, client)
	}
	return err
}
