package shopify

import (
	"net/http"

	"github.com/consignwatch/consignwatch/simulator/services/wire"
)

// object is a JSON object whose order does not matter.
type object = map[string]any

// exchange is a request with its answer.
type exchange struct {
	fake      *Fake
	w         http.ResponseWriter
	r         *http.Request
	shop      string
	operation string
	cost      int
}

// record counts the request.
func (x *exchange) record(outcome string) {
	f := x.fake
	f.mu.Lock()
	if s := f.shops[x.shop]; s != nil {
		s.requests[outcome]++
	}
	f.mu.Unlock()
	if f.config.Requested != nil {
		f.config.Requested(Request{x.shop, x.operation, outcome, x.cost, f.now()})
	}
}

// answer writes a body as it is.
func (x *exchange) answer(outcome string, status int, contentType string, body []byte) {
	x.record(outcome)
	wire.Answer(x.w, status, contentType, body)
}

const jsonType = "application/json; charset=utf-8"

func (x *exchange) json(outcome string, status int, body any) {
	x.answer(outcome, status, jsonType, wire.Marshal(body))
}

// refusals are the outcomes and messages of statuses. Shopify documents the statuses and the messages of 401 and 403; the others are what
// its edge is known to send.
func refusals() map[int][2]string {
	return map[int][2]string{
		http.StatusUnauthorized:        {"auth", "[API] Invalid API key or access token (unrecognized login or wrong password)"},
		http.StatusPaymentRequired:     {"frozen", "Unavailable Shop"},
		http.StatusForbidden:           {"forbidden", "[API] This action requires merchant approval for the required scope."},
		http.StatusNotFound:            {"not_found", "Not Found"},
		http.StatusLocked:              {"locked", "Unavailable Shop"},
		http.StatusTooManyRequests:     {"throttled", "Exceeded 2 calls per second for api client. Reduce request rates to resume uninterrupted service."},
		http.StatusInternalServerError: {"server_error", "Internal Server Error"},
	}
}

// refuse answers with a status and the body that belongs to it.
func (x *exchange) refuse(status int) {
	if refusal, ok := refusals()[status]; ok {
		if status == http.StatusTooManyRequests {
			x.w.Header().Set("Retry-After", "2.0")
		}
		x.json(refusal[0], status, object{"errors": refusal[1]})
		return
	}
	outcome := "other"
	switch {
	case status == http.StatusBadRequest:
		x.json("bad_request", status, object{"errors": object{"query": "Required parameter missing or invalid"}})
		return
	case status == 530:
		x.answer("server_error", status, "text/plain; charset=UTF-8", []byte("error code: 1016"))
		return
	case status == 430:
		outcome = "forbidden"
	case status >= 500:
		outcome = "server_error"
	}
	x.record(outcome)
	wire.HTMLPage(x.w, status)
}

// invalidBody answers 200 with a body that is no answer: each time another.
func (x *exchange) invalidBody() {
	x.fake.mu.Lock()
	s := x.fake.shops[x.shop]
	turn := s.invalidBodies % 4
	s.invalidBodies++
	x.fake.mu.Unlock()
	if turn == 3 {
		x.record("invalid_response")
		wire.HTMLPage(x.w, http.StatusOK)
		return
	}
	x.answer("invalid_response", http.StatusOK, jsonType, []byte([]string{`{"data":{"shop":{"id":"gid://shopify/Sh`, ``, `[]`}[turn]))
}
