package webhook

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// receiverFunc answers requests without a network.
type receiverFunc func(*http.Request) (*http.Response, error)

func (f receiverFunc) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func status(code int) receiverFunc {
	return func(*http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: code, Header: http.Header{"Location": {"https://elsewhere.example/"}}, Body: io.NopCloser(strings.NewReader(""))}, nil
	}
}

// hangs never responds: the sender has to time out.
func hangs(r *http.Request) (*http.Response, error) {
	<-r.Context().Done()
	return nil, r.Context().Err()
}

// log collects attempts with their time since the start.
type log struct {
	mu       sync.Mutex
	start    time.Time
	attempts []Attempt
	at       []time.Duration
}

func (l *log) add(a Attempt) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.attempts, l.at = append(l.attempts, a), append(l.at, time.Since(l.start))
}

func order(body string) Message {
	return Shopify{Secret: "hush", Shop: "kids.myshopify.com", Topic: "orders/create", WebhookID: "w", EventID: "e", Body: []byte(body)}.Message("1", "https://platform.example/webhooks/shopify")
}

func TestFailedWebhooksAreSentAgainAsTheirProvidersDo(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		schedule Schedule
		message  Message
		want     []time.Duration // of attempts, counted from the one before
	}{
		"shopify": {ShopifySchedule(), order("{}"), []time.Duration{0,
			56 * time.Second, 112 * time.Second, 224 * time.Second, 448 * time.Second, 896 * time.Second, 1792 * time.Second, 3584 * time.Second, 7168 * time.Second}},
		"svix": {SvixSchedule(), Svix{Secret: "AAAA", ID: "msg_1", Body: []byte("{}")}.Message("1", "https://platform.example/webhooks/clerk"), []time.Duration{0,
			5 * time.Second, 5 * time.Minute, 30 * time.Minute, 2 * time.Hour, 5 * time.Hour, 10 * time.Hour, 10 * time.Hour}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := &log{start: time.Now()}
				s := SenderConfig{Transport: status(500)}.Start(test.schedule, time.Now, l.add)
				if err := s.Send(test.message); err != nil {
					t.Fatal(err)
				}
				time.Sleep(48 * time.Hour)
				synctest.Wait()
				var between []time.Duration
				for i, at := range l.at {
					if i > 0 {
						at -= l.at[i-1]
					}
					between = append(between, at)
				}
				if diff := cmp.Diff(test.want, between); diff != "" {
					t.Errorf("waits (-want +got):\n%s", diff)
				}
				for i, a := range l.attempts {
					if last := i == len(test.want)-1; a.Status != 500 || a.Delivered || a.GivenUp != last {
						t.Errorf("attempt %d: %+v", i+1, a)
					}
				}
				if n := s.Close(); n != 0 {
					t.Errorf("%d messages are pending after the last attempt", n)
				}
			})
		})
	}
}

func TestShopifyRetriesWithinFourHours(t *testing.T) {
	t.Parallel()
	var sum time.Duration
	for _, wait := range ShopifySchedule().Retries {
		sum += wait
	}
	if len(ShopifySchedule().Retries) != 8 || sum > 4*time.Hour || sum < 3*time.Hour+55*time.Minute {
		t.Errorf("%d retries in %s", len(ShopifySchedule().Retries), sum)
	}
}

func TestWaitsCanBeCompressed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := &log{start: time.Now()}
		s := SenderConfig{Speed: 56, Transport: status(500)}.Start(ShopifySchedule(), time.Now, l.add)
		if err := s.Send(order("{}")); err != nil {
			t.Fatal(err)
		}
		time.Sleep(3 * time.Second)
		synctest.Wait()
		if diff := cmp.Diff([]time.Duration{0, time.Second, 3 * time.Second}, l.at); diff != "" {
			t.Errorf("attempts (-want +got):\n%s", diff)
		}
		if n := s.Close(); n != 1 {
			t.Errorf("%d messages are pending, want 1", n)
		}
	})
}

