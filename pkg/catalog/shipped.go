package catalog

import (
	"regexp"
	"slices"
)

// Shipped is the catalog of everything that the project's programs expose.
func Shipped() *Catalog {
	c, err := New(slices.Concat(businessMetrics(), eventMetrics(), systemMetrics(), kafkaMetrics(),
		shopifyMetrics(), clerkMetrics(), mandrillMetrics(), ackdMetrics(), selfMetrics())...)
	if err != nil {
		panic("catalog: a shipped declaration breaks the rules: " + err.Error()) // TestShipped keeps this from happening
	}
	return c
}

// Slugs are what the platform itself uses in addresses: no personal data.
const (
	slug       = `[a-z0-9][a-z0-9_-]*`
	slugLength = 63
)

var slugPattern = regexp.MustCompile("^" + slug + "$")

// IsSlug reports whether a client can have this slug: whether it is a value of the label client. Configuration files name clients by it.
func IsSlug(name string) bool { return len(name) <= slugLength && slugPattern.MatchString(name) }

// Labels that several sections share.

func client() Label {
	return Label{Name: "client", Pattern: slug, MaxLength: slugLength, Limit: DefaultClients}
}

func saleEvent() Label {
	return Label{Name: "event", Pattern: slug, MaxLength: slugLength, Limit: 5, Within: "client"}
}

func role() Label {
	return typical(3, oneOf("role", "shopper", "consignor", "volunteer", "event_admin", "client_admin", "super_admin"))
}

func syncKind() Label {
	return typical(3, oneOf("kind", "products", "inventory", "orders", "email_address"))
}
