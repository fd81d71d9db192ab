package mandrill

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"

	"github.com/consignwatch/consignwatch/simulator/services/wire"
)

// exchange is a request with its answer.
type exchange struct {
	fake   *Fake
	w      http.ResponseWriter
	r      *http.Request
	modern bool // of a version after 1.0: errors have HTTP statuses of their own
	body   []byte
}

// calls are the operations of the API.
func calls() map[string]func(*exchange) {
	return map[string]func(*exchange){
		"users/ping2":      func(x *exchange) { x.ok(map[string]string{"PING": "PONG!"}) },
		"users/info":       (*exchange).usersInfo,
		"subaccounts/list": (*exchange).listSubaccounts,
		"subaccounts/info": (*exchange).subaccountInfo,
		"senders/domains":  (*exchange).listDomains,
		"webhooks/list":    (*exchange).listWebhooks,
		"messages/send":    (*exchange).sendMessage,
	}
}

// record counts the request.
func (x *exchange) record(outcome string) {
	x.fake.mu.Lock()
	defer x.fake.mu.Unlock()
	x.fake.requests[outcome]++
}

func (x *exchange) ok(body any) {
	x.record("ok")
	wire.Answer(x.w, http.StatusOK, "application/json; charset=utf-8", wire.Marshal(body))
}

// failure is how an error comes: its code and HTTP status since 1.3; in 1.0 the status is always 500.
type failure struct {
	code, oldCode, status int
	outcome               string
}

func failures() map[string]failure {
	return map[string]failure{
		"Invalid_Key":          {401, -1, http.StatusUnauthorized, "auth"},
		"PaymentRequired":      {10, 10, http.StatusPaymentRequired, "other"},
		"Unknown_Subaccount":   {12, 12, http.StatusNotFound, "not_found"},
		"Unknown_Webhook":      {3, 3, http.StatusNotFound, "not_found"},
		"Unknown_Method":       {-1, -1, http.StatusNotFound, "not_found"},
		"RequestLimitExceeded": {-1, -1, http.StatusTooManyRequests, "throttled"},
		"ValidationError":      {-2, -2, http.StatusBadRequest, "bad_request"},
		"GeneralError":         {-1, -1, http.StatusInternalServerError, "server_error"},
		"ServiceUnavailable":   {-2, -2, http.StatusServiceUnavailable, "server_error"},
	}
}

// problem is an error as the API writes it.
type problem struct {
	Status  string `json:"status"`
	Code    int    `json:"code"`
	Name    string `json:"name"`
	Message string `json:"message"`
}

// fail answers with an error. A name that is not known is a fault of the service.
func (x *exchange) fail(name, message string) {
	kind, known := failures()[name]
	if !known {
		kind = failure{-1, -1, http.StatusInternalServerError, "other"}
	}
	status, code := http.StatusInternalServerError, kind.oldCode
	if x.modern {
		status, code = kind.status, kind.code
	}
	x.record(kind.outcome)
	wire.Answer(x.w, status, "application/json; charset=utf-8", wire.Marshal(problem{"error", code, name, message}))
}

// refuse answers with a status that is forced: the edge does, not the API.
func (x *exchange) refuse(status int) {
	x.record("refused")
	wire.HTMLPage(x.w, status)
}

// read reads the body, and returns its key.
func (x *exchange) read() string {
	body, err := io.ReadAll(http.MaxBytesReader(x.w, x.r.Body, 25<<20))
	x.body = body
	var asked struct {
		Key string `json:"key"`
	}
	if err != nil || json.Unmarshal(x.body, &asked) != nil {
		return ""
	}
	return asked.Key
}

// usersInfo answers users/info.
func (x *exchange) usersInfo() {
	f := x.fake
	f.mu.Lock()
	now := f.now()
	answer := struct {
		Username    string            `json:"username"`
		CreatedAt   string            `json:"created_at"`
		PublicID    string            `json:"public_id"`
		Reputation  int               `json:"reputation"`
		HourlyQuota int               `json:"hourly_quota"`
		Backlog     int               `json:"backlog"`
		Stats       map[string]Counts `json:"stats"`
	}{
		f.config.Username, stamp(f.config.CreatedAt), "aaabbbccc112233", f.history.reputation(now),
		f.config.HourlyQuota, f.backlog(), map[string]Counts{"all_time": f.history.allTime},
	}
	f.mu.Unlock()
	x.ok(answer)
}

