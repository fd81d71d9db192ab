package mandrill

import (
	"cmp"
	"fmt"
	"strconv"
	"time"

	"github.com/consignwatch/consignwatch/simulator/services/webhook"
	"github.com/consignwatch/consignwatch/simulator/services/wire"
)

// Webhook is a webhook of the account.
type Webhook struct {
	ID          int64 // 0: given by the fake
	URL         string
	Description string
	AuthKey     string   // signs batches
	Events      []string // empty: all
	CreatedAt   time.Time
}

type hook struct {
	Webhook
	events      []any // that wait for the next batch
	failing     string
	lastSentAt  time.Time
	lastError   string
	batchesSent int64
	eventsSent  int64
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
	w.ID = cmp.Or(w.ID, f.lastID)
	if w.CreatedAt.IsZero() {
		w.CreatedAt = f.now()
	}
	f.hooks = append(f.hooks, &hook{Webhook: w})
	return w
}

// FailWebhook makes batches of a webhook fail with an error, as if its receiver did not answer; without an error, it
// works again, and what has waited is sent.
func (f *Fake) FailWebhook(id int64, problem string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, h := range f.hooks {
		if h.ID == id {
			h.failing = problem
			if problem != "" {
				h.lastError = problem
			}
			return nil
		}
	}
	return fmt.Errorf("mandrill: webhook %d: %w", id, ErrUnknown)
}

// subscribed says whether a webhook is about an event. Settings spell hard_bounce as events do.
func (h *hook) subscribed(event string) bool {
	for _, e := range h.Events {
		if e == event {
			return true
		}
	}
	return len(h.Events) == 0
}

// event puts an event into the next batch of each webhook that wants it.
func (f *Fake) event(m *message, event string, more map[string]any) {
	state := m.state
	if event == Complain || event == Unsubscribe {
		state = map[string]string{Complain: "spam", Unsubscribe: "unsub"}[event]
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
			"subject": m.Subject, "tags": m.Tags, "metadata": m.Metadata, "template": nil, "subaccount": nil,
			"opens": []any{}, "clicks": []any{}, "smtp_events": []any{}, "resends": []any{},
		}
		if m.Template != "" {
			body["template"] = m.Template
		}
		if m.Subaccount != "" {
			body["subaccount"] = m.Subaccount
		}
		for name, value := range more {
			body[name] = value
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
			m := h.batch(h.AuthKey, h.events[:n])
			if f.sender.Send(m) != nil {
				break // the events wait on
			}
			f.inFlight[m.ID] = n
			f.webhooks["sent"]++
			h.events = h.events[n:]
		}
	}
}

func (h *hook) batch(key string, events []any) webhook.Message {
	return webhook.Mandrill{Key: key, Events: wire.Marshal(events)}.Message(strconv.FormatInt(h.ID, 10), wire.UUID(), h.URL)
}

// Forge sends a batch that Mandrill did not sign to a webhook, once.
func (f *Fake) Forge(id int64) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, h := range f.hooks {
		if h.ID != id {
			continue
		}
		m := h.batch("guessed", []any{map[string]any{"event": "send", "_id": "forged", "ts": f.now().Unix(), "msg": map[string]any{}}})
		m.Once, m.Endpoint = true, "" // what comes of it is no matter of Mandrill's
		if err := f.sender.Send(m); err != nil {
			return err
		}
		f.webhooks["forged"]++
		return nil
	}
	return fmt.Errorf("mandrill: webhook %d: %w", id, ErrUnknown)
}

func (f *Fake) attempted(a webhook.Attempt) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if a.Message.Endpoint == "" { // forged
		return
	}
	events := f.inFlight[a.Message.ID]
	if a.Delivered || a.GivenUp {
		delete(f.inFlight, a.Message.ID)
	}
	a.Count(f.webhooks)
	for _, h := range f.hooks {
		switch {
		case strconv.FormatInt(h.ID, 10) != a.Message.Endpoint:
		case a.Delivered:
			h.lastSentAt = f.now()
			h.batchesSent++
			h.eventsSent += int64(events)
		case a.Status != 0:
			h.lastError = fmt.Sprintf("POST to %s failed: HTTP %d", h.URL, a.Status)
		default:
			h.lastError = fmt.Sprintf("POST to %s failed: no answer", h.URL)
		}
	}
}

// hookJSON is a webhook as the API writes it. Its last error stays, even when later batches arrive.
type hookJSON struct {
	ID          int64    `json:"id"`
	URL         string   `json:"url"`
	Description string   `json:"description"`
	AuthKey     string   `json:"auth_key"`
	Events      []string `json:"events"`
	CreatedAt   string   `json:"created_at"`
	LastSentAt  *string  `json:"last_sent_at"`
	BatchesSent int64    `json:"batches_sent"`
	EventsSent  int64    `json:"events_sent"`
	LastError   *string  `json:"last_error"`
}

// json needs the lock.
func (h *hook) json() hookJSON {
	v := hookJSON{
		ID: h.ID, URL: h.URL, Description: h.Description, AuthKey: h.AuthKey, Events: append([]string{}, h.Events...), CreatedAt: stamp(h.CreatedAt),
		LastSentAt: stampOrNull(h.lastSentAt), BatchesSent: h.batchesSent, EventsSent: h.eventsSent,
	}
	if h.lastError != "" {
		v.LastError = &h.lastError
	}
	return v
}
