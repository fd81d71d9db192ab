package webhook

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Outcomes of a webhook that was received.
const (
	Accepted         = "accepted"
	InvalidSignature = "invalid_signature"
	InvalidPayload   = "invalid_payload"
	Duplicate        = "duplicate"
)

// OtherTopic stands for topics that nobody announced, so that strangers cannot make up new ones.
const OtherTopic = "other"

// Paths at which a receiver takes webhooks.
const (
	ShopifyPath  = "/webhooks/shopify"
	ClerkPath    = "/webhooks/clerk"
	MandrillPath = "/webhooks/mandrill"
)

// ReceiverConfig configures a receiver. Secrets are asked for on each webhook, so that they can change; the first two that
// are returned may be the new one and the old one.
type ReceiverConfig struct {
	Now func() time.Time // the platform's clock; nil: time.Now
	// ShopifyClient returns the client that a shop belongs to, and its app's secrets; none for a shop that is not known.
	ShopifyClient func(domain string) (client string, secrets []string)
	ClerkSecrets  func() []string
	// MandrillKeys are the webhook's keys. MandrillURL is its URL as it is configured at Mandrill, which may differ from
	// what arrives here.
	MandrillKeys func() []string
	MandrillURL  string
	// Topics that are expected, as their providers spell them. All others are OtherTopic.
	Topics []string
	// Handle takes over what was received, within the context's time. Its error matters for what is accepted: the
	// provider then hears that it has to try again.
	Handle func(context.Context, Received) error
	// Limit is how long Handle may take: less than the providers wait. 0: four seconds.
	Limit time.Duration
	// Remembered is how many ids are remembered at least, to know what was received already; 0: 100,000.
	Remembered int
}

// Received is a webhook that was received, or an event of a batch.
type Received struct {
	Provider string
	Client   string // only for shops that are known and subaccounts; not to be believed with InvalidSignature
	Topic    string
	Outcome  string
	ID       string
	Delay    time.Duration // since it was triggered; 0 when that is not known
	Body     []byte        // of the webhook, or of the event
	Err      error         // why it was not accepted
}

// Receiver is the platform's end of webhooks.
type Receiver struct {
	config ReceiverConfig
	seen   *seen
}

// NewReceiver returns a receiver.
func NewReceiver(config ReceiverConfig) *Receiver {
	if config.Now == nil {
		config.Now = time.Now
	}
	config.Limit = cmp.Or(config.Limit, 4*time.Second)
	return &Receiver{config: config, seen: newSeen(cmp.Or(config.Remembered, 100_000))}
}

// MaxWebhook is how large a webhook may be.
const MaxWebhook = 10 << 20

// ServeHTTP implements http.Handler. Accepted webhooks and duplicates get 200; 401 a wrong signature, 400 a body that
// cannot be read, 503 what could not be taken over.
func (rc *Receiver) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodHead && r.URL.Path == MandrillPath { // Mandrill looks whether there is anybody
		return
	}
	if r.Method != http.MethodPost {
		http.Error(w, "webhooks are posted", http.StatusMethodNotAllowed)
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, MaxWebhook))
	if err != nil { // too large, or the sender has gone: nothing was received
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
	ctx, cancel := context.WithTimeout(r.Context(), rc.config.Limit)
	defer cancel()
	for _, one := range received {
		if !rc.hand(ctx, one) {
			status = http.StatusServiceUnavailable
		}
	}
	w.WriteHeader(status)
}

// hand hands over, and returns false when what was accepted has to come again.
func (rc *Receiver) hand(ctx context.Context, one Received) bool {
	key := strings.Join([]string{one.Provider, one.Client, one.Topic, one.ID}, "\n")
	if one.Outcome == Accepted && !rc.seen.add(key) {
		one.Outcome = Duplicate
	}
	err := rc.config.Handle(ctx, one)
	if one.Outcome == Accepted && err != nil {
		rc.seen.remove(key) // so that the next attempt is no duplicate
		return false
	}
	return true
}

// status is the answer to a webhook.
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

// refused turns what was received into what it is because of an error.
func (r Received) refused(outcome string, err error) Received {
	r.Outcome, r.Err, r.Delay = outcome, err, 0
	return r
}

// since is the delay of what was triggered at a time. A clock that is ahead makes none.
func (rc *Receiver) since(triggered time.Time) time.Duration {
	return max(0, rc.config.Now().Sub(triggered))
}

