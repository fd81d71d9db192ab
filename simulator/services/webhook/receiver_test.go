package webhook

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// platform receives webhooks of one client, and keeps what was handled.
type platform struct {
	*Receiver
	mu       sync.Mutex
	received []Received
	err      error // of Handle
}

func newPlatform(t *testing.T, change ...func(*ReceiverConfig)) *platform {
	t.Helper()
	p := &platform{}
	config := ReceiverConfig{
		Now: func() time.Time { return noon },
		ShopifyClient: func(domain string) (string, string) {
			if domain == "kids.myshopify.com" {
				return "kids", "hush"
			}
			return "", ""
		},
		ClerkSecret: "whsec_" + svixSecret, MandrillKey: mandrillKey, MandrillURL: mandrillURL,
		Topics: []string{"orders/create", "user.created", "send", "hard_bounce"},
		Handle: func(_ context.Context, r Received) error {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.received = append(p.received, r)
			return p.err
		},
	}
	for _, c := range change {
		c(&config)
	}
	p.Receiver = NewReceiver(config)
	return p
}

// send posts a message as a provider would, and returns the response's status with what was handled.
func (p *platform) send(t *testing.T, path string, m Message) (int, []Received) {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, path, bytes.NewReader(m.Body))
	m.sign(r.Header, noon)
	return p.serve(r)
}

func (p *platform) serve(r *http.Request) (int, []Received) {
	p.mu.Lock()
	p.received = nil
	p.mu.Unlock()
	w := httptest.NewRecorder()
	p.ServeHTTP(w, r)
	p.mu.Lock()
	defer p.mu.Unlock()
	return w.Code, p.received
}

func shopMessage(change ...func(*Shopify)) Message {
	s := Shopify{
		Secret: "hush", Shop: "kids.myshopify.com", Topic: "orders/create", APIVersion: "2026-10", WebhookID: "w1", EventID: "e1",
		TriggeredAt: noon.Add(-90 * time.Second), Body: []byte(shopifyBody),
	}
	for _, c := range change {
		c(&s)
	}
	return s.Message("1", "https://platform.example"+ShopifyPath)
}

func clerkMessage(secret, body string) Message {
	return Svix{Secret: secret, ID: "msg_1", Body: []byte(body)}.Message("1", "https://platform.example"+ClerkPath)
}

func mandrillMessage(key, address, events string) Message {
	return Mandrill{Key: key, Events: []byte(events)}.Message("1", address)
}

