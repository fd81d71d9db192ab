package mandrill

import (
	"context"
	"errors"
	"slices"
	"sort"
	"time"

	"github.com/consignwatch/consignwatch/exporters/integration/httpapi"
	"github.com/consignwatch/consignwatch/pkg/catalog"
	"github.com/consignwatch/consignwatch/pkg/exporter"
)

// subaccountMessages is the target that fetches the message counts of subaccounts one by one: some in each round, all in turn, so
// that a round never costs more than a few requests.
type subaccountMessages struct {
	api      *apiClient
	list     *subaccountList
	perRound int
	interval time.Duration
	recorder *exporter.Recorder
	now      func() time.Time

	// What lives from one collection to the next.
	last    string // the client that was fetched last
	windows map[string]mailWindow
}

// mailWindow is the message counts of a client over the last 30 days, at a time.
type mailWindow struct {
	counts []float64
	at     time.Time
}

func newSubaccountMessages(api *apiClient, list *subaccountList, c *Config, metrics *catalog.Catalog) *subaccountMessages {
	m := &subaccountMessages{
		api: api, list: list, perRound: c.SubaccountsPerRound, interval: time.Duration(c.Interval),
		recorder: exporter.NewRecorder(metrics), now: time.Now, windows: map[string]mailWindow{},
	}
	api.service.InitSeries(m.recorder, "subaccount")
	return m
}

// Name is the name of the target.
func (m *subaccountMessages) Name() string { return "subaccount_messages" }

// Collect fetches the clients whose turn it is, and reports all.
func (m *subaccountMessages) Collect(ctx context.Context, sink *exporter.Sink) error {
	err := m.round(ctx, sink)
	m.recorder.Collect(sink.Status())
	return err
}

func (m *subaccountMessages) round(ctx context.Context, sink *exporter.Sink) error {
	clients, err := m.list.present(ctx)
	if err != nil {
		return err
	}
	for _, client := range m.nextClients(clients) {
		m.last = client // also when it fails: a client that always fails must not block the others
		if err := m.fetch(ctx, client); err != nil && httpapi.OutcomeOf(err) != httpapi.NotFound {
			return err
		}
	}
	m.evict(clients)
	for client, w := range m.windows {
		for i, kind := range catalog.MailKinds() {
			sink.Gauge("consign_mandrill_client_messages", w.counts[i], client, kind)
		}
	}
	return nil
}

// nextClients is the clients to fetch in this round, of a sorted list: those after the last one, and then from the beginning.
func (m *subaccountMessages) nextClients(clients []string) []string {
	at := sort.Search(len(clients), func(i int) bool { return clients[i] > m.last })
	all := slices.Concat(clients[at:], clients[:at])
	return all[:min(m.perRound, len(all))]
}

// evict deletes clients that are gone, and those that were not fetched for three cycles.
func (m *subaccountMessages) evict(clients []string) {
	rounds := (len(clients) + m.perRound - 1) / m.perRound
	oldest := m.now().Add(-3 * time.Duration(rounds) * m.interval)
	for client, w := range m.windows {
		if _, there := slices.BinarySearch(clients, client); !there || w.at.Before(oldest) {
			delete(m.windows, client)
		}
	}
}

func (m *subaccountMessages) fetch(ctx context.Context, client string) error {
	var info struct {
		Last30Days *mailCounts `json:"last_30_days"`
	}
	err := m.api.call(ctx, m.recorder, "subaccount", "subaccounts/info", map[string]string{"id": client}, func(body []byte) error {
		if err := httpapi.ReadJSON(&info)(body); err != nil {
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
	case httpapi.OutcomeOf(err) == httpapi.NotFound:
		delete(m.windows, client)
	}
	return err
}