// subaccountJSON is a subaccount as the API writes it.
type subaccountJSON struct {
	ID         string  `json:"id"`
	Status     string  `json:"status"`
	Reputation int     `json:"reputation"`
	CreatedAt  string  `json:"created_at"`
	SentTotal  int64   `json:"sent_total"`
	Last30Days *Counts `json:"last_30_days,omitempty"` // by subaccounts/info only
}

// subaccountJSON needs the lock.
func (f *Fake) subaccountJSON(s *subaccount) subaccountJSON {
	v := subaccountJSON{
		ID: s.ID, Status: "active", Reputation: s.history.reputation(f.now()), CreatedAt: stamp(s.CreatedAt), SentTotal: s.history.allTime.Sent,
	}
	if s.paused {
		v.Status = "paused"
	}
	return v
}

func (x *exchange) listSubaccounts() {
	f := x.fake
	f.mu.Lock()
	f.drain()
	found := []subaccountJSON{}
	for _, s := range f.subaccounts {
		found = append(found, f.subaccountJSON(s))
	}
	f.mu.Unlock()
	slices.SortFunc(found, func(a, b subaccountJSON) int { return strings.Compare(a.ID, b.ID) })
	x.ok(found)
}

func (x *exchange) subaccountInfo() {
	var asked struct {
		ID string `json:"id"`
	}
	if json.Unmarshal(x.body, &asked) != nil || asked.ID == "" {
		x.fail("ValidationError", "You must specify a id value")
		return
	}
	f := x.fake
	f.mu.Lock()
	f.drain()
	var answer subaccountJSON
	s := f.subaccounts[asked.ID]
	if s != nil {
		answer = f.subaccountJSON(s)
		recent := s.history.recent(f.now())
		answer.Last30Days = &recent
	}
	f.mu.Unlock()
	if s == nil {
		x.fail("Unknown_Subaccount", fmt.Sprintf("No subaccount exists with the id '%s'", asked.ID))
		return
	}
	x.ok(answer)
}

func (x *exchange) listDomains() {
	f := x.fake
	f.mu.Lock()
	found := []map[string]any{}
	for _, d := range f.domains {
		found = append(found, d.json(f.config.CreatedAt))
	}
	f.mu.Unlock()
	x.ok(found)
}

func (x *exchange) listWebhooks() {
	f := x.fake
	f.mu.Lock()
	found := []map[string]any{}
	for _, h := range f.hooks {
		found = append(found, h.json())
	}
	f.mu.Unlock()
	x.ok(found)
}

// sendMessage answers messages/send.
func (x *exchange) sendMessage() {
	var asked struct {
		Message struct {
			Subject    string            `json:"subject"`
			From       string            `json:"from_email"`
			Metadata   map[string]string `json:"metadata"`
			Subaccount string            `json:"subaccount"`
			To         []struct {
				Email string `json:"email"`
			} `json:"to"`
		} `json:"message"`
	}
	if err := json.Unmarshal(x.body, &asked); err != nil || asked.Message.From == "" {
		x.fail("ValidationError", "Validation error: {\"message\":{\"from_email\":\"An email address must contain a single @\"}}")
		return
	}
	results := []Sent{}
	for _, to := range asked.Message.To {
		sent, err := x.fake.Send(Message{
			Subaccount: asked.Message.Subaccount, To: to.Email, From: asked.Message.From, Subject: asked.Message.Subject,
			Metadata: asked.Message.Metadata,
		})
		if errors.Is(err, ErrUnknown) {
			x.fail("Unknown_Subaccount", fmt.Sprintf("No subaccount exists with the id '%s'", asked.Message.Subaccount))
			return
		}
		results = append(results, sent)
	}
	x.ok(results)
}
