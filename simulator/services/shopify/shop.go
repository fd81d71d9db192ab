package shopify

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"
)

// ErrUnknown says that there is no such shop, order, product or topic.
var ErrUnknown = errors.New("not known")

// Shop is a shop with the app that the platform has in it.
type Shop struct {
	Domain string // like kids-north.myshopify.com
	ID     int64  // 0: given by the fake
	Name   string
	Plan   Plan // the zero value is Basic
	App    App
}

// App is the app in a shop. It has a bucket of points and webhook subscriptions.
type App struct {
	ClientID     string
	ClientSecret string   // signs webhooks and asks for tokens
	AccessToken  string   // one that never expires; empty: only the client-credentials grant gives tokens
	Scopes       []string // like read_orders
	TokenLife    time.Duration
}

// Order is an order. Its times are as the shop has them.
type Order struct {
	ID              int64 // 0: given by the fake
	CreatedAt       time.Time
	UpdatedAt       time.Time // zero: CreatedAt
	CancelledAt     time.Time // zero: it is not
	Test            bool
	FinancialStatus string // PAID if empty
}

// Product is a product.
type Product struct {
	ID        int64 // 0: given by the fake
	Title     string
	CreatedAt time.Time
}

// Subscription is a webhook subscription that was made through the Admin API.
type Subscription struct {
	Topic string // as in the API: ORDERS_CREATE
	URI   string
	id    int64
}

type shop struct {
	Shop
	bucket        bucket
	tokens        map[string]token
	subscriptions []*Subscription
	orders        []*Order // by CreatedAt, then ID
	ordersByID    map[int64]*Order
	products      []*Product // by ID
	switches      Switches
	expiredSince  time.Time
	requests      map[string]int64
	webhooks      map[string]int64
	invalidBodies int // answers that were none, so that each is another
}

// AddShop opens a shop.
func (f *Fake) AddShop(s Shop) error {
	if s.Plan == (Plan{}) {
		s.Plan = Basic()
	}
	s.App.TokenLife = cmp.Or(s.App.TokenLife, 24*time.Hour-time.Second)
	f.mu.Lock()
	defer f.mu.Unlock()
	if s.Domain == "" || f.shops[s.Domain] != nil {
		return fmt.Errorf("shopify: a shop with the domain %q cannot be added: it is there, or has no name", s.Domain)
	}
	s.ID = f.assignID(s.ID)
	added := &shop{
		Shop: s, bucket: bucket{Plan: s.Plan, level: s.Plan.Bucket, at: f.now()}, tokens: map[string]token{},
		ordersByID: map[int64]*Order{}, requests: map[string]int64{}, webhooks: map[string]int64{},
	}
	if s.App.AccessToken != "" {
		added.tokens[s.App.AccessToken] = token{issued: f.now()}
	}
	f.shops[s.Domain] = added
	return nil
}

// CreateOrder takes an order, and sends orders/create.
func (f *Fake) CreateOrder(domain string, o Order) (Order, error) { return f.addOrder(domain, o, true) }

// PutOrder adds an order without a webhook.
func (f *Fake) PutOrder(domain string, o Order) (Order, error) { return f.addOrder(domain, o, false) }

func (f *Fake) addOrder(domain string, o Order, notify bool) (Order, error) {
	err := f.withShop(domain, func(s *shop) error {
		if s.ordersByID[o.ID] != nil {
			return fmt.Errorf("order %d is there already", o.ID)
		}
		o.ID = f.assignID(o.ID)
		o.CreatedAt = timeOr(o.CreatedAt, f.now())
		o.UpdatedAt = timeOr(o.UpdatedAt, o.CreatedAt)
		o.truncateTimes()
		o.FinancialStatus = cmp.Or(o.FinancialStatus, "PAID")
		added := o
		i, _ := slices.BinarySearchFunc(s.orders, &added, byCreation)
		s.orders = slices.Insert(s.orders, i, &added)
		s.ordersByID[o.ID] = &added
		if notify {
			f.sendWebhook(s, "ORDERS_CREATE", added)
		}
		return nil
	})
	return o, err
}

// UpdateOrder changes an order, and sends orders/updated. Its id and when it was created stay.
func (f *Fake) UpdateOrder(domain string, id int64, change func(*Order)) error {
	return f.withShop(domain, func(s *shop) error {
		o := s.ordersByID[id]
		if o == nil {
			return fmt.Errorf("order %d: %w", id, ErrUnknown)
		}
		change(o)
		o.UpdatedAt = f.now()
		o.truncateTimes()
		f.sendWebhook(s, "ORDERS_UPDATED", *o)
		return nil
	})
}

// PutProduct adds a product.
func (f *Fake) PutProduct(domain string, p Product) (Product, error) {
	err := f.withShop(domain, func(s *shop) error {
		p.ID = f.assignID(p.ID)
		p.CreatedAt = timeOr(p.CreatedAt, f.now()).Truncate(time.Second)
		i, found := slices.BinarySearchFunc(s.products, p.ID, productID)
		if found {
			return fmt.Errorf("product %d is there already", p.ID)
		}
		added := p
		s.products = slices.Insert(s.products, i, &added)
		return nil
	})
	return p, err
}

// DeleteProduct takes a product away.
func (f *Fake) DeleteProduct(domain string, id int64) error {
	return f.withShop(domain, func(s *shop) error {
		i, found := slices.BinarySearchFunc(s.products, id, productID)
		if !found {
			return fmt.Errorf("product %d: %w", id, ErrUnknown)
		}
		s.products = slices.Delete(s.products, i, i+1)
		return nil
	})
}

// Subscribe adds a webhook subscription.
func (f *Fake) Subscribe(domain string, sub Subscription) error {
	return f.withShop(domain, func(s *shop) error {
		if adminSchema.Types["WebhookSubscriptionTopic"].EnumValues.ForName(sub.Topic) == nil {
			return fmt.Errorf("topic %q: %w", sub.Topic, ErrUnknown)
		}
		sub.id = f.assignID(0)
		s.subscriptions = append(s.subscriptions, &sub)
		return nil
	})
}

// Unsubscribe removes all subscriptions to a topic (ORDERS_CREATE) in a shop, as Shopify does when deliveries fail for long.
func (f *Fake) Unsubscribe(domain, topic string) error {
	return f.withShop(domain, func(s *shop) error {
		s.subscriptions = slices.DeleteFunc(s.subscriptions, func(sub *Subscription) bool { return sub.Topic == topic })
		return nil
	})
}

// withShop runs a change of one shop under the lock.
func (f *Fake) withShop(domain string, change func(*shop) error) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := f.shops[domain]
	if s == nil {
		return fmt.Errorf("shopify: shop %q: %w", domain, ErrUnknown)
	}
	if err := change(s); err != nil {
		return fmt.Errorf("shopify %s: %w", domain, err)
	}
	return nil
}

// assignID needs the lock.
func (f *Fake) assignID(given int64) int64 {
	if given != 0 {
		return given
	}
	f.lastID++
	return f.lastID
}

// truncateTimes leaves out what the shop does not keep.
func (o *Order) truncateTimes() {
	for _, t := range []*time.Time{&o.CreatedAt, &o.UpdatedAt, &o.CancelledAt} {
		*t = t.Truncate(time.Second)
	}
}

func byCreation(a, b *Order) int {
	return cmp.Or(a.CreatedAt.Compare(b.CreatedAt), cmp.Compare(a.ID, b.ID))
}

func productID(p *Product, id int64) int { return cmp.Compare(p.ID, id) }

func timeOr(t, other time.Time) time.Time {
	if t.IsZero() {
		return other
	}
	return t
}
