package clerk

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/clerk/clerk-sdk-go/v2"
	"github.com/clerk/clerk-sdk-go/v2/jwks"
	"github.com/clerk/clerk-sdk-go/v2/jwt"
	sessions "github.com/clerk/clerk-sdk-go/v2/session"
	"github.com/clerk/clerk-sdk-go/v2/user"
	"github.com/google/go-cmp/cmp"

	"github.com/consignwatch/consignwatch/simulator/services/wire"
)

// fixedClock is a clock for Clerk's library.
type fixedClock struct{ *fixture }

func (s fixedClock) Now() time.Time { return s.clock }

// TestClerksOwnLibraryUnderstandsTheFake uses Clerk's client and verifier.
func TestClerksOwnLibraryUnderstandsTheFake(t *testing.T) {
	t.Parallel()
	r := newFixture(t, Config{})
	config := &clerk.ClientConfig{}
	config.URL, config.Key = clerk.String(r.url+"/v1"), clerk.String(liveKey)
	config.HTTPClient = http.DefaultClient

	count, err := user.NewClient(config).Count(t.Context(), &user.ListParams{})
	if err != nil || count.TotalCount != 1 {
		t.Errorf("%+v %v", count, err)
	}
	s, err := sessions.NewClient(config).Get(t.Context(), r.session)
	if err != nil || s.Status != "active" || s.UserID != "user_probe" {
		t.Errorf("%+v %v", s, err)
	}
	token, _ := r.minted(t, "")
	verify := func() (*clerk.SessionClaims, error) {
		return jwt.Verify(t.Context(), &jwt.VerifyParams{
			Token: token, JWKSClient: jwks.NewClient(config), Clock: fixedClock{r}, ProxyURL: clerk.String(issuer),
			AuthorizedPartyHandler: func(p string) bool { return p == party },
		})
	}
	claims, err := verify()
	if err != nil {
		t.Fatal(err)
	}
	if claims.Subject != "user_probe" || claims.SessionID != r.session || claims.AuthorizedParty != party || claims.Issuer != issuer {
		t.Errorf("%+v", claims)
	}
	r.clock = noon.Add(tokenLife + time.Second)
	if _, err := verify(); err == nil {
		t.Error("the library accepts the token after its end")
	}
	r.clock = noon
	r.RotateKey(false)
	if _, err := verify(); err == nil {
		t.Error("the library accepts the token after its key was taken away")
	}
	config.Key = clerk.String("sk_live_guess")
	_, err = user.NewClient(config).Count(t.Context(), &user.ListParams{})
	var refused *clerk.APIErrorResponse
	if !errors.As(err, &refused) || refused.HTTPStatusCode != 401 || refused.Errors[0].Code != "clerk_key_invalid" {
		t.Errorf("%v", err)
	}
}

// minted returns a token of the API, with its claims.
func (r *fixture) minted(t *testing.T, body string) (string, Claims) {
	t.Helper()
	got := r.ask(t, "POST", "/v1/sessions/"+r.session+"/tokens", body)
	var answer struct{ Object, JWT string }
	if err := json.Unmarshal([]byte(got.Body), &answer); err != nil || got.Status != 200 || answer.Object != "token" {
		t.Fatalf("%d %s", got.Status, got.Body)
	}
	var c Claims
	decode(t, strings.Split(answer.JWT, ".")[1], &c)
	return answer.JWT, c
}

