package clerk

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
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

func TestUsersAreCounted(t *testing.T) {
	r := newRig(t, Config{})
	for _, u := range []User{
		{ID: "user_a", LastActiveAt: noon.Add(-time.Hour), CreatedAt: noon.Add(-time.Hour)},
		{ID: "user_b", LastActiveAt: noon.Add(-30 * time.Hour), Banned: true, Organizations: []string{"org_1"}},
		{ID: "user_c"},
	} {
		if _, err := r.AddUser(u); err != nil {
			t.Fatal(err)
		}
	}
	dayAgo := "1795348800000" // noon, a day before
	for query, want := range map[string]string{
		"":                                         `{"object":"total_count","total_count":4}`,
		"?last_active_at_after=" + dayAgo:          `{"object":"total_count","total_count":2}`,
		"?last_active_at_before=" + dayAgo:         `{"object":"total_count","total_count":1}`,
		"?created_at_before=" + dayAgo:             `{"object":"total_count","total_count":1}`,
		"?last_sign_in_at_after=" + dayAgo:         `{"object":"total_count","total_count":1}`,
		"?banned=true":                             `{"object":"total_count","total_count":1}`,
		"?organization_id=org_1":                   `{"object":"total_count","total_count":1}`,
		"?user_id=user_a&user_id=user_c":           `{"object":"total_count","total_count":2}`,
		"?query=PROBE@":                            `{"object":"total_count","total_count":1}`,
		"?banned=false&created_at_after=" + dayAgo: `{"object":"total_count","total_count":2}`,
	} {
		if got := r.ask(t, "GET", "/v1/users/count"+query, ""); got.status != 200 || got.body != want {
			t.Errorf("%s: %d %s, want %s", query, got.status, got.body, want)
		}
	}
}
