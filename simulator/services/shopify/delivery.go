package shopify

import (
	"crypto/rand"
	"errors"
	"slices"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"github.com/consignwatch/consignwatch/simulator/services/webhook"
	"github.com/consignwatch/consignwatch/simulator/services/wire"
)

// sendWebhook sends a webhook about an order to every subscription to a topic. It needs the lock.
func (f *Fake) sendWebhook(s *shop, topic string, o Order) {
	event := uuid.NewString()
	for _, sub := range s.subscriptions {
		switch {
		case sub.Topic != topic:
		case s.switches.drops(headerTopic(topic)):
			s.webhooks["lost"]++
		case f.sender.Send(f.message(s, sub, s.App.ClientSecret, event, o)) != nil:
			s.webhooks["refused"]++
		default:
			s.webhooks["sent"]++
		}
	}
}

func (f *Fake) message(s *shop, sub *Subscription, secret, event string, o Order) webhook.Message {
	return webhook.Shopify{
		Secret: secret, Shop: s.Domain, Topic: headerTopic(sub.Topic), APIVersion: Newest(f.now()),
		WebhookID: uuid.NewString(), EventID: event, TriggeredAt: f.now(), Body: wire.Marshal(orderPayload(o)),
	}.Message(s.Domain+" "+strconv.FormatInt(sub.id, 10), sub.URI)
}

// Forge sends a webhook that the shop did not sign to the subscriptions to a topic (ORDERS_CREATE), once.
func (f *Fake) Forge(domain, topic string) error {
	return f.withShop(domain, func(s *shop) error {
		for _, sub := range s.subscriptions {
			if sub.Topic != topic {
				continue
			}
			message := f.message(s, sub, rand.Text(), uuid.NewString(), Order{ID: 1, CreatedAt: f.now(), FinancialStatus: "PAID"})
			message.Once, message.Endpoint = true, "" // what comes of it is no matter of the shop's
			if err := f.sender.Send(message); err != nil {
				return err
			}
			s.webhooks["forged"]++
		}
		return nil
	})
}

// attempted counts an attempt. A subscription whose message was given up is removed, as Shopify does with those that were
// made through the API. (Another page of Shopify's says: after several failures within a day.)
func (f *Fake) attempted(a webhook.Attempt) {
	domain, id, _ := strings.Cut(a.Message.Endpoint, " ")
	err := f.withShop(domain, func(s *shop) error {
		a.Count(s.webhooks)
		if a.GivenUp {
			s.subscriptions = slices.DeleteFunc(s.subscriptions, func(sub *Subscription) bool { return strconv.FormatInt(sub.id, 10) == id })
		}
		return nil
	})
	if err != nil && !errors.Is(err, ErrUnknown) {
		panic(err)
	}
}

// headerTopic is the topic as deliveries spell it: ORDERS_CREATE is orders/create.
func headerTopic(topic string) string {
	topic = strings.ToLower(topic)
	if i := strings.LastIndexByte(topic, '_'); i >= 0 {
		return topic[:i] + "/" + topic[i+1:]
	}
	return topic
}

// orderPayload is what a webhook says about an order: of the many fields, those that a platform needs.
func orderPayload(o Order) object {
	return object{
		"id": o.ID, "admin_graphql_api_id": gid("Order", o.ID), "test": o.Test,
		"created_at": stamp(o.CreatedAt), "updated_at": stamp(o.UpdatedAt), "cancelled_at": stamp(o.CancelledAt),
		"financial_status": strings.ToLower(o.FinancialStatus),
	}
}
