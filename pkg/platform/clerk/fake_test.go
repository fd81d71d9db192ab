package clerk

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const (
	liveKey = "sk_live_planted"
	issuer  = "https://clerk.consign.example"
	party   = "https://app.consign.example"
)

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// rig is an instance with one user who is signed in, and a clock that stands still until it is moved.
type rig struct {
	*Fake
	clock   time.Time
	url     string
	session string
}

func newRig(t *testing.T, config Config) *rig {
	r := &rig{clock: noon, session: "sess_probe"}
	config.Now = func() time.Time { return r.clock }
	if config.SecretKey == "" {
		config.SecretKey = liveKey
	}
	config.Issuer = issuer
	r.Fake = New(config)
	t.Cleanup(func() { r.Close() })
	if _, err := r.AddUser(User{ID: "user_probe", Email: "probe@consign.example", CreatedAt: noon.Add(-48 * time.Hour)}); err != nil {
		t.Fatal(err)
	}
	if _, err := r.SignIn(Session{ID: r.session, UserID: "user_probe", AuthorizedParty: party}); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(r)
	t.Cleanup(server.Close)
	r.url = server.URL
	return r
}

type answer struct {
	status int
	header http.Header
	body   string
}

// ask sends a request with the secret key, unless a header says otherwise.
func (r *rig) ask(t *testing.T, method, path, body string, header ...string) answer {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, r.url+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+r.config.SecretKey)
	for i := 0; i < len(header); i += 2 {
		request.Header.Set(header[i], header[i+1])
	}
	return do(t, request)
}

func do(t *testing.T, request *http.Request) answer {
	t.Helper()
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	b, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{response.StatusCode, response.Header, string(b)}
}

// errorOf is the one error of an answer, whose trace has to be the header's.
func errorOf(t *testing.T, a answer) apiError {
	t.Helper()
	var body struct {
		Errors []apiError `json:"errors"`
		Trace  string     `json:"clerk_trace_id"`
	}
	if err := json.Unmarshal([]byte(a.body), &body); err != nil || len(body.Errors) != 1 {
		t.Fatalf("%v: %s", err, a.body)
	}
	if body.Trace == "" || body.Trace != a.header.Get("Clerk-Trace-Id") {
		t.Errorf("trace %q, in the header %q", body.Trace, a.header.Get("Clerk-Trace-Id"))
	}
	return body.Errors[0]
}

func TestWrongKeyIsRefusedAsDocumented(t *testing.T) {
	const message = "The provided Clerk Secret Key is invalid. Make sure that your Clerk Secret Key is correct."
	r := newRig(t, Config{})
	for _, path := range []string{"/v1/users/count", "/v1/jwks", "/v1/sessions/sess_probe"} {
		got := r.ask(t, "GET", path, "", "Authorization", "Bearer sk_live_guess")
		want := `{"errors":[{"message":"` + message + `","long_message":"` + message + `","code":"clerk_key_invalid","meta":{}}],"clerk_trace_id":"` + got.header.Get("Clerk-Trace-Id") + `","meta":{}}`
		if got.status != 401 || got.body != want {
			t.Errorf("%s: %d %s", path, got.status, cmp.Diff(want, got.body))
		}
	}
	for _, header := range []string{"", "Basic x", "Bearer "} {
		if got := r.ask(t, "GET", "/v1/jwks", "", "Authorization", header); got.status != 401 || errorOf(t, got).Code != "authorization_header_format_invalid" {
			t.Errorf("%q: %d %s", header, got.status, got.body)
		}
	}
	r.Switch(func(s *Switches) { s.WrongKey = true })
	if got := r.ask(t, "GET", "/v1/jwks", ""); got.status != 401 || errorOf(t, got).Code != "clerk_key_invalid" {
		t.Errorf("a revoked key: %d %s", got.status, got.body)
	}
	if got := r.ask(t, "GET", "/.well-known/jwks.json", "", "Authorization", ""); got.status != 200 {
		t.Errorf("public keys: %d %s", got.status, got.body)
	}
	if diff := cmp.Diff(map[string]int64{"auth": 7, "ok": 1}, r.Books().Requests); diff != "" {
		t.Errorf("books (-want +got):\n%s", diff)
	}
}

