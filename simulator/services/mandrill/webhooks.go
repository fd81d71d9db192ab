package mandrill

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/consignwatch/consignwatch/simulator/services/webhook"
	"github.com/consignwatch/consignwatch/simulator/services/wire"
)

// Webhook is a webhook of the account.
type Webhook struct {
	ID      int64 // given by the fake
	URL     string
	AuthKey string   // signs batches
	Events  []string // empty: all
}

type hook struct {
	Webhook
	events     []any // that wait for the next batch
	failing    string
	lastSentAt time.Time
	lastError  string
}

const (
	batchEvery = time.Minute
	// eventsKept is how many events wait for a webhook at the most.
	eventsKept = 100_000
)

// AddWebhook adds a webhook, and returns it with its id.
func (f *Fake) AddWebhook(w Webhook) Webhook {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.lastID++
	w.ID = f.lastID
	f.hooks = append(f.hooks, &hook{Webhook: w})
	return w
}

// FailWebhook makes batches of a webhook fail with an error, as if its receiver did not answer; without an error, it
// works again, and what has waited is sent.
func (f *Fake) FailWebhook(id int64, problem string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	i := slices.IndexFunc(f.hooks, func(h *hook) bool { return h.ID == id })
	if i < 0 {
		return fmt.Errorf("mandrill: webhook %d: %w", id, ErrUnknown)
	}
	h := f.hooks[i]
	h.failing, h.lastError = problem, cmp.Or(problem, h.lastError)
	return nil
}

// subscribed says whether a webhook is about an event. Settings spell hard_bounce as events do.
func (h *hook) subscribed(event string) bool {
	return len(h.Events) == 0 || slices.Contains(h.Events, event)
}

// event puts an event into the next batch of each webhook that wants it.
func (f *Fake) event(m *message, event string) {
	state := m.state
	if event == Complain {
		state = "spam"
	}
	for _, h := range f.hooks {
		if !h.subscribed(event) {
			continue
		}
		if len(h.events) >= eventsKept {
			f.webhooks["refused"]++
			continue
		}
		body := map[string]any{
			"ts": m.sentAt.Unix(), "_id": m.id, "_version": m.id[:22], "state": state, "email": m.To, "sender": m.From,
			"subject": m.Subject, "metadata": m.Metadata, "subaccount": nil,
		}
		if m.Subaccount != "" {
			body["subaccount"] = m.Subaccount
		}
		h.events = append(h.events, map[string]any{"event": event, "_id": m.id, "ts": f.now().Unix(), "msg": body})
	}
}

// Flush sends what waits, as happens every minute.
func (f *Fake) Flush() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.drain()
	for _, h := range f.hooks {
		if h.failing != "" {
			if len(h.events) > 0 {
				f.webhooks["failed"]++
			}
			continue
		}
		for len(h.events) > 0 {
			n := min(len(h.events), webhook.MaxBatch)
			batch := webhook.Mandrill{Key: h.AuthKey, Events: wire.Marshal(h.events[:n])}
			if f.sender.Send(batch.Message(strconv.FormatInt(h.ID, 10), h.URL)) != nil {
				break // the events wait on
			}
			f.webhooks["sent"]++
			h.events = h.events[n:]
		}
	}
}

func (f *Fake) attempted(a webhook.Attempt) {
	f.mu.Lock()
	defer f.mu.Unlock()
	a.Count(f.webhooks)
	for _, h := range f.hooks {
		switch {
		case strconv.FormatInt(h.ID, 10) != a.Message.Endpoint:
		case a.Delivered:
			h.lastSentAt = f.now()
		case a.Status != 0:
			h.lastError = fmt.Sprintf("POST to %s failed: HTTP %d", h.URL, a.Status)
		default:
			h.lastError = fmt.Sprintf("POST to %s failed: no answer", h.URL)
		}
	}
}

// json returns a webhook as the API writes it. Its last error stays, even when later batches arrive. It needs the lock.
func (h *hook) json() map[string]any {
	v := map[string]any{"id": h.ID, "url": h.URL, "auth_key": h.AuthKey, "events": append([]string{}, h.Events...), "last_sent_at": nil, "last_error": nil}
	if !h.lastSentAt.IsZero() {
		v["last_sent_at"] = stamp(h.lastSentAt)
	}
	if h.lastError != "" {
		v["last_error"] = h.lastError
	}
	return v
}
