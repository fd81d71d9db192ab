package services

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/consignwatch/consignwatch/simulator/emit"
	"github.com/consignwatch/consignwatch/simulator/services/clerk"
	"github.com/consignwatch/consignwatch/simulator/services/mandrill"
	"github.com/consignwatch/consignwatch/simulator/services/shopify"
	"github.com/consignwatch/consignwatch/simulator/services/wire"
)

// requestTimeout is the platform's timeout of a request.
const requestTimeout = 5 * time.Second

// ask sends a request and returns the response's status and body.
func (s *server) ask(ctx context.Context, method, path string, header http.Header, body any) (emit.Call, int, []byte) {
	var text []byte
	if body != nil {
		text = wire.Marshal(body)
	}
	begun := time.Now()
	status, answer, err := s.exchange(ctx, method, s.base+path, header, text)
	call := emit.Call{Outcome: emit.OK, Duration: time.Since(begun)}
	var network net.Error
	switch {
	case errors.As(err, &network) && network.Timeout():
		call.Outcome, call.Down = emit.TimedOut, true
	case err != nil, status >= http.StatusInternalServerError:
		call.Outcome, call.Down = emit.Failed, true
	case status == http.StatusTooManyRequests:
		call.Outcome = emit.Throttled
	case status/100 != 2:
		call.Outcome = emit.Failed
	}
	return call, status, answer
}

func (s *server) exchange(ctx context.Context, method, address string, header http.Header, body []byte) (int, []byte, error) {
	request, err := http.NewRequestWithContext(ctx, method, address, bytes.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	request.Header = header.Clone()
	request.Header.Set("Content-Type", "application/json")
	response, err := s.http.Do(request)
	if err != nil {
		return 0, nil, err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	return response.StatusCode, answer, err
}

// queryShop queries a shop's name, with a token.
func (s *server) queryShop(ctx context.Context, domain, token string) emit.Call {
	path := shopifyPath + "/" + domain + "/admin/api/" + shopify.Newest(s.now()) + "/graphql.json"
	call, _, body := s.ask(ctx, http.MethodPost, path, http.Header{"X-Shopify-Access-Token": {token}},
		map[string]string{"query": "query platformShop { shop { name } }"})
	if !call.OK() {
		return call
	}
	var answer struct {
		Errors []struct {
			Extensions struct {
				Code string `json:"code"`
			} `json:"extensions"`
		} `json:"errors"`
	}
	switch err := json.Unmarshal(body, &answer); {
	case err != nil:
		call.Outcome, call.Down = emit.Failed, true
	case len(answer.Errors) > 0 && answer.Errors[0].Extensions.Code == "THROTTLED":
		call.Outcome = emit.Throttled
	case len(answer.Errors) > 0:
		call.Outcome = emit.Failed
	}
	return call
}

func (s *server) askClerk(ctx context.Context, method, path string, into any) emit.Call {
	call, _, body := s.ask(ctx, method, clerkPath+path, http.Header{"Authorization": {"Bearer " + s.clerkKey}}, nil)
	if call.OK() && json.Unmarshal(body, into) != nil {
		call.Outcome, call.Down = emit.Failed, true
	}
	return call
}

// AskClerk requests the platform's own session.
func (s *server) AskClerk(ctx context.Context) emit.Call {
	var session struct{}
	return s.askClerk(ctx, http.MethodGet, "/v1/sessions/"+platformSession, &session)
}

// Refresh mints a session token.
func (s *server) Refresh(ctx context.Context) (string, emit.Call) {
	var minted struct {
		JWT string `json:"jwt"`
	}
	call := s.askClerk(ctx, http.MethodPost, "/v1/sessions/"+platformSession+"/tokens", &minted)
	return minted.JWT, call
}

// keys fetches the signing keys, for the verifier.
func (s *server) keys(ctx context.Context) (clerk.JWKS, error) {
	var set clerk.JWKS
	if call := s.askClerk(ctx, http.MethodGet, "/v1/jwks", &set); !call.OK() {
		return clerk.JWKS{}, fmt.Errorf("clerk: signing keys: %s", call.Outcome)
	}
	return set, nil
}

// Results of a token verification, as in the platform's events.
const (
	Valid            = "valid"
	expired          = "expired"
	InvalidSignature = "invalid_signature"
	malformed        = "malformed"
)

// Verify sends a token to the platform's verification endpoint. The result is empty if there is no verdict.
func (s *server) Verify(ctx context.Context, token string) (result string, call emit.Call) {
	call, status, body := s.ask(ctx, http.MethodGet, platformPath+verifyPath, http.Header{"Authorization": {"Bearer " + token}}, nil)
	if status != http.StatusUnauthorized {
		if call.OK() {
			return Valid, call
		}
		return "", call
	}
	call.Outcome = emit.OK
	var refusal struct {
		Error string `json:"error"`
	}
	_ = json.Unmarshal(body, &refusal) // a body without a reason is InvalidSignature
	switch refusal.Error {
	case clerk.ErrExpired.Error():
		return expired, call
	case clerk.ErrMalformed.Error(), clerk.ErrNoToken.Error():
		return malformed, call
	default:
		return InvalidSignature, call
	}
}

// Forge returns a token with an invalid signature, of as many zeros.
func Forge(token string) string {
	i := strings.LastIndexByte(token, '.') + 1
	return token[:i] + strings.Repeat("A", len(token)-i)
}

func (s *server) askMandrill(ctx context.Context, operation string, body map[string]any, into any) emit.Call {
	body["key"] = s.mandrillKey
	call, _, answer := s.ask(ctx, http.MethodPost, mandrillPath+"/api/1.4/"+operation+".json", http.Header{}, body)
	if call.OK() && json.Unmarshal(answer, into) != nil {
		call.Outcome, call.Down = emit.Failed, true
	}
	return call
}

// pingMandrill calls users/ping2.
func (s *server) pingMandrill(ctx context.Context) emit.Call {
	var pong map[string]string
	return s.askMandrill(ctx, "users/ping2", map[string]any{}, &pong)
}

// Mail is an email.
type Mail struct {
	Client   string // slug; empty: the platform's own
	To       string
	Subject  string
	Metadata map[string]string // comes back with its events
}

// Send sends an email. The result is valid if the call is OK.
func (s *server) Send(ctx context.Context, m Mail) (mandrill.Sent, emit.Call) {
	message := map[string]any{
		"subject": m.Subject, "from_email": "hello@" + sendingDomain, "to": []map[string]string{{"email": m.To}}, "metadata": m.Metadata,
	}
	if m.Client != "" {
		message["subaccount"] = m.Client
	}
	var results []mandrill.Sent
	call := s.askMandrill(ctx, "messages/send", map[string]any{"message": message}, &results)
	switch {
	case !call.OK():
		return mandrill.Sent{}, call
	case len(results) != 1:
		call.Outcome = emit.Failed
		return mandrill.Sent{}, call
	}
	return results[0], call
}
