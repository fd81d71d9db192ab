package webhook

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
)

// Outcomes of a webhook that was received.
const (
	Accepted         = "accepted"
	InvalidSignature = "invalid_signature"
	InvalidPayload   = "invalid_payload"
	Duplicate        = "duplicate"
)

// OtherTopic stands for unexpected topics: strangers must not make up label values.
const OtherTopic = "other"

// Paths of a receiver.
const (
	ShopifyPath  = "/webhooks/shopify"
	ClerkPath    = "/webhooks/clerk"
	MandrillPath = "/webhooks/mandrill"
)

// ReceiverConfig configures a receiver.
type ReceiverConfig struct {
	Now func() time.Time // the platform's clock; nil: time.Now
	// ShopifyClient returns the client of a shop, and its app's secret; none for an unknown shop.
	ShopifyClient func(domain string) (client, secret string)
	ClerkSecret   string
	// MandrillKey is the webhook's key. MandrillURL is its URL as it is configured at Mandrill, which may differ from
	// what arrives here.
	MandrillKey, MandrillURL string
	// Topics that are expected, as their providers spell them. All others are OtherTopic.
	Topics []string
	// Handle handles what was received, within handleLimit. If it fails for an accepted webhook, the provider gets an error and retries.
	Handle func(context.Context, Received) error
}

const (
	handleLimit = 4 * time.Second // below the providers' timeouts
	idsKept     = 100_000         // to recognise duplicates
)

// Received is a webhook that was received, or an event of a batch.
type Received struct {
	Provider string
	Client   string // of known shops and subaccounts only; not to be trusted with InvalidSignature
	Topic    string
	Outcome  string
	ID       string
	Delay    time.Duration // since the webhook was triggered; 0: unknown
	Body     []byte        // of the webhook, or of the event
}

// Receiver is the platform's endpoint for webhooks.
type Receiver struct {
	config ReceiverConfig
	seen   *lru.Cache[string, struct{}]
}

// NewReceiver returns a receiver.
func NewReceiver(config ReceiverConfig) *Receiver {
	if config.Now == nil {
		config.Now = time.Now
	}
	seen, _ := lru.New[string, struct{}](idsKept) // it is a size
	return &Receiver{config, seen}
}

// MaxWebhook is the maximum size of a webhook.
const MaxWebhook = 10 << 20

// ServeHTTP implements http.Handler. Accepted webhooks and duplicates get 200, an invalid signature 401, an invalid body 400, and 503 if
// Handle failed.
func (rc *Receiver) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		http.Error(w, "webhooks are posted", http.StatusMethodNotAllowed)
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, MaxWebhook))
	if err != nil { // too large, or the sender left: nothing was received
		http.Error(w, "the body cannot be read", http.StatusBadRequest)
		return
	}
	var received []Received
	status := http.StatusOK
	switch r.URL.Path {
	case ShopifyPath:
		one := rc.shopify(r.Header, body)
		received, status = []Received{one}, one.status()
	case ClerkPath:
		one := rc.clerk(r.Header, body)
		received, status = []Received{one}, one.status()
	case MandrillPath:
		received, status = rc.mandrill(r.Header, body)
	default:
		http.NotFound(w, r)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), handleLimit)
	defer cancel()
	for _, one := range received {
		if !rc.hand(ctx, one) {
			status = http.StatusServiceUnavailable
		}
	}
	w.WriteHeader(status)
}

// hand calls Handle, and returns false if an accepted webhook has to be retried.
func (rc *Receiver) hand(ctx context.Context, one Received) bool {
	key := strings.Join([]string{one.Provider, one.Client, one.Topic, one.ID}, "\n")
	if one.Outcome == Accepted {
		if known, _ := rc.seen.ContainsOrAdd(key, struct{}{}); known {
			one.Outcome = Duplicate
		}
	}
	err := rc.config.Handle(ctx, one)
	if one.Outcome == Accepted && err != nil {
		rc.seen.Remove(key) // the retry is not a duplicate
		return false
	}
	return true
}

// status returns the status of the response to a webhook.
func (r Received) status() int {
	switch r.Outcome {
	case InvalidSignature:
		return http.StatusUnauthorized
	case InvalidPayload:
		return http.StatusBadRequest
	}
	return http.StatusOK
}