func TestOnlySuccessEndsTheAttempts(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name      string
		transport receiverFunc
		took      time.Duration // of the first attempt
		delivered bool
	}{
		{"200", status(200), 0, true},
		{"204", status(204), 0, true},
		{"a redirect", status(302), 0, false},
		{"404", status(404), 0, false},
		{"no answer", hangs, 5 * time.Second, false},
		{"no connection", func(*http.Request) (*http.Response, error) { return nil, errors.New("connection refused") }, 0, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := &log{start: time.Now()}
				s := SenderConfig{Transport: test.transport}.Start(ShopifySchedule(), time.Now, l.add)
				if err := s.Send(order("{}")); err != nil {
					t.Fatal(err)
				}
				time.Sleep(30 * time.Second)
				synctest.Wait()
				if len(l.attempts) != 1 || l.attempts[0].Delivered != test.delivered || l.at[0] != test.took {
					t.Errorf("%+v after %v", l.attempts, l.at)
				}
				if pending := s.Close(); (pending == 0) != test.delivered {
					t.Errorf("%d messages are pending", pending)
				}
			})
		})
	}
}

func TestRetriesCarryTheSameIDsAndBody(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var headers []http.Header
		var bodies []string
		transport := receiverFunc(func(r *http.Request) (*http.Response, error) {
			body, err := io.ReadAll(r.Body)
			if err != nil {
				return nil, err
			}
			mu.Lock()
			defer mu.Unlock()
			headers, bodies = append(headers, r.Header), append(bodies, string(body))
			return status(500)(r)
		})
		triggered := time.Date(2026, 11, 23, 12, 30, 0, 123456789, time.UTC)
		shop := SenderConfig{Transport: transport}.Start(ShopifySchedule(), time.Now, func(Attempt) {})
		message := Shopify{
			Secret: shopifySecret, Shop: "kids-north.myshopify.com", Topic: "orders/create", APIVersion: "2026-10", WebhookID: "w", EventID: "e",
			TriggeredAt: triggered, Body: []byte(shopifyBody),
		}
		if err := shop.Send(message.Message("1", "https://platform.example/")); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		shop.Close()
		want := http.Header{
			"Content-Type": {"application/json"}, "User-Agent": {"Shopify-Captain-Hook"},
			"X-Shopify-Topic": {"orders/create"}, "X-Shopify-Hmac-Sha256": {shopifySignature}, "X-Shopify-Shop-Domain": {"kids-north.myshopify.com"},
			"X-Shopify-Api-Version": {"2026-10"}, "X-Shopify-Webhook-Id": {"w"}, "X-Shopify-Triggered-At": {"2026-11-23T12:30:00.123456789Z"},
			"X-Shopify-Event-Id": {"e"},
		}
		if diff := cmp.Diff([]http.Header{want, want}, headers); diff != "" {
			t.Errorf("headers of two attempts (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff([]string{shopifyBody, shopifyBody}, bodies); diff != "" {
			t.Errorf("bodies (-want +got):\n%s", diff)
		}

		headers = nil
		clerk := SenderConfig{Transport: transport}.Start(SvixSchedule(), time.Now, func(Attempt) {})
		if err := clerk.Send(Svix{Secret: svixSecret, ID: svixID, Body: []byte(svixBody)}.Message("1", "https://platform.example/")); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		clerk.Close()
		if len(headers) != 2 || headers[0].Get("svix-id") != svixID || headers[1].Get("svix-id") != svixID {
			t.Fatalf("%v", headers)
		}
		if headers[0].Get("svix-timestamp") == headers[1].Get("svix-timestamp") || headers[0].Get("svix-signature") == headers[1].Get("svix-signature") {
			t.Errorf("the second attempt is signed with the time of the first: %v", headers)
		}
		for _, h := range headers {
			if !verifySvix(h, []byte(svixBody), time.Now(), svixSecret) {
				t.Errorf("%v", h)
			}
		}
	})
}

func TestSenderHoldsABoundedNumberOfMessages(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := SenderConfig{Workers: 2, Pending: 5, Transport: receiverFunc(hangs)}.Start(ShopifySchedule(), time.Now, func(Attempt) {})
		for range 5 {
			if err := s.Send(order("{}")); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait() // two are in flight
		if err := s.Send(order("{}")); !errors.Is(err, ErrFull) {
			t.Errorf("%v", err)
		}
		if n := s.Close(); n != 5 {
			t.Errorf("%d were left", n)
		}
	})
}
