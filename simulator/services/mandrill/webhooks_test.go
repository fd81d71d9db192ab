package mandrill

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/consignwatch/consignwatch/simulator/services/webhook"
	"github.com/consignwatch/consignwatch/simulator/services/wire/wiretest"
)

const hookURL = "https://hooks.example.test" + webhook.MandrillPath + "?client=1"

// deliveryFixture is an account with a webhook, and the platform that receives it.
type deliveryFixture struct {
	*Fake
	hook Webhook

	mu       sync.Mutex
	down     bool
	received map[string]int
	batches  int
	last     []byte
}

// withDeliveryFixture runs a test in a bubble of synctest.
func withDeliveryFixture(t *testing.T, events []string, test func(*testing.T, *deliveryFixture)) {
	synctest.Test(t, func(t *testing.T) {
		b := &deliveryFixture{received: map[string]int{}}
		platform := webhook.NewReceiver(webhook.ReceiverConfig{
			MandrillKey: "test-webhook-key", MandrillURL: hookURL,
			Topics: []string{"send", "delivered", "hard_bounce", "spam", "reject"},
			Handle: func(_ context.Context, r webhook.Received) error {
				b.mu.Lock()
				defer b.mu.Unlock()
				if b.down {
					return errors.New("down")
				}
				b.received[r.Client+" "+r.Topic+" "+r.Outcome]++
				b.last = r.Body
				return nil
			},
		})
		counted := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			b.mu.Lock()
			b.batches++
			b.mu.Unlock()
			platform.ServeHTTP(w, r)
		})
		b.Fake = New(Config{Key: key, Webhooks: webhook.SenderConfig{Transport: wiretest.Direct{Handler: counted}}})
		defer b.Close()
		if err := b.AddSubaccount(Subaccount{ID: "kids"}); err != nil {
			t.Fatal(err)
		}
		b.hook = b.AddWebhook(Webhook{URL: hookURL, AuthKey: "test-webhook-key", Events: events})
		test(t, b)
	})
}

func (b *deliveryFixture) set(down bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.down = down
}

func (b *deliveryFixture) check(t *testing.T, want map[string]int) {
	t.Helper()
	synctest.Wait()
	b.mu.Lock()
	defer b.mu.Unlock()
	if diff := cmp.Diff(want, b.received); diff != "" {
		t.Errorf("received (-want +got):\n%s", diff)
	}
}

// hookJSON is a webhook as the API writes it.
type hookJSON struct {
	LastSentAt *string `json:"last_sent_at"`
	LastError  *string `json:"last_error"`
}

// shown returns the webhook as the API returns it.
func (b *deliveryFixture) shown(t *testing.T) hookJSON {
	t.Helper()
	request := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/api/1.0/webhooks/list.json", strings.NewReader(`{"key":"`+key+`"}`))
	w := httptest.NewRecorder()
	b.ServeHTTP(w, request)
	var hooks []hookJSON
	if err := json.Unmarshal(w.Body.Bytes(), &hooks); err != nil || len(hooks) != 1 {
		t.Fatalf("%v: %s", err, w.Body)
	}
	return hooks[0]
}

func (b *deliveryFixture) send(t *testing.T, to string) string {
	t.Helper()
	sent, err := b.Send(Message{Subaccount: "kids", To: to, From: "s@example.com", Subject: "Hi", Metadata: map[string]string{"client_id": "1"}})
	if err != nil {
		t.Fatal(err)
	}
	return sent.ID
}

