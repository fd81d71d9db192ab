package clerk

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/consignwatch/consignwatch/simulator/services/wire/wiretest"
)

const (
	liveKey = "sk_live_planted"
	issuer  = "https://clerk.consign.example"
	party   = "https://app.consign.example"
)

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// fixture is an instance with one user who is signed in, and a clock that stands still until it is moved.
type fixture struct {
	*Fake
	clock   time.Time
	url     string
	session string

	mu       sync.Mutex
	requests map[string]int // by outcome
}

func newFixture(t *testing.T, config Config) *fixture {
	r := &fixture{clock: noon, session: "sess_probe", requests: map[string]int{}}
	config.Now = func() time.Time { return r.clock }
	if config.SecretKey == "" {
		config.SecretKey = liveKey
	}
	config.Issuer = issuer
	config.Requested = func(q Request) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.requests[q.Outcome]++
	}
	r.Fake = New(config)
	t.Cleanup(func() { r.Close() })
	if _, err := r.AddUser(User{ID: "user_probe", CreatedAt: noon.Add(-48 * time.Hour)}); err != nil {
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

// ask sends a request with the secret key, unless a header says otherwise.
func (r *fixture) ask(t *testing.T, method, path, body string, header ...string) wiretest.Answer {
	t.Helper()
	return wiretest.Ask(t, method, r.url+path, body, append([]string{"Authorization", "Bearer " + r.config.SecretKey}, header...)...)
}

// errorOf returns the one error of a response.
func errorOf(t *testing.T, a wiretest.Answer) apiError {
	t.Helper()
	var body struct {
		Errors []apiError `json:"errors"`
	}
	if err := json.Unmarshal([]byte(a.Body), &body); err != nil || len(body.Errors) != 1 {
		t.Fatalf("%v: %s", err, a.Body)
	}
	return body.Errors[0]
}

func TestWrongKeyIsRefusedAsDocumented(t *testing.T) {
	t.Parallel()
	const message = "The provided Clerk Secret Key is invalid. Make sure that your Clerk Secret Key is correct."
	r := newFixture(t, Config{})
	for _, path := range []string{"/v1/users/count", "/v1/jwks", "/v1/sessions/sess_probe"} {
		got := r.ask(t, "GET", path, "", "Authorization", "Bearer sk_live_guess")
		want := `{"errors":[{"message":"` + message + `","long_message":"` + message + `","code":"clerk_key_invalid","meta":{}}]}`
		if got.Status != 401 || got.Body != want {
			t.Errorf("%s: %d %s", path, got.Status, cmp.Diff(want, got.Body))
		}
	}
	for _, header := range []string{"", "Basic x", "Bearer "} {
		if got := r.ask(t, "GET", "/v1/jwks", "", "Authorization", header); got.Status != 401 || errorOf(t, got).Code != "clerk_key_invalid" {
			t.Errorf("%q: %d %s", header, got.Status, got.Body)
		}
	}
	if diff := cmp.Diff(map[string]int{"auth": 6}, r.requests); diff != "" {
		t.Errorf("requests (-want +got):\n%s", diff)
	}
}

func TestKeysHaveNoLimit(t *testing.T) {
	t.Parallel()
	r := newFixture(t, Config{})
	r.Switch(func(s *Switches) { s.Throttled = true })
	if got := r.ask(t, "GET", "/v1/users/count", ""); got.Status != 429 || got.Header.Get("Retry-After") != "10" || errorOf(t, got).Code != "too_many_requests" {
		t.Errorf("%d, Retry-After %q: %s", got.Status, got.Header.Get("Retry-After"), got.Body)
	}
	if got := r.ask(t, "GET", "/v1/jwks", ""); got.Status != 200 {
		t.Errorf("the keys are limited: %d", got.Status)
	}
}

func TestSwitchesOfTheInstance(t *testing.T) {
	t.Parallel()
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
			r := newFixture(t, Config{})
			r.Switch(test.change)
			got := r.ask(t, "GET", "/v1/users/count", "")
			if got.Status != test.status {
				t.Errorf("%d %s", got.Status, got.Body)
			}
			if test.code == "" && json.Valid([]byte(got.Body)) || test.code != "" && errorOf(t, got).Code != test.code {
				t.Errorf("%s, want %q", got.Body, test.code)
			}
			if (got.Header.Get("Retry-After") != "") != (test.status == 429) {
				t.Errorf("Retry-After %q", got.Header.Get("Retry-After"))
			}
			if diff := cmp.Diff(map[string]int{test.outcome: 1}, r.requests); diff != "" {
				t.Errorf("requests (-want +got):\n%s", diff)
			}
		})
	}
	r := newFixture(t, Config{})
	r.Switch(func(s *Switches) { s.Down = true })
	if response, err := http.Get(r.url + "/v1/jwks"); err == nil {
		response.Body.Close()
		t.Errorf("an answer while it is down: %d", response.StatusCode)
	}
	r.Switch(func(s *Switches) { *s = Switches{} })
	for _, path := range []string{"/v1/users", "/v2/jwks", "/v1/sessions/a/b"} {
		if got := r.ask(t, "GET", path, ""); got.Status != 404 {
			t.Errorf("%s: %d", path, got.Status)
		}
	}
}
