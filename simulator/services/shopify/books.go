package shopify

import (
	"maps"
	"slices"
	"strings"
)

// Books are what a shop holds, and the counts of its requests and webhooks.
type Books struct {
	// Requests by outcome: ok, throttled, auth, forbidden, not_found, frozen, locked, server_error,
	// invalid_response, bad_request, other; timeout: the client went away before the answer; down: the connection was
	// cut.
	Requests map[string]int64
	// Webhooks by outcome: sent, delivered, failed (attempts), given_up, lost (never sent), forged, refused
	// (too many waited).
	Webhooks map[string]int64
	// Points that queries have cost.
	Points        int64
	Orders        []Order        // by when they were created
	Products      []Product      // by id
	Subscriptions []Subscription // of all apps
}

// Books returns a copy of a shop's books.
func (f *Fake) Books(domain string) (Books, error) {
	var b Books
	err := f.withShop(domain, func(s *shop) error {
		b = Books{Requests: maps.Clone(s.requests), Webhooks: maps.Clone(s.webhooks), Points: s.pointsCharged}
		for _, o := range s.orders {
			b.Orders = append(b.Orders, *o)
		}
		for _, p := range s.products {
			b.Products = append(b.Products, *p)
		}
		for _, a := range s.apps {
			for _, sub := range a.subscriptions {
				b.Subscriptions = append(b.Subscriptions, *sub)
			}
		}
		return nil
	})
	return b, err
}

// Unknown returns the requests for shops that there are not, by outcome.
func (f *Fake) Unknown() map[string]int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return maps.Clone(f.unknown)
}

// Domains returns the domains of all shops, sorted.
func (f *Fake) Domains() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.SortedFunc(maps.Keys(f.shops), strings.Compare)
}