func TestReceivedWebhooksGetTheirOutcome(t *testing.T) {
	t.Parallel()
	envelope := fmt.Sprintf(`{"object":"event","type":"user.created","timestamp":%d,"data":{}}`, noon.Add(-2*time.Second).UnixMilli())
	event := func(name string, more string) string {
		return fmt.Sprintf(`{"event":%q,"_id":"abc","ts":%d,"msg":{"_id":"abc","subaccount":"kids"}%s}`, name, noon.Add(-40*time.Second).Unix(), more)
	}
	shop := func(outcome, topic string, delay time.Duration) Received {
		return Received{Provider: "shopify", Client: "kids", Topic: topic, Outcome: outcome, ID: "w1", Delay: delay}
	}
	for _, test := range []struct {
		name    string
		path    string
		message Message
		status  int
		want    []Received
	}{
		{"shopify", ShopifyPath, shopMessage(), 200, []Received{shop(Accepted, "orders/create", 90*time.Second)}},
		{"a clock that is ahead", ShopifyPath, shopMessage(func(s *Shopify) { s.TriggeredAt = noon.Add(time.Hour) }), 200, []Received{shop(Accepted, "orders/create", 0)}},
		{"shopify, forged", ShopifyPath, shopMessage(func(s *Shopify) { s.Secret = "guess" }), 401, []Received{shop(InvalidSignature, "orders/create", 0)}},
		{"shopify, a topic that is made up", ShopifyPath, shopMessage(func(s *Shopify) { s.Topic = "orders/x" }), 200, []Received{shop(Accepted, OtherTopic, 90*time.Second)}},
		{"shopify, no JSON", ShopifyPath, shopMessage(func(s *Shopify) { s.Body = []byte(`{"id":1`) }), 400, []Received{shop(InvalidPayload, "orders/create", 0)}},
		{"shopify, no object", ShopifyPath, shopMessage(func(s *Shopify) { s.Body = []byte(`[]`) }), 400, []Received{shop(InvalidPayload, "orders/create", 0)}},
		{"a shop that is not known", ShopifyPath, shopMessage(func(s *Shopify) { s.Shop = "other.myshopify.com" }), 401,
			[]Received{{Provider: "shopify", Topic: "orders/create", Outcome: InvalidSignature, ID: "w1"}}},
		{"no delivery id", ShopifyPath, shopMessage(func(s *Shopify) { s.WebhookID = "" }), 400,
			[]Received{{Provider: "shopify", Client: "kids", Topic: "orders/create", Outcome: InvalidPayload}}},

		{"clerk", ClerkPath, clerkMessage(svixSecret, envelope), 200, []Received{{Provider: "clerk", Topic: "user.created", Outcome: Accepted, ID: "msg_1", Delay: 2 * time.Second}}},
		{"clerk, forged", ClerkPath, clerkMessage("AAAA", envelope), 401, []Received{{Provider: "clerk", Topic: OtherTopic, Outcome: InvalidSignature, ID: "msg_1"}}},
		{"clerk, no event", ClerkPath, clerkMessage(svixSecret, `{}`), 400, []Received{{Provider: "clerk", Topic: OtherTopic, Outcome: InvalidPayload, ID: "msg_1"}}},

		{"mandrill", MandrillPath, mandrillMessage(mandrillKey, mandrillURL, "["+event("send", "")+","+event("hard_bounce", "")+`,{"event":1},`+event("spam", "")+"]"), 200, []Received{
			{Provider: "mandrill", Client: "kids", Topic: "send", Outcome: Accepted, ID: "send abc 1795435160", Delay: 40 * time.Second},
			{Provider: "mandrill", Client: "kids", Topic: "hard_bounce", Outcome: Accepted, ID: "hard_bounce abc 1795435160", Delay: 40 * time.Second},
			{Provider: "mandrill", Topic: OtherTopic, Outcome: InvalidPayload},
			{Provider: "mandrill", Client: "kids", Topic: OtherTopic, Outcome: Accepted, ID: "spam abc 1795435160", Delay: 40 * time.Second},
		}},
		{"mandrill, forged", MandrillPath, mandrillMessage("guess", mandrillURL, "["+event("send", "")+"]"), 401, []Received{{Provider: "mandrill", Topic: OtherTopic, Outcome: InvalidSignature}}},
		{"mandrill, another URL", MandrillPath, mandrillMessage(mandrillKey, mandrillURL+"/", "["+event("send", "")+"]"), 401, []Received{{Provider: "mandrill", Topic: OtherTopic, Outcome: InvalidSignature}}},
		{"mandrill, too many", MandrillPath, mandrillMessage(mandrillKey, mandrillURL, "["+strings.Repeat(event("send", "")+",", MaxBatch)+event("send", "")+"]"), 400,
			[]Received{{Provider: "mandrill", Topic: OtherTopic, Outcome: InvalidPayload}}},

		{"another path", "/webhooks/stripe", shopMessage(), 404, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			status, received := newPlatform(t).send(t, test.path, test.message)
			if status != test.status {
				t.Errorf("status %d, want %d", status, test.status)
			}
			if diff := cmp.Diff(test.want, received, cmpopts.IgnoreFields(Received{}, "Body")); diff != "" {
				t.Errorf("received (-want +got):\n%s", diff)
			}
		})
	}
}

