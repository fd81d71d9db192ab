package catalog

import "slices"

// Shipped is the catalog of everything that the project's programs expose.
func Shipped() *Catalog {
	c, err := New(slices.Concat(businessMetrics(), eventMetrics(), systemMetrics(), kafkaMetrics(),
		shopifyMetrics(), clerkMetrics(), mandrillMetrics(), ackdMetrics(), selfMetrics())...)
	if err != nil {
		panic("catalog: a shipped declaration breaks the rules: " + err.Error()) // TestShipped keeps this from happening
	}
	return c
}

// Labels that several sections share. Slugs are what the platform itself uses in addresses: no personal data.
const slug = `[a-z0-9][a-z0-9_-]*`

func client() Label {
	return Label{Name: "client", Pattern: slug, MaxLength: 63, Limit: DefaultClients}
}

func saleEvent() Label {
	return Label{Name: "event", Pattern: slug, MaxLength: 63, Limit: 5, Within: "client"}
}

func role() Label {
	return typical(3, oneOf("role", "shopper", "consignor", "volunteer", "event_admin", "client_admin", "super_admin"))
}

func syncKind() Label {
	return typical(3, oneOf("kind", "products", "inventory", "orders", "email_address"))
}
