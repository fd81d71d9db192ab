package shopify

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/consignwatch/consignwatch/simulator/services/webhook"
	"github.com/consignwatch/consignwatch/simulator/services/wire/wiretest"
)

// deliveryFixture is a shop and the platform that receives its webhooks.
type deliveryFixture struct {
	*Fake
	platform *webhook.Receiver

	mu       sync.Mutex
	down     bool
	received []webhook.Received
}

// withDeliveryFixture runs a test in a bubble of synctest.
func withDeliveryFixture(t *testing.T, test func(*testing.T, *deliveryFixture)) {
	synctest.Test(t, func(t *testing.T) {
		b := &deliveryFixture{}
		b.platform = webhook.NewReceiver(webhook.ReceiverConfig{
			ShopifyClient: func(domain string) (string, string) { return strings.TrimSuffix(domain, ".myshopify.com"), "hush" },
			Topics:        []string{"orders/create", "orders/updated"},
			Handle: func(_ context.Context, r webhook.Received) error {
				b.mu.Lock()
				defer b.mu.Unlock()
				if b.down {
					return errors.New("down")
				}
				b.received = append(b.received, r)
				return nil
			},
		})
		b.Fake = New(Config{Webhooks: webhook.SenderConfig{Transport: wiretest.Direct{Handler: b.platform}}})
		defer b.Close()
		if err := b.AddShop(Shop{Domain: kids, App: App{ClientID: "app", ClientSecret: "hush"}}); err != nil {
			t.Fatal(err)
		}
		for _, topic := range []string{"ORDERS_CREATE", "ORDERS_UPDATED"} {
			if err := b.Subscribe(kids, Subscription{Topic: topic, URI: "https://platform.example" + webhook.ShopifyPath}); err != nil {
				t.Fatal(err)
			}
		}
		test(t, b)
	})
}

// outcomes counts the received webhooks by topic and outcome.
func (b *deliveryFixture) outcomes() map[string]int {
	synctest.Wait()
	b.mu.Lock()
	defer b.mu.Unlock()
	n := map[string]int{}
	for _, r := range b.received {
		n[r.Topic+" "+r.Outcome]++
	}
	return n
}

func (b *deliveryFixture) books(t *testing.T) Books {
	t.Helper()
	books, err := b.Books(kids)
	if err != nil {
		t.Fatal(err)
	}
	return books
}

func TestChangesInAShopSendWebhooks(t *testing.T) {
	t.Parallel()
	withDeliveryFixture(t, func(t *testing.T, b *deliveryFixture) {
		o, err := b.CreateOrder(kids, Order{})
		if err != nil {
			t.Fatal(err)
		}
		if err := b.UpdateOrder(kids, o.ID, func(o *Order) { o.CancelledAt = time.Now() }); err != nil {
			t.Fatal(err)
		}
		if _, err := b.PutOrder(kids, Order{}); err != nil { // silent
			t.Fatal(err)
		}
		want := map[string]int{"orders/create accepted": 1, "orders/updated accepted": 1}
		if diff := cmp.Diff(want, b.outcomes()); diff != "" {
			t.Errorf("received (-want +got):\n%s", diff)
		}
		for _, r := range b.received {
			var body struct {
				ID int64 `json:"id"`
			}
			if err := json.Unmarshal(r.Body, &body); err != nil {
				t.Fatal(err)
			}
			if strings.HasPrefix(r.Topic, "orders/") && (body.ID != o.ID || r.Client != "kids-north") {
				t.Errorf("%s of %s: %s", r.Topic, r.Client, r.Body)
			}
		}
		if diff := cmp.Diff(map[string]int64{"sent": 2, "delivered": 2}, b.books(t).Webhooks); diff != "" {
			t.Errorf("books (-want +got):\n%s", diff)
		}
	})
}