func TestDuplicatesAreKnownByTheirDeliveryID(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	for _, step := range []struct {
		name    string
		change  func(*Shopify)
		outcome string
	}{
		{"first", func(*Shopify) {}, Accepted},
		{"the same again", func(*Shopify) {}, Duplicate},
		{"later", func(s *Shopify) { s.TriggeredAt = noon }, Duplicate},
		{"another delivery of the same event", func(s *Shopify) { s.WebhookID = "w2" }, Accepted},
		{"another topic", func(s *Shopify) { s.Topic = "orders/paid" }, Accepted},
	} {
		status, received := p.send(t, ShopifyPath, shopMessage(step.change))
		if status != 200 || len(received) != 1 || received[0].Outcome != step.outcome {
			t.Errorf("%s: %d %+v", step.name, status, received)
		}
	}
}

func TestForgeryCannotMakeTheRealOneADuplicate(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	p.send(t, ShopifyPath, shopMessage(func(s *Shopify) { s.Secret = "guess" }))
	if _, received := p.send(t, ShopifyPath, shopMessage()); received[0].Outcome != Accepted {
		t.Errorf("%+v", received)
	}
}

func TestWebhooksThatCouldNotBeHandledAreRetried(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	p.err = errors.New("the queue is full")
	if status, received := p.send(t, ShopifyPath, shopMessage()); status != 503 || received[0].Outcome != Accepted {
		t.Errorf("%d %+v", status, received)
	}
	p.err = nil
	if status, received := p.send(t, ShopifyPath, shopMessage()); status != 200 || received[0].Outcome != Accepted {
		t.Errorf("%d %+v", status, received)
	}
}

func TestReceiverAnswersBeforeTheProviderGivesUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPlatform(t, func(c *ReceiverConfig) {
			c.Handle = func(ctx context.Context, _ Received) error { <-ctx.Done(); return ctx.Err() }
		})
		begin := time.Now()
		status, _ := p.send(t, ShopifyPath, shopMessage())
		if took := time.Since(begin); status != 503 || took >= ShopifySchedule().Timeout {
			t.Errorf("%d after %s", status, took)
		}
	})
}

func TestOnlyPostsAreWebhooks(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	if status, received := p.serve(httptest.NewRequestWithContext(t.Context(), http.MethodGet, MandrillPath, nil)); status != 405 || received != nil {
		t.Errorf("%d %v", status, received)
	}
	large := url.Values{"mandrill_events": {strings.Repeat("x", MaxWebhook)}}.Encode()
	if status, received := p.serve(httptest.NewRequestWithContext(t.Context(), http.MethodPost, MandrillPath, strings.NewReader(large))); status != 400 || received != nil {
		t.Errorf("too large: %d %v", status, received)
	}
}

// TestEveryWebhookArrivesOnceOrIsGivenUp uses a real connection, with failures in between.
func TestEveryWebhookArrivesOnceOrIsGivenUp(t *testing.T) {
	t.Parallel()
	p := newPlatform(t, func(c *ReceiverConfig) { c.Now = nil })
	var calls int
	var mu sync.Mutex
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		calls++
		fail := calls%3 != 0
		mu.Unlock()
		if fail {
			panic(http.ErrAbortHandler)
		}
		p.ServeHTTP(w, r)
	}))
	defer server.Close()
	ended := make(chan Attempt, 50)
	s := SenderConfig{Speed: 100_000}.Start(ShopifySchedule(), time.Now, func(a Attempt) {
		if a.Delivered || a.GivenUp {
			ended <- a
		}
	})
	defer s.Close()
	const messages = 20
	for i := range messages {
		m := Shopify{Secret: "hush", Shop: "kids.myshopify.com", Topic: "orders/create", WebhookID: fmt.Sprint(i), TriggeredAt: time.Now(), Body: []byte(shopifyBody)}
		if err := s.Send(m.Message("1", server.URL+ShopifyPath)); err != nil {
			t.Fatal(err)
		}
	}
	given := 0
	for range messages {
		if a := <-ended; a.GivenUp {
			given++
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if given+len(p.received) != messages || len(p.received) == 0 {
		t.Errorf("%d received and %d given up, of %d", len(p.received), given, messages)
	}
	for _, r := range p.received {
		if r.Outcome != Accepted {
			t.Errorf("%+v", r)
		}
	}
}
