package shopify

import "maps"

// Books are what a shop holds, and the counts of its requests and webhooks.
type Books struct {
	// Requests by outcome: ok, throttled, auth, forbidden, not_found, frozen, locked, server_error,
	// invalid_response, bad_request, other; timeout: the client went away before the answer; down: the connection was
	// cut.
	Requests map[string]int64
	// Webhooks by outcome: sent, delivered, failed (attempts), given_up, lost (never sent), forged, refused
	// (too many waited).
	Webhooks      map[string]int64
	Orders        []Order // by when they were created
	Subscriptions []Subscription
}

// Books returns a copy of a shop's books.
func (f *Fake) Books(domain string) (Books, error) {
	var b Books
	err := f.withShop(domain, func(s *shop) error {
		b = Books{Requests: maps.Clone(s.requests), Webhooks: maps.Clone(s.webhooks), Orders: values(s.orders), Subscriptions: values(s.subscriptions)}
		return nil
	})
	return b, err
}

func values[T any](pointers []*T) (all []T) {
	for _, p := range pointers {
		all = append(all, *p)
	}
	return all
}