// decode reads a part of a token.
func decode(t *testing.T, part string, into any) {
	t.Helper()
	raw, err := base64.RawURLEncoding.DecodeString(part)
	if err == nil {
		err = json.Unmarshal(raw, into)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// header returns the first part of a token.
func header(algorithm, key string) map[string]any {
	return map[string]any{"alg": algorithm, "kid": key, "typ": "JWT"}
}

func TestTokenSaysWhatIsDocumented(t *testing.T) {
	t.Parallel()
	r := newFixture(t, Config{})
	r.clock = noon.Add(5 * time.Minute)
	token, c := r.minted(t, `{"expires_in_seconds":90}`)
	var h map[string]any
	decode(t, strings.Split(token, ".")[0], &h)
	if diff := cmp.Diff(header("RS256", r.keys[0].KeyID), h); diff != "" || !strings.HasPrefix(r.keys[0].KeyID, "ins_") {
		t.Errorf("header (-want +got):\n%s", diff)
	}
	now := r.clock.Unix()
	want := Claims{
		AuthorizedParty: party, ExpiresAt: now + 90, FactorAge: [2]int{5, -1}, IssuedAt: now, Issuer: issuer, NotBefore: now - 10,
		Session: "sess_probe", SessionStatus: "active", Subject: "user_probe", Version: 2,
	}
	if diff := cmp.Diff(want, c); diff != "" {
		t.Errorf("claims (-want +got):\n%s", diff)
	}
	for _, body := range []string{"", "{}"} {
		if _, c := r.minted(t, body); c.ExpiresAt != now+60 {
			t.Errorf("%q: a life of %d s", body, c.ExpiresAt-now)
		}
	}
	if _, c := r.minted(t, `{"expires_in_seconds":30}`); c.ExpiresAt != now+30 {
		t.Errorf("a life of %d s", c.ExpiresAt-now)
	}
}

func TestKeysRotate(t *testing.T) {
	t.Parallel()
	r := newFixture(t, Config{})
	ids := func() (ids []string) {
		var set struct {
			Keys []struct{ Use, Kty, Kid, Alg, N, E string }
		}
		got := r.ask(t, "GET", "/v1/jwks", "")
		if err := json.Unmarshal([]byte(got.Body), &set); err != nil {
			t.Fatal(err)
		}
		for _, k := range set.Keys {
			if n, err := base64.RawURLEncoding.DecodeString(k.N); err != nil || len(n) != keyBits/8 || k.E != "AQAB" || k.Kty != "RSA" || k.Use != "sig" || k.Alg != "RS256" {
				t.Errorf("%+v", k)
			}
			ids = append(ids, k.Kid)
		}
		return ids
	}
	first := ids()
	r.RotateKey(true)
	both := ids()
	if len(both) != 2 || both[0] != first[0] {
		t.Errorf("%v, then %v", first, both)
	}
	var h map[string]any
	token, _ := r.minted(t, "")
	if decode(t, strings.Split(token, ".")[0], &h); h["kid"] != both[1] {
		t.Errorf("%s signs, of %v", h["kid"], both)
	}
	r.RetireKeys()
	if diff := cmp.Diff(both[1:], ids()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	r.RotateKey(false)
	if last := ids(); len(last) != 1 || last[0] == both[1] {
		t.Errorf("%v", last)
	}
}

// forgeries returns tokens with one mistake each, by the reason for which they must be refused.
func forgeries(t *testing.T, r *fixture) map[string]string {
	t.Helper()
	good, c := r.minted(t, "")
	key := r.keys[0]
	parts := strings.Split(good, ".")
	encode := func(v any) string { return base64.RawURLEncoding.EncodeToString(wire.Marshal(v)) }
	changed := func(change func(*Claims)) Claims { c := c; change(&c); return c }
	stranger := newSigningKey()
	namesake := stranger
	namesake.KeyID = key.KeyID
	signature, err := base64.RawURLEncoding.DecodeString(parts[2])
	if err != nil {
		t.Fatal(err)
	}
	signature[100] ^= 1
	return map[string]string{
		"expired":                sign(key, changed(func(c *Claims) { c.ExpiresAt = noon.Unix() })),
		"not yet":                sign(key, changed(func(c *Claims) { c.NotBefore = noon.Unix() + 1 })),
		"another issuer":         sign(key, changed(func(c *Claims) { c.Issuer = "https://clerk.evil.example" })),
		"another party":          sign(key, changed(func(c *Claims) { c.AuthorizedParty = "https://evil.example" })),
		"an unknown key":         sign(stranger, c),
		"a key of that name":     sign(namesake, c),
		"another user":           parts[0] + "." + encode(changed(func(c *Claims) { c.Subject = "user_admin" })) + "." + parts[2],
		"a bit of the signature": parts[0] + "." + parts[1] + "." + base64.RawURLEncoding.EncodeToString(signature),
		"alg none":               encode(header("none", key.KeyID)) + "." + parts[1] + ".",
		"alg HS256":              encode(header("HS256", key.KeyID)) + "." + parts[1] + "." + parts[2],
		"two parts":              parts[0] + "." + parts[1],
		"no JSON":                "e30." + base64.RawURLEncoding.EncodeToString([]byte(rand.Text())) + "." + parts[2],
	}
}

func (r *fixture) verifier() *Verifier {
	return NewVerifier(VerifierConfig{Now: func() time.Time { return r.clock }, Keys: r.Keys, Issuer: issuer, Parties: []string{party}})
}

// show sends a token to a verifier.
func show(t *testing.T, v *Verifier, token string) (status int, body string) {
	t.Helper()
	request := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/session", nil)
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	w := httptest.NewRecorder()
	v.ServeHTTP(w, request)
	return w.Code, w.Body.String()
}

func TestVerifierRefusesEveryForgery(t *testing.T) {
	t.Parallel()
	r := newFixture(t, Config{})
	v := r.verifier()
	good, c := r.minted(t, "")
	if status, body := show(t, v, good); status != 200 || body != string(wire.Marshal(c)) {
		t.Errorf("a good one: %d %s", status, body)
	}
	reasons := map[string]error{
		"expired": ErrExpired, "not yet": ErrNotYet, "another issuer": ErrIssuer, "another party": ErrParty, "an unknown key": ErrUnknownKey,
		"a key of that name": ErrSignature, "another user": ErrSignature, "a bit of the signature": ErrSignature, "alg none": ErrSignature,
		"alg HS256": ErrSignature, "two parts": ErrMalformed, "no JSON": ErrMalformed, "": ErrNoToken,
	}
	all := forgeries(t, r)
	all[""] = ""
	for name, token := range all {
		want := `{"error":"` + reasons[name].Error() + `"}`
		if status, body := show(t, v, token); status != 401 || body != want {
			t.Errorf("%s: %d %s, want %s", name, status, body, want)
		}
	}
}

func TestEachMistakeAcceptsItsForgeriesOnly(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		change   func(*Mistakes)
		accepted []string
	}{
		"expired":     {func(m *Mistakes) { m.AcceptExpired = true }, []string{"expired"}},
		"tampered":    {func(m *Mistakes) { m.AcceptTampered = true }, []string{"a bit of the signature", "a key of that name", "alg HS256", "alg none", "another user"}},
		"unknown key": {func(m *Mistakes) { m.AcceptUnknownKey = true }, []string{"an unknown key"}},
		"wrong party": {func(m *Mistakes) { m.AcceptWrongParty = true }, []string{"another party"}},
	} {
		t.Run(name, func(t *testing.T) {
			r := newFixture(t, Config{})
			v := r.verifier()
			v.Switch(test.change)
			accepted := map[string]bool{}
			for name, token := range forgeries(t, r) {
				if status, _ := show(t, v, token); status == 200 {
					accepted[name] = true
				}
			}
			want := map[string]bool{}
			for _, name := range test.accepted {
				want[name] = true
			}
			if diff := cmp.Diff(want, accepted); diff != "" {
				t.Errorf("accepted (-want +got):\n%s", diff)
			}
			if good, _ := r.minted(t, ""); good != "" {
				if status, body := show(t, v, good); status != 200 {
					t.Errorf("a good one: %d %s", status, body)
				}
			}
		})
	}
	r := newFixture(t, Config{})
	v := r.verifier()
	v.Switch(func(m *Mistakes) { m.RejectValid = true })
	good, _ := r.minted(t, "")
	if status, _ := show(t, v, good); status != 401 {
		t.Errorf("%d", status)
	}
}

func TestVerifierKeepsKeysForAnHour(t *testing.T) {
	t.Parallel()
	r := newFixture(t, Config{})
	asked := 0
	var err error
	v := NewVerifier(VerifierConfig{Now: func() time.Time { return r.clock }, Issuer: issuer, Parties: []string{party}, Keys: func(ctx context.Context) (JWKS, error) {
		asked++
		if err != nil {
			return JWKS{}, err
		}
		return r.Keys(ctx)
	}})
	old := sign(r.keys[0], Claims{AuthorizedParty: party, Issuer: issuer, ExpiresAt: noon.Add(24 * time.Hour).Unix()})
	for range 3 {
		show(t, v, old)
	}
	if asked != 1 {
		t.Errorf("keys were asked for %d times", asked)
	}
	err = errors.New("down")
	if status, _ := show(t, v, old); status != 200 {
		t.Errorf("a known key while Clerk is down: %d", status)
	}
	if status, body := show(t, v, sign(newSigningKey(), Claims{})); status != 503 {
		t.Errorf("an unknown key while Clerk is down is no verdict: %d %s", status, body)
	}
	err = nil
	r.RotateKey(false)
	if status, _ := show(t, v, old); status != 200 {
		t.Errorf("within the hour: %d", status)
	}
	r.clock = noon.Add(time.Hour)
	if status, body := show(t, v, old); status != 401 || !strings.Contains(body, ErrUnknownKey.Error()) {
		t.Errorf("after the hour: %d %s", status, body)
	}
}

func TestVerifierGrantsLeeway(t *testing.T) {
	t.Parallel()
	r := newFixture(t, Config{})
	v := NewVerifier(VerifierConfig{Now: func() time.Time { return r.clock }, Keys: r.Keys, Issuer: issuer, Parties: []string{party}, Leeway: 5 * time.Second})
	token, _ := r.minted(t, "")
	for after, want := range map[time.Duration]int{64 * time.Second: 200, 65 * time.Second: 401, -15 * time.Second: 200, -16 * time.Second: 401} {
		r.clock = noon.Add(after)
		if status, body := show(t, v, token); status != want {
			t.Errorf("%s: %d %s", after, status, body)
		}
	}
}

func TestVerifierCanBeDown(t *testing.T) {
	t.Parallel()
	r := newFixture(t, Config{})
	v := r.verifier()
	v.Switch(func(m *Mistakes) { m.Down = true })
	server := httptest.NewServer(v)
	defer server.Close()
	if response, err := http.Get(server.URL); err == nil {
		response.Body.Close()
		t.Errorf("an answer: %d", response.StatusCode)
	}
}
