package webhook

import (
	"net/http"
	"net/url"
	"time"
)

// Providers of webhooks, by the names that they have in the platform's events.
const (
	ProviderShopify  = "shopify"
	ProviderClerk    = "clerk"
	ProviderMandrill = "mandrill"
)

// Message is a webhook to be delivered. Retries have the same body; headers may depend on the time of the attempt.
type Message struct {
	Endpoint string // the subscription, as the sender names it
	URL      string
	Body     []byte
	Once     bool // no retries

	sign func(header http.Header, at time.Time)
}

// Shopify is a webhook of a shop.
type Shopify struct {
	Secret      string // of the app; never sent
	Shop        string // its domain
	Topic       string // like orders/create
	APIVersion  string
	WebhookID   string // of the delivery
	EventID     string // of the event: the same for all subscriptions
	TriggeredAt time.Time
	Body        []byte
}

// Message returns the webhook for an address.
func (s Shopify) Message(endpoint, address string) Message {
	return Message{
		Endpoint: endpoint, URL: address, Body: s.Body,
		sign: func(h http.Header, _ time.Time) {
			h.Set("Content-Type", "application/json")
			h.Set("User-Agent", "Shopify-Captain-Hook")
			h.Set("X-Shopify-Topic", s.Topic)
			h.Set("X-Shopify-Hmac-Sha256", SignShopify(s.Secret, s.Body))
			h.Set("X-Shopify-Shop-Domain", s.Shop)
			h.Set("X-Shopify-API-Version", s.APIVersion)
			h.Set("X-Shopify-Webhook-Id", s.WebhookID)
			h.Set("X-Shopify-Triggered-At", s.TriggeredAt.UTC().Format(time.RFC3339Nano))
			h.Set("X-Shopify-Event-Id", s.EventID)
		},
	}
}

// Svix is a webhook of Clerk, which sends them through Svix. Each attempt has a signature of its own time.
type Svix struct {
	Secret string // base64, with or without the prefix whsec_; never sent
	ID     string
	Body   []byte
}

// Message returns the webhook for an address.
func (s Svix) Message(endpoint, address string) Message {
	return Message{
		Endpoint: endpoint, URL: address, Body: s.Body,
		sign: func(h http.Header, at time.Time) {
			h.Set("Content-Type", "application/json")
			h.Set("User-Agent", "Svix-Webhooks/1.0")
			h.Set("svix-id", s.ID)
			h.Set("svix-timestamp", unixSeconds(at))
			h.Set("svix-signature", SignSvix(s.Secret, s.ID, at, s.Body))
		},
	}
}

// MaxBatch is the maximum number of events in a webhook of Mandrill.
const MaxBatch = 1000

// Mandrill is a batch of events of Mandrill.
type Mandrill struct {
	Key    string // auth_key of the webhook; never sent
	Events []byte // a JSON array
}

// Message returns the webhook for an address.
func (m Mandrill) Message(endpoint, address string) Message {
	form := url.Values{"mandrill_events": {string(m.Events)}}
	return Message{
		Endpoint: endpoint, URL: address, Body: []byte(form.Encode()),
		sign: func(h http.Header, _ time.Time) {
			h.Set("Content-Type", "application/x-www-form-urlencoded")
			h.Set("User-Agent", "Mandrill-Webhook/1.0")
			h.Set("X-Mandrill-Signature", SignMandrill(m.Key, address, form))
		},
	}
}
