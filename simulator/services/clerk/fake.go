package clerk

import (
	"cmp"
	"crypto/subtle"
	"net/http"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/consignwatch/consignwatch/simulator/services/webhook"
	"github.com/consignwatch/consignwatch/simulator/services/wire"
)

// Config configures the fake.
type Config struct {
	Now func() time.Time // Clerk's clock; nil: time.Now
	// SecretKey is the instance's, like sk_live_….
	SecretKey string
	// Issuer is the address of the Frontend API, like https://clerk.consign.example.
	Issuer string

	// Webhooks says how webhooks are sent: the zero value is the schedule of Svix in real time. Its clock is Clerk's.
	Webhooks webhook.SenderConfig
	// WebhookURL is where they go; empty: nowhere. WebhookSecret is base64, with or without the prefix whsec_.
	WebhookURL, WebhookSecret string

	// Requested is called after every request, without a lock held; may be nil.
	Requested func(Request)
}

// Request is a request and its outcome.
type Request struct {
	Operation string // like "GET /v1/users/count", with {id} for an id; "other": there is no such
	// Outcome is ok, throttled, auth, bad_request, not_found, server_error, invalid_response or other; timeout: the client went away before
	// the answer; down: the connection was cut.
	Outcome string
}

// Fake is an instance of Clerk.
type Fake struct {
	config Config
	sender *webhook.Sender
	routes *http.ServeMux

	mu       sync.Mutex
	switches Switches
	keys     []jose.JSONWebKey // private ones; the last one signs
	users    map[string]*User
	sessions map[string]*Session
}

// New returns an instance with one signing key and no users. Close it.
func New(config Config) *Fake {
	if config.Now == nil {
		config.Now = time.Now
	}
	f := &Fake{
		config: config, routes: routes(), keys: []jose.JSONWebKey{newSigningKey()},
		users: map[string]*User{}, sessions: map[string]*Session{},
	}
	f.sender = config.Webhooks.Start(webhook.SvixSchedule(), config.Now, func(webhook.Attempt) {})
	return f
}

// Close stops sending webhooks, and returns how many were still to be sent.
func (f *Fake) Close() int { return f.sender.Close() }

func (f *Fake) now() time.Time { return f.config.Now() }

// keysRoute does not count towards the limit.
const keysRoute = "GET /v1/jwks"

// routes are the operations of the API. Their writer is the exchange.
func routes() *http.ServeMux {
	mux := http.NewServeMux()
	for pattern, answer := range map[string]func(*exchange){
		keysRoute:                       (*exchange).jwks,
		"GET /v1/users/count":           (*exchange).countUsers,
		"GET /v1/sessions/{id}":         (*exchange).getSession,
		"POST /v1/sessions/{id}/tokens": (*exchange).createToken,
	} {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			x := w.(*exchange)
			x.r = r
			answer(x)
		})
	}
	return mux
}

// ServeHTTP implements http.Handler.
func (f *Fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	x := &exchange{ResponseWriter: w, fake: f, r: r}
	_, matched := f.routes.Handler(r)
	x.operation = cmp.Or(matched, "other")

	f.mu.Lock()
	switches := f.switches
	f.mu.Unlock()
	if !wire.Wait(r, switches.Slow) {
		x.record("timeout")
		return
	}
	switch {
	case switches.Down:
		x.record("down")
		wire.Drop()
	case switches.Status != 0:
		x.refuse(switches.Status)
	case matched == "":
		x.fail("not_found", http.StatusNotFound, apiError{"Resource not found", "The URL " + r.URL.Path + " is not known.", "resource_not_found", object{}})
	case !x.authorised():
	case switches.Throttled && matched != keysRoute:
		x.throttle()
	case switches.InvalidResponse:
		x.record("invalid_response")
		wire.HTMLPage(w, http.StatusOK)
	default:
		f.routes.ServeHTTP(x, r)
	}
}

// authorised answers requests without the secret key.
func (x *exchange) authorised() bool {
	right := "Bearer " + x.fake.config.SecretKey
	if subtle.ConstantTimeCompare([]byte(x.r.Header.Get("Authorization")), []byte(right)) == 1 {
		return true
	}
	const message = "The provided Clerk Secret Key is invalid. Make sure that your Clerk Secret Key is correct."
	x.fail("auth", http.StatusUnauthorized, apiError{message, message, "clerk_key_invalid", object{}})
	return false
}

// object is a JSON object whose order does not matter.
type object = map[string]any

// exchange is a request with its answer.
type exchange struct {
	http.ResponseWriter
	fake      *Fake
	r         *http.Request
	operation string
}

func (x *exchange) record(outcome string) {
	if x.fake.config.Requested != nil {
		x.fake.config.Requested(Request{x.operation, outcome})
	}
}

func (x *exchange) json(outcome string, status int, body any) {
	x.record(outcome)
	wire.Answer(x, status, "application/json", wire.Marshal(body))
}

// apiError is an error as the API writes it.
type apiError struct {
	Message     string `json:"message"`
	LongMessage string `json:"long_message"`
	Code        string `json:"code"`
	Meta        object `json:"meta"`
}

func (x *exchange) fail(outcome string, status int, problem apiError) {
	x.json(outcome, status, object{"errors": []apiError{problem}})
}

// throttle answers that the limit of an instance, 1,000 requests in ten seconds, is used up. The status and Retry-After are documented, the
// body is an assumption.
func (x *exchange) throttle() {
	x.Header().Set("Retry-After", "10")
	x.fail("throttled", http.StatusTooManyRequests, apiError{
		"Too many requests", "Too many requests. Please try again in a bit.", "too_many_requests", object{},
	})
}

// refuse answers with a status that is forced. Above 500 the edge answers, and it is not the API.
func (x *exchange) refuse(status int) {
	refusal, known := map[int][2]string{
		http.StatusBadRequest:          {"bad_request", "request_body_invalid"},
		http.StatusUnauthorized:        {"auth", "clerk_key_invalid"},
		http.StatusForbidden:           {"forbidden", "authorization_invalid"},
		http.StatusNotFound:            {"not_found", "resource_not_found"},
		http.StatusUnprocessableEntity: {"bad_request", "request_body_invalid"},
		http.StatusInternalServerError: {"server_error", "internal_clerk_error"},
	}[status]
	switch {
	case status == http.StatusTooManyRequests:
		x.throttle()
	case status > http.StatusInternalServerError:
		x.record("server_error")
		wire.HTMLPage(x, status)
	case known:
		x.fail(refusal[0], status, apiError{http.StatusText(status), http.StatusText(status), refusal[1], object{}})
	default:
		x.fail("other", status, apiError{http.StatusText(status), http.StatusText(status), "internal_clerk_error", object{}})
	}
}