func TestLimitIsThatOfTheInstance(t *testing.T) {
	for key, limit := range map[string]int{"sk_live_x": productionLimit, "sk_test_x": developmentLimit} {
		r := newRig(t, Config{SecretKey: key})
		for i := range limit {
			if got := r.ask(t, "GET", "/v1/users/count", ""); got.status != 200 {
				t.Fatalf("%s: request %d: %d %s", key, i+1, got.status, got.body)
			}
		}
		r.clock = r.clock.Add(3500 * time.Millisecond)
		got := r.ask(t, "GET", "/v1/users/count", "")
		if got.status != 429 || got.header.Get("Retry-After") != "7" || errorOf(t, got).Code != "too_many_requests" {
			t.Errorf("%s: %d, Retry-After %q: %s", key, got.status, got.header.Get("Retry-After"), got.body)
		}
		if got := r.ask(t, "GET", "/v1/jwks", ""); got.status != 200 {
			t.Errorf("%s: the keys are limited: %d", key, got.status)
		}
		r.clock = r.clock.Add(6500 * time.Millisecond)
		if got := r.ask(t, "GET", "/v1/users/count", ""); got.status != 200 {
			t.Errorf("%s: ten seconds later: %d", key, got.status)
		}
		if n := r.Books().Requests["throttled"]; n != 1 {
			t.Errorf("%s: %d throttled", key, n)
		}
	}
}

func TestSwitchesOfTheInstance(t *testing.T) {
	status := func(code int) func(*Switches) { return func(s *Switches) { s.Status = code } }
	for _, test := range []struct {
		name    string
		change  func(*Switches)
		status  int
		outcome string
		code    string // "": no JSON
	}{
		{"400", status(400), 400, "bad_request", "request_body_invalid"},
		{"401", status(401), 401, "auth", "clerk_key_invalid"},
		{"403", status(403), 403, "forbidden", "authorization_invalid"},
		{"404", status(404), 404, "not_found", "resource_not_found"},
		{"422", status(422), 422, "bad_request", "request_body_invalid"},
		{"429", status(429), 429, "throttled", "too_many_requests"},
		{"500", status(500), 500, "server_error", "internal_clerk_error"},
		{"503", status(503), 503, "server_error", ""},
		{"418", status(418), 418, "other", "internal_clerk_error"},
		{"throttled", func(s *Switches) { s.Throttled = true }, 429, "throttled", "too_many_requests"},
		{"no JSON", func(s *Switches) { s.InvalidResponse = true }, 200, "invalid_response", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := newRig(t, Config{})
			r.Switch(test.change)
			got := r.ask(t, "GET", "/v1/users/count", "")
			if got.status != test.status {
				t.Errorf("%d %s", got.status, got.body)
			}
			if test.code == "" && json.Valid([]byte(got.body)) || test.code != "" && errorOf(t, got).Code != test.code {
				t.Errorf("%s, want %q", got.body, test.code)
			}
			if (got.header.Get("Retry-After") != "") != (test.status == 429) {
				t.Errorf("Retry-After %q", got.header.Get("Retry-After"))
			}
			if diff := cmp.Diff(map[string]int64{test.outcome: 1}, r.Books().Requests); diff != "" {
				t.Errorf("books (-want +got):\n%s", diff)
			}
		})
	}
	r := newRig(t, Config{})
	r.Switch(func(s *Switches) { s.Down = true })
	if response, err := http.Get(r.url + "/v1/jwks"); err == nil {
		response.Body.Close()
		t.Errorf("an answer while it is down: %d", response.StatusCode)
	}
	r.Switch(func(s *Switches) { *s = Switches{} })
	for _, path := range []string{"/v1/users", "/v2/jwks", "/v1/sessions/a/b", "/v1/sessions//tokens"} {
		if got := r.ask(t, "GET", path, ""); got.status != 404 {
			t.Errorf("%s: %d", path, got.status)
		}
	}
}
