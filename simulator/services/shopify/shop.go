package shopify

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"
)

// ErrUnknown says that there is no such shop, app, order or subscription.
var ErrUnknown = errors.New("not known")

// Shop is a shop with the app that the platform has in it.
type Shop struct {
	Domain string // like kids-north.myshopify.com
	ID     int64  // 0: given by the fake
	Name   string
	Plan   Plan // the zero value is Basic
	App    App
}

// App is an app in a shop. It has a bucket of points and webhook subscriptions of its own.
type App struct {
	ClientID     string
	ClientSecret string   // signs webhooks and asks for tokens
	AccessToken  string   // one that never expires; empty: only the client-credentials grant gives tokens
	Scopes       []string // like read_orders
	TokenLife    time.Duration
}

// Order is an order. Its times are as the shop has them.
type Order struct {
	ID                int64  // 0: given by the fake
	Name              string // like #1001; empty: given by the fake
	CreatedAt         time.Time
	UpdatedAt         time.Time // zero: CreatedAt
	ProcessedAt       time.Time // zero: CreatedAt
	CancelledAt       time.Time // zero: it is not
	Closed            bool
	Test              bool
	FinancialStatus   string // PAID if empty
	FulfillmentStatus string // UNFULFILLED if empty
	Currency          string
	Lines             []Line
}

// Line is what was sold.
type Line struct {
	ProductID int64
	Title     string
	Quantity  int
	Price     string // decimal
}

// Product is a product.
type Product struct {
	ID        int64 // 0: given by the fake
	Title     string
	Status    string // ACTIVE if empty
	CreatedAt time.Time
	UpdatedAt time.Time // zero: CreatedAt
}

// Subscription is a webhook subscription that was made through the Admin API.
type Subscription struct {
	App       string // the client id of its app; filled in by the fake
	ID        int64  // 0: given by the fake
	Topic     string // as in the API: ORDERS_CREATE
	URI       string
	Name      string
	Filter    string // shown, and not applied
	CreatedAt time.Time
	UpdatedAt time.Time
}

type shop struct {
	Shop
	apps          []*app
	orders        []*Order // by CreatedAt, then ID
	ordersByID    map[int64]*Order
	products      []*Product // by ID
	switches      Switches
	expiredSince  time.Time
	requests      map[string]int64
	webhooks      map[string]int64
	invalidBodies int // answers that were none, so that each is another
	orderNames    int64
	pointsCharged int64
}

type app struct {
	App
	id            int64
	bucket        bucket
	tokens        map[string]token
	subscriptions []*Subscription
}

type token struct {
	issued  time.Time
	expires time.Time // zero: never
}

// AddShop opens a shop.
func (f *Fake) AddShop(s Shop) error {
	if s.Plan == (Plan{}) {
		s.Plan = Basic()
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if s.Domain == "" || f.shops[s.Domain] != nil {
		return fmt.Errorf("shopify: a shop with the domain %q cannot be added: it is there, or has no name", s.Domain)
	}
	s.ID = f.assignID(s.ID)
	added := &shop{Shop: s, ordersByID: map[int64]*Order{}, requests: map[string]int64{}, webhooks: map[string]int64{}, orderNames: 1000}
	added.apps = []*app{f.newApp(s.App, s.Plan)}
	f.shops[s.Domain] = added
	return nil
}

// AddApp installs another app in a shop.
func (f *Fake) AddApp(domain string, a App) error {
	return f.withShop(domain, func(s *shop) error {
		s.apps = append(s.apps, f.newApp(a, s.Plan))
		return nil
	})
}

func (f *Fake) newApp(a App, plan Plan) *app {
	a.TokenLife = cmp.Or(a.TokenLife, 24*time.Hour-time.Second)
	added := &app{App: a, id: f.assignID(0), tokens: map[string]token{}, bucket: newBucket(plan, f.now())}
	if a.AccessToken != "" {
		added.tokens[a.AccessToken] = token{issued: f.now()}
	}
	return added
}

// CreateOrder takes an order, and sends orders/create, and orders/paid where it is paid.
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
		o.UpdatedAt, o.ProcessedAt = timeOr(o.UpdatedAt, o.CreatedAt), timeOr(o.ProcessedAt, o.CreatedAt)
		o.truncateTimes()
		o.FinancialStatus, o.FulfillmentStatus = cmp.Or(o.FinancialStatus, "PAID"), cmp.Or(o.FulfillmentStatus, "UNFULFILLED")
		s.orderNames++
		o.Name = cmp.Or(o.Name, fmt.Sprintf("#%d", s.orderNames))
		added := o
		i, _ := slices.BinarySearchFunc(s.orders, &added, byCreation)
		s.orders = slices.Insert(s.orders, i, &added)
		s.ordersByID[o.ID] = &added
		if notify {
			f.sendWebhook(s, "ORDERS_CREATE", orderPayload(added))
			if o.FinancialStatus == "PAID" {
				f.sendWebhook(s, "ORDERS_PAID", orderPayload(added))
			}
		}
		return nil
	})
	return o, err
}

