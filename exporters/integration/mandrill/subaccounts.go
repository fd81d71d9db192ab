package mandrill

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/consignwatch/consignwatch/exporters/integration/httpapi"
	"github.com/consignwatch/consignwatch/pkg/catalog"
	"github.com/consignwatch/consignwatch/pkg/exporter"
)

// subaccountList is the target for the list of subaccounts: one for each client.
type subaccountList struct {
	api      *apiClient
	clients  map[string]bool
	recorder *exporter.Recorder
	now      func() time.Time

	sent map[string]*monotonicTotals // by client

	mu    sync.Mutex
	known []string // clients that have a subaccount
	seen  bool
}

func newSubaccountList(api *apiClient, clients []string, c *catalog.Catalog) *subaccountList {
	l := &subaccountList{api: api, clients: map[string]bool{}, recorder: exporter.NewRecorder(c), now: time.Now, sent: map[string]*monotonicTotals{}}
	for _, slug := range clients {
		l.clients[slug] = true
	}
	api.service.InitSeries(l.recorder, "list_subaccounts")
	return l
}

// Name is the name of the target.
func (l *subaccountList) Name() string { return "subaccounts" }

// subaccount is the used part of an entry of subaccounts/list.
type subaccount struct {
	ID         string    `json:"id"`
	Status     string    `json:"status"`
	Reputation float64   `json:"reputation"`
	CreatedAt  timestamp `json:"created_at"`
	SentTotal  float64   `json:"sent_total"`
}

// Collect fetches the list. Subaccounts that belong to no client are not reported: they are counted as rejected.
func (l *subaccountList) Collect(ctx context.Context, sink *exporter.Sink) error {
	all, err := l.fetch(ctx)
	l.recorder.Collect(sink.Status())
	if err != nil {
		return err
	}
	present := map[string]bool{}
	for _, s := range all {
		if !l.clients[s.ID] {
			sink.Reject("consign_mandrill_client_sent_total", "client")
			continue
		}
		present[s.ID] = true
		sent := l.sent[s.ID]
		if sent == nil {
			sent = &monotonicTotals{}
			l.sent[s.ID] = sent
		}
		sent.update(s.CreatedAt.String(), s.CreatedAt.Time, []float64{s.SentTotal}, l.now())
		sink.Counter("consign_mandrill_client_sent_total", sent.counts[0], sent.since, s.ID)
		sink.Gauge("consign_mandrill_subaccount_paused", exporter.Bool(s.Status == "paused"), s.ID)
		if s.SentTotal > 0 { // before the first message there is no reputation
			sink.Gauge("consign_mandrill_reputation", s.Reputation/100, s.ID)
		}
	}
	for client := range l.sent {
		if !present[client] {
			delete(l.sent, client)
		}
	}
	return nil
}

// fetch fetches the list, and keeps which clients are in it.
func (l *subaccountList) fetch(ctx context.Context) ([]subaccount, error) {
	var all []subaccount
	if err := l.api.call(ctx, l.recorder, "list_subaccounts", "subaccounts/list", nil, httpapi.ReadList(&all)); err != nil {
		return nil, err
	}
	var known []string
	for _, s := range all {
		if l.clients[s.ID] {
			known = append(known, s.ID)
		}
	}
	slices.Sort(known)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.known, l.seen = known, true
	return all, nil
}

// present lists the clients that had a subaccount when the list was last fetched; it fetches the list when it never was.
func (l *subaccountList) present(ctx context.Context) ([]string, error) {
	l.mu.Lock()
	known, seen := l.known, l.seen
	l.mu.Unlock()
	if seen {
		return known, nil
	}
	if _, err := l.fetch(ctx); err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.known, nil
}