// header reads a header of Shopify, which has two spellings of each.
func header(h http.Header, name string) string { return cmp.Or(h.Get("X-"+name), h.Get(name)) }

func (rc *Receiver) shopify(h http.Header, body []byte) Received {
	one := Received{
		Provider: ProviderShopify, Outcome: Accepted, Topic: rc.topic(header(h, "Shopify-Topic")), ID: header(h, "Shopify-Webhook-Id"), Body: body,
	}
	var secrets []string
	if rc.config.ShopifyClient != nil {
		one.Client, secrets = rc.config.ShopifyClient(header(h, "Shopify-Shop-Domain"))
	}
	if err := VerifyShopify(header(h, "Shopify-Hmac-Sha256"), body, secrets...); err != nil {
		return one.refused(InvalidSignature, err)
	}
	triggered, err := time.Parse(time.RFC3339Nano, header(h, "Shopify-Triggered-At"))
	switch {
	case err != nil:
		return one.refused(InvalidPayload, errors.New("X-Shopify-Triggered-At cannot be read"))
	case one.ID == "":
		return one.refused(InvalidPayload, errors.New("X-Shopify-Webhook-Id is missing"))
	case !isObject(body):
		return one.refused(InvalidPayload, errNoObject)
	}
	one.Delay = rc.since(triggered)
	return one
}

var errNoObject = errors.New("the body is not a JSON object")

func isObject(body []byte) bool {
	return json.Valid(body) && strings.HasPrefix(strings.TrimLeft(string(body), " \t\r\n"), "{")
}

func (rc *Receiver) clerk(h http.Header, body []byte) Received {
	one := Received{Provider: ProviderClerk, Outcome: Accepted, Topic: OtherTopic, ID: h.Get("svix-id"), Body: body}
	if err := VerifySvix(h, body, rc.config.Now(), list(rc.config.ClerkSecrets)...); err != nil {
		return one.refused(InvalidSignature, err)
	}
	var envelope struct {
		Type      string `json:"type"`
		Timestamp int64  `json:"timestamp"` // milliseconds
	}
	if err := json.Unmarshal(body, &envelope); err != nil || envelope.Type == "" || envelope.Timestamp == 0 {
		return one.refused(InvalidPayload, errors.New("the body is no event of Clerk"))
	}
	one.Topic, one.Delay = rc.topic(envelope.Type), rc.since(time.UnixMilli(envelope.Timestamp))
	return one
}

// testKey signs what Mandrill posts while a webhook is being made, before it has a key. An assumption.
const testKey = "test-webhook"

// mandrill takes a batch apart: each event counts for itself. One that cannot be read is no reason to have the batch sent
// again.
func (rc *Receiver) mandrill(h http.Header, body []byte) ([]Received, int) {
	refused := func(r Received) ([]Received, int) { return []Received{r}, r.status() }
	batch := Received{Provider: ProviderMandrill, Outcome: Accepted, Topic: OtherTopic, Body: body}
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return refused(batch.refused(InvalidPayload, errors.New("the body is no form")))
	}
	keys := list(rc.config.MandrillKeys)
	if form.Get("mandrill_events") == "[]" { // an empty batch tells nothing, whoever sends it
		keys = append(slices.Clone(keys), testKey)
	}
	if err := VerifyMandrill(h.Get("X-Mandrill-Signature"), rc.config.MandrillURL, form, keys...); err != nil {
		return refused(batch.refused(InvalidSignature, err))
	}
	var events []json.RawMessage
	if err := json.Unmarshal([]byte(form.Get("mandrill_events")), &events); err != nil || len(events) > MaxBatch {
		return refused(batch.refused(InvalidPayload, fmt.Errorf("mandrill_events is no list of at most %d events", MaxBatch)))
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
			all = append(all, one.refused(InvalidPayload, errors.New("not an event of Mandrill")))
			continue
		}
		one.Client, one.Topic, one.Delay = e.Msg.Subaccount, rc.topic(e.Event), rc.since(time.Unix(e.TS, 0))
		one.ID = e.Event + " " + e.ID + " " + strconv.FormatInt(e.TS, 10) // Mandrill gives events no id of their own
		all = append(all, one)
	}
	return all, http.StatusOK
}

func list(secrets func() []string) []string {
	if secrets == nil {
		return nil
	}
	return secrets()
}