func (rc *Receiver) topic(topic string) string {
	if slices.Contains(rc.config.Topics, topic) {
		return topic
	}
	return OtherTopic
}

// refused returns what was received with another outcome.
func (r Received) refused(outcome string) Received {
	r.Outcome, r.Delay = outcome, 0
	return r
}

// since returns the delay since a time, 0 for a clock that is ahead.
func (rc *Receiver) since(triggered time.Time) time.Duration {
	return max(0, rc.config.Now().Sub(triggered))
}

func (rc *Receiver) shopify(h http.Header, body []byte) Received {
	one := Received{
		Provider: ProviderShopify, Outcome: Accepted, Topic: rc.topic(h.Get("X-Shopify-Topic")), ID: h.Get("X-Shopify-Webhook-Id"), Body: body,
	}
	secret := ""
	if rc.config.ShopifyClient != nil {
		one.Client, secret = rc.config.ShopifyClient(h.Get("X-Shopify-Shop-Domain"))
	}
	triggered, err := time.Parse(time.RFC3339Nano, h.Get("X-Shopify-Triggered-At"))
	switch {
	case !same(secret, h.Get("X-Shopify-Hmac-Sha256"), SignShopify(secret, body)):
		return one.refused(InvalidSignature)
	case err != nil || one.ID == "" || !isObject(body):
		return one.refused(InvalidPayload)
	}
	one.Delay = rc.since(triggered)
	return one
}

func isObject(body []byte) bool {
	return json.Valid(body) && strings.HasPrefix(strings.TrimLeft(string(body), " \t\r\n"), "{")
}

func (rc *Receiver) clerk(h http.Header, body []byte) Received {
	one := Received{Provider: ProviderClerk, Outcome: Accepted, Topic: OtherTopic, ID: h.Get("svix-id"), Body: body}
	if !verifySvix(h, body, rc.config.Now(), rc.config.ClerkSecret) {
		return one.refused(InvalidSignature)
	}
	var envelope struct {
		Type      string `json:"type"`
		Timestamp int64  `json:"timestamp"` // milliseconds
	}
	if err := json.Unmarshal(body, &envelope); err != nil || envelope.Type == "" || envelope.Timestamp == 0 {
		return one.refused(InvalidPayload)
	}
	one.Topic, one.Delay = rc.topic(envelope.Type), rc.since(time.UnixMilli(envelope.Timestamp))
	return one
}

// mandrill splits a batch: each event counts for itself. An invalid event does not make Mandrill retry the batch.
func (rc *Receiver) mandrill(h http.Header, body []byte) ([]Received, int) {
	refused := func(r Received) ([]Received, int) { return []Received{r}, r.status() }
	batch := Received{Provider: ProviderMandrill, Outcome: Accepted, Topic: OtherTopic, Body: body}
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return refused(batch.refused(InvalidPayload))
	}
	key := rc.config.MandrillKey
	if !same(key, h.Get("X-Mandrill-Signature"), SignMandrill(key, rc.config.MandrillURL, form)) {
		return refused(batch.refused(InvalidSignature))
	}
	var events []json.RawMessage
	if err := json.Unmarshal([]byte(form.Get("mandrill_events")), &events); err != nil || len(events) > MaxBatch {
		return refused(batch.refused(InvalidPayload))
	}
	var all []Received
	for _, event := range events {
		one := Received{Provider: ProviderMandrill, Outcome: Accepted, Topic: OtherTopic, Body: event}
		var e struct {
			Event string `json:"event"`
			ID    string `json:"_id"`
			TS    int64  `json:"ts"` // seconds
			Msg   struct {
				Subaccount string `json:"subaccount"`
			} `json:"msg"`
		}
		if err := json.Unmarshal(event, &e); err != nil || e.Event == "" || e.TS == 0 {
			all = append(all, one.refused(InvalidPayload))
			continue
		}
		one.Client, one.Topic, one.Delay = e.Msg.Subaccount, rc.topic(e.Event), rc.since(time.Unix(e.TS, 0))
		one.ID = e.Event + " " + e.ID + " " + strconv.FormatInt(e.TS, 10) // events of Mandrill have no id
		all = append(all, one)
	}
	return all, http.StatusOK
}
