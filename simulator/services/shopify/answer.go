package shopify

import (
	"net/http"

	"github.com/consignwatch/consignwatch/simulator/services/wire"
)

// exchange is a request with its answer.
type exchange struct {
	fake      *Fake
	w         http.ResponseWriter
	r         *http.Request
	shop      string
	id        string // X-Request-Id
	operation string
	cost      int
}

// record counts the request.
func (x *exchange) record(outcome string, status int) {
	f := x.fake
	f.mu.Lock()
	if s := f.shops[x.shop]; s != nil {
		s.requests[outcome]++
		s.pointsCharged += int64(x.cost)
	} else {
		f.unknown[outcome]++
	}
	f.mu.Unlock()
	if f.config.Requested != nil {
		f.config.Requested(Request{Shop: x.shop, Operation: x.operation, Outcome: outcome, Status: status, Cost: x.cost, At: f.now()})
	}
}

// answer writes a body as it is.
func (x *exchange) answer(outcome string, status int, contentType string, body []byte) {
	x.record(outcome, status)
	wire.Answer(x.w, status, contentType, body)
}

const jsonType = "application/json; charset=utf-8"

func (x *exchange) json(outcome string, status int, body any) {
	x.answer(outcome, status, jsonType, wire.Marshal(body))
}

// The bodies of refusals. Shopify documents the statuses and those of 401 and 403; the others are what its edge is known
// to send.
const (
	notFound    = "Not Found"
	wrongToken  = "[API] Invalid API key or access token (unrecognized login or wrong password)"
	notApproved = "[API] This action requires merchant approval for the required scope."
	unavailable = "Unavailable Shop"
	tooMany     = "Exceeded 2 calls per second for api client. Reduce request rates to resume uninterrupted service."
	internal    = "Internal Server Error"
)

// refuse answers with a status and the body that belongs to it.
func (x *exchange) refuse(status int) {
	text := func(outcome, message string) { x.json(outcome, status, object{{"errors", message}}) }
	page := func(outcome string) { x.record(outcome, status); wire.HTMLPage(x.w, status) }
	switch status {
	case http.StatusBadRequest:
		x.json("bad_request", status, object{{"errors", object{{"query", "Required parameter missing or invalid"}}}})
	case http.StatusUnauthorized:
		text("auth", wrongToken)
	case http.StatusPaymentRequired:
		text("frozen", unavailable)
	case http.StatusForbidden:
		text("forbidden", notApproved)
	case http.StatusNotFound:
		text("not_found", notFound)
	case http.StatusLocked:
		text("locked", unavailable)
	case http.StatusTooManyRequests:
		x.w.Header().Set("Retry-After", "2.0")
		text("throttled", tooMany)
	case 430:
		page("forbidden")
	case http.StatusInternalServerError:
		text("server_error", internal)
	case 530:
		x.answer("server_error", status, "text/plain; charset=UTF-8", []byte("error code: 1016"))
	default:
		outcome := "other"
		if status >= 500 {
			outcome = "server_error"
		}
		page(outcome)
	}
}

// invalidBody answers 200 with a body that is no answer: each time another.
func (x *exchange) invalidBody() {
	x.fake.mu.Lock()
	s := x.fake.shops[x.shop]
	s.invalidBodies++
	turn := s.invalidBodies
	x.fake.mu.Unlock()
	const outcome = "invalid_response"
	switch turn % 4 {
	case 1:
		x.answer(outcome, http.StatusOK, jsonType, []byte(`{"data":{"shop":{"id":"gid://shopify/Sh`))
	case 2:
		x.record(outcome, http.StatusOK)
		wire.HTMLPage(x.w, http.StatusOK)
	case 3:
		x.answer(outcome, http.StatusOK, jsonType, nil)
	default:
		x.answer(outcome, http.StatusOK, jsonType, []byte(`[]`))
	}
}