func TestEventsComeInABatchEveryMinute(t *testing.T) {
	t.Parallel()
	withDeliveryFixture(t, nil, func(t *testing.T, b *deliveryFixture) {
		for i := range 600 { // with two events each
			b.send(t, fmt.Sprint(i, "@example.com"))
		}
		time.Sleep(batchEvery - time.Second)
		b.check(t, map[string]int{})
		time.Sleep(2 * time.Second)
		b.check(t, map[string]int{"kids send accepted": 600, "kids delivered accepted": 600})
		if b.batches != 2 {
			t.Errorf("%d batches", b.batches)
		}
		h := b.shown(t)
		if h.LastError != nil || h.LastSentAt == nil || *h.LastSentAt != stamp(time.Now().Add(-time.Second)) {
			t.Errorf("%+v", h)
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		if b.batches != 2 {
			t.Errorf("%d batches: some were empty", b.batches)
		}
	})
}

func TestEventIsWrittenAsDocumented(t *testing.T) {
	t.Parallel()
	withDeliveryFixture(t, []string{"hard_bounce"}, func(t *testing.T, b *deliveryFixture) {
		b.Switch(func(s *Switches) { s.Bouncing = 1 })
		id := b.send(t, "a@example.com")
		time.Sleep(2 * batchEvery)
		b.check(t, map[string]int{"kids hard_bounce accepted": 1})
		var event struct {
			Event string `json:"event"`
			ID    string `json:"_id"`
			TS    int64  `json:"ts"`
			Msg   map[string]any
		}
		if err := json.Unmarshal(b.last, &event); err != nil {
			t.Fatal(err)
		}
		at := event.TS
		want := map[string]any{
			"ts": float64(at), "_id": id, "_version": id[:22], "state": "bounced", "email": "a@example.com", "sender": "s@example.com", "subject": "Hi",
			"metadata": map[string]any{"client_id": "1"}, "subaccount": "kids",
		}
		if diff := cmp.Diff(want, event.Msg); diff != "" || event.Event != "hard_bounce" || event.ID != id {
			t.Errorf("%s of %s (-want +got):\n%s", event.Event, event.ID, diff)
		}
	})
}

func TestFailedBatchesComeAgainAndLeaveTheirError(t *testing.T) {
	t.Parallel()
	withDeliveryFixture(t, []string{"send"}, func(t *testing.T, b *deliveryFixture) {
		b.set(true)
		b.send(t, "a@example.com")
		time.Sleep(batchEvery + 30*time.Second)
		h := b.shown(t)
		if h.LastError == nil || *h.LastError != "POST to "+hookURL+" failed: HTTP 503" || h.LastSentAt != nil {
			t.Errorf("while it fails: %+v", h)
		}
		b.set(false)
		time.Sleep(10 * time.Minute)
		b.check(t, map[string]int{"kids send accepted": 1})
		if h := b.shown(t); h.LastError == nil || h.LastSentAt == nil {
			t.Errorf("afterwards: %+v", h)
		}
		if diff := cmp.Diff(map[string]int64{"sent": 1, "failed": 1, "delivered": 1}, b.Books().Webhooks); diff != "" {
			t.Errorf("books (-want +got):\n%s", diff)
		}
	})
}

func TestWebhookCanBeMadeToFail(t *testing.T) {
	t.Parallel()
	withDeliveryFixture(t, []string{"send"}, func(t *testing.T, b *deliveryFixture) {
		if err := b.FailWebhook(b.hook.ID, "POST timed out"); err != nil {
			t.Fatal(err)
		}
		b.send(t, "a@example.com")
		time.Sleep(10*batchEvery + time.Second)
		b.check(t, map[string]int{})
		if h := b.shown(t); h.LastError == nil || *h.LastError != "POST timed out" || h.LastSentAt != nil {
			t.Errorf("%+v", h)
		}
		if err := b.FailWebhook(b.hook.ID, ""); err != nil {
			t.Fatal(err)
		}
		time.Sleep(batchEvery)
		b.check(t, map[string]int{"kids send accepted": 1})
		if n := b.Books().Webhooks["failed"]; n != 10 {
			t.Errorf("%d failed", n)
		}
		if err := b.FailWebhook(99, ""); !errors.Is(err, ErrUnknown) {
			t.Errorf("%v", err)
		}
	})
}

func TestManyUseTheAccountAtOnce(t *testing.T) {
	t.Parallel()
	r := newFixture(t, Config{Webhooks: webhook.SenderConfig{Transport: wiretest.Direct{Handler: http.NotFoundHandler()}}})
	if err := r.AddSubaccount(Subaccount{ID: "kids"}); err != nil {
		t.Fatal(err)
	}
	r.AddWebhook(Webhook{URL: hookURL, AuthKey: "k"})
	var all sync.WaitGroup
	for i := range 4 {
		all.Go(func() {
			for j := range 25 {
				sent, err := r.Send(Message{Subaccount: "kids", To: fmt.Sprint(i, "-", j, "@example.com")})
				if err != nil {
					t.Error(err)
				}
				if err := r.Trigger(sent.ID, Complain); err != nil {
					t.Error(err)
				}
				if got := r.ask(t, "subaccounts/list", ""); got.Status != 200 {
					t.Errorf("%d %s", got.Status, got.Body)
				}
				r.Flush()
			}
		})
	}
	all.Wait()
	books := r.Books()
	if books.AllTime.Sent != 100 || books.AllTime.Complaints != 100 || books.Requests["ok"] != 100 {
		t.Errorf("%+v", books)
	}
}