// UpdateOrder changes an order, and sends orders/updated, and orders/cancelled where it was cancelled. Its id and when it
// was created stay.
func (f *Fake) UpdateOrder(domain string, id int64, change func(*Order)) error {
	return f.withShop(domain, func(s *shop) error {
		o := s.ordersByID[id]
		if o == nil {
			return fmt.Errorf("order %d: %w", id, ErrUnknown)
		}
		before := *o
		change(o)
		o.ID, o.CreatedAt = before.ID, before.CreatedAt
		if o.UpdatedAt.Equal(before.UpdatedAt) {
			o.UpdatedAt = f.now()
		}
		o.truncateTimes()
		f.sendWebhook(s, "ORDERS_UPDATED", orderPayload(*o))
		if before.CancelledAt.IsZero() && !o.CancelledAt.IsZero() {
			f.sendWebhook(s, "ORDERS_CANCELLED", orderPayload(*o))
		}
		return nil
	})
}

// CreateProduct adds a product, and sends products/create.
func (f *Fake) CreateProduct(domain string, p Product) (Product, error) {
	return f.addProduct(domain, p, true)
}

// PutProduct adds a product without a webhook.
func (f *Fake) PutProduct(domain string, p Product) (Product, error) {
	return f.addProduct(domain, p, false)
}

func (f *Fake) addProduct(domain string, p Product, notify bool) (Product, error) {
	err := f.withShop(domain, func(s *shop) error {
		p.ID = f.assignID(p.ID)
		p.Status = cmp.Or(p.Status, "ACTIVE")
		p.CreatedAt = timeOr(p.CreatedAt, f.now()).Truncate(time.Second)
		p.UpdatedAt = timeOr(p.UpdatedAt, p.CreatedAt).Truncate(time.Second)
		i, found := slices.BinarySearchFunc(s.products, p.ID, productID)
		if found {
			return fmt.Errorf("product %d is there already", p.ID)
		}
		added := p
		s.products = slices.Insert(s.products, i, &added)
		if notify {
			f.sendWebhook(s, "PRODUCTS_CREATE", productPayload(added))
		}
		return nil
	})
	return p, err
}

// DeleteProduct takes a product away, and sends products/delete.
func (f *Fake) DeleteProduct(domain string, id int64) error {
	return f.withShop(domain, func(s *shop) error {
		i, found := slices.BinarySearchFunc(s.products, id, productID)
		if !found {
			return fmt.Errorf("product %d: %w", id, ErrUnknown)
		}
		s.products = slices.Delete(s.products, i, i+1)
		f.sendWebhook(s, "PRODUCTS_DELETE", object{{"id", id}})
		return nil
	})
}

// Subscribe adds a webhook subscription of the app with the client id; empty: of the shop's first app.
func (f *Fake) Subscribe(domain, clientID string, sub Subscription) (Subscription, error) {
	err := f.withShop(domain, func(s *shop) error {
		if adminSchema.Types["WebhookSubscriptionTopic"].EnumValues.ForName(sub.Topic) == nil {
			return fmt.Errorf("topic %q: %w", sub.Topic, ErrUnknown)
		}
		a := s.app(clientID)
		if a == nil {
			return fmt.Errorf("app %q: %w", clientID, ErrUnknown)
		}
		sub.ID, sub.App = f.assignID(sub.ID), a.ClientID
		sub.CreatedAt = timeOr(sub.CreatedAt, f.now())
		sub.UpdatedAt = timeOr(sub.UpdatedAt, sub.CreatedAt)
		added := sub
		a.subscriptions = append(a.subscriptions, &added)
		return nil
	})
	return sub, err
}

// Unsubscribe removes all subscriptions to a topic (ORDERS_CREATE) in a shop, as Shopify does when deliveries fail for
// long, and returns them, ready for Subscribe. No topic: all.
func (f *Fake) Unsubscribe(domain, topic string) ([]Subscription, error) {
	var gone []Subscription
	err := f.withShop(domain, func(s *shop) error {
		for _, a := range s.apps {
			a.subscriptions = slices.DeleteFunc(a.subscriptions, func(sub *Subscription) bool {
				if topic != "" && sub.Topic != topic {
					return false
				}
				gone = append(gone, *sub)
				return true
			})
		}
		return nil
	})
	return gone, err
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

func (s *shop) app(clientID string) *app {
	for _, a := range s.apps {
		if clientID == "" || a.ClientID == clientID {
			return a
		}
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
	for _, t := range []*time.Time{&o.CreatedAt, &o.UpdatedAt, &o.ProcessedAt, &o.CancelledAt} {
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