func TestLostWebhooksLeaveTheOrderInTheShop(t *testing.T) {
	t.Parallel()
	withDeliveryFixture(t, func(t *testing.T, b *deliveryFixture) {
		if err := b.Switch(kids, func(s *Switches) { s.LostTopics = []string{"orders/create"} }); err != nil {
			t.Fatal(err)
		}
		if o, err := b.CreateOrder(kids, Order{}); err != nil || b.UpdateOrder(kids, o.ID, func(*Order) {}) != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(map[string]int{"orders/updated accepted": 1}, b.outcomes()); diff != "" {
			t.Errorf("received (-want +got):\n%s", diff)
		}
		if err := b.Switch(kids, func(s *Switches) { s.LostTopics = []string{AllTopics} }); err != nil {
			t.Fatal(err)
		}
		if o, err := b.CreateOrder(kids, Order{}); err != nil || b.UpdateOrder(kids, o.ID, func(*Order) {}) != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(map[string]int{"orders/updated accepted": 1}, b.outcomes()); diff != "" {
			t.Errorf("received (-want +got):\n%s", diff)
		}
		books := b.books(t)
		if diff := cmp.Diff(map[string]int64{"sent": 1, "delivered": 1, "lost": 3}, books.Webhooks); diff != "" || len(books.Orders) != 2 {
			t.Errorf("%d orders, books (-want +got):\n%s", len(books.Orders), diff)
		}
	})
}

func TestForgedWebhookIsRefused(t *testing.T) {
	t.Parallel()
	withDeliveryFixture(t, func(t *testing.T, b *deliveryFixture) {
		if err := b.Forge(kids, "ORDERS_CREATE"); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(map[string]int{"orders/create invalid_signature": 1}, b.outcomes()); diff != "" {
			t.Errorf("received (-want +got):\n%s", diff)
		}
		time.Sleep(10 * time.Minute)
		if n := b.outcomes()["orders/create invalid_signature"]; n != 1 {
			t.Errorf("a forger tries again: %d webhooks", n)
		}
		if books := b.books(t); books.Webhooks["forged"] != 1 || len(books.Orders) != 0 || len(books.Subscriptions) != 2 {
			t.Errorf("%+v", books)
		}
	})
}

func TestOutageDelaysWebhooksAndALongOneRemovesTheSubscription(t *testing.T) {
	t.Parallel()
	withDeliveryFixture(t, func(t *testing.T, b *deliveryFixture) {
		b.down = true
		if _, err := b.CreateOrder(kids, Order{}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(30 * time.Minute)
		synctest.Wait()
		b.mu.Lock()
		b.down = false
		b.mu.Unlock()
		time.Sleep(4 * time.Hour)
		if diff := cmp.Diff(map[string]int{"orders/create accepted": 1}, b.outcomes()); diff != "" {
			t.Errorf("after half an hour of outage (-want +got):\n%s", diff)
		}
		if delay := b.received[0].Delay; delay < 30*time.Minute || delay > 2*time.Hour {
			t.Errorf("a delay of %s", delay)
		}

		b.mu.Lock()
		b.down = true
		b.mu.Unlock()
		if _, err := b.CreateOrder(kids, Order{}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Hour)
		synctest.Wait()
		books := b.books(t)
		var topics []string
		for _, s := range books.Subscriptions {
			topics = append(topics, s.Topic)
		}
		if diff := cmp.Diff([]string{"ORDERS_UPDATED"}, topics); diff != "" {
			t.Errorf("subscriptions (-want +got):\n%s", diff)
		}
		if books.Webhooks["given_up"] != 1 || books.Webhooks["delivered"] != 1 {
			t.Errorf("%v", books.Webhooks)
		}
	})
}

func TestTopicsOfDeliveries(t *testing.T) {
	t.Parallel()
	for topic, want := range map[string]string{
		"ORDERS_CREATE": "orders/create", "INVENTORY_LEVELS_UPDATE": "inventory_levels/update", "APP_UNINSTALLED": "app/uninstalled",
	} {
		if got := headerTopic(topic); got != want {
			t.Errorf("%s: %s, want %s", topic, got, want)
		}
	}
}
