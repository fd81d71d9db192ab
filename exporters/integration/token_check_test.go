package integration

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/consignwatch/consignwatch/pkg/catalog"
	"github.com/consignwatch/consignwatch/pkg/exporter"
	"github.com/consignwatch/consignwatch/pkg/secret"
	"github.com/consignwatch/consignwatch/pkg/yamlfile"
)

// issuer is the part of Clerk that signs tokens, with a clock that stands still until it is moved, and keys that a test rotates.
type issuer struct {
	t   *testing.T
	url string

	mu        sync.Mutex
	now       time.Time
	published []string // names of keys in the set
	signing   string   // name of the key in use
	parties   map[string]string
	status    int // of every answer; 0 for the right ones
}

const testIssuer = "https://clerk.example.com"

// rsaKeys are made once: that takes its time.
var rsaKeys = sync.OnceValue(func() map[string]*rsa.PrivateKey {
	keys := map[string]*rsa.PrivateKey{}
	for _, name := range []string{"ins_1", "ins_2"} {
		key, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			panic(err)
		}
		keys[name] = key
	}
	return keys
})

func newIssuer(t *testing.T) *issuer {
	t.Helper()
	i := &issuer{
		t: t, now: time.Now().Truncate(time.Second), published: []string{"ins_1"}, signing: "ins_1",
		parties: map[string]string{"sess_probe": "https://app.example.com", "sess_foreign": "https://other.example.com", "sess_nobody": ""},
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/jwks", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, i.keySet()) })
	mux.HandleFunc("POST /v1/sessions/{id}/tokens", func(w http.ResponseWriter, r *http.Request) {
		party, ok := i.parties[r.PathValue("id")]
		if !ok {
			http.Error(w, `{"errors":[{"code":"resource_not_found"}]}`, http.StatusNotFound)
			return
		}
		fmt.Fprintf(w, `{"object":"token","jwt":%q}`, i.mint(party))
	})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		i.mu.Lock()
		status := i.status
		i.mu.Unlock()
		if status != 0 {
			http.Error(w, "", status)
			return
		}
		mux.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	i.url = server.URL + "/v1"
	return i
}

func (i *issuer) clock() time.Time {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.now
}

func (i *issuer) change(f func()) {
	i.mu.Lock()
	defer i.mu.Unlock()
	f()
}

func (i *issuer) keySet() string {
	i.mu.Lock()
	defer i.mu.Unlock()
	var keys []string
	for _, name := range i.published {
		public := rsaKeys()[name].PublicKey
		exponent := binary.BigEndian.AppendUint32(nil, uint32(public.E))[1:]
		keys = append(keys, fmt.Sprintf(`{"kty":"RSA","use":"sig","alg":"RS256","kid":%q,"n":%q,"e":%q}`, name,
			base64.RawURLEncoding.EncodeToString(public.N.Bytes()), base64.RawURLEncoding.EncodeToString(exponent)))
	}
	return `{"keys":[` + strings.Join(keys, ",") + `]}`
}

func (i *issuer) mint(party string) string {
	i.mu.Lock()
	defer i.mu.Unlock()
	claims := map[string]any{"iss": testIssuer, "sub": "user_1", "sid": "sess_probe", "iat": i.now.Unix(), "nbf": i.now.Unix() - 10, "exp": i.now.Unix() + 60}
	if party != "" {
		claims["azp"] = party
	}
	header, _ := json.Marshal(map[string]string{"alg": "RS256", "kid": i.signing, "typ": "JWT"})
	body, _ := json.Marshal(claims)
	text := base64.RawURLEncoding.EncodeToString(header) + "." + base64.RawURLEncoding.EncodeToString(body)
	sum := sha256.Sum256([]byte(text))
	signature, err := rsa.SignPKCS1v15(rand.Reader, rsaKeys()[i.signing], crypto.SHA256, sum[:])
	if err != nil {
		i.t.Error(err)
	}
	return text + "." + base64.RawURLEncoding.EncodeToString(signature)
}

// platformVerifier is a platform that verifies tokens, and may leave out what it should do.
type platformVerifier struct {
	clock func() time.Time
	keys  []string // names of the keys that it knows

	forgetsSignature bool
	forgetsExpiry    bool
	forgetsParty     bool
	takesAlgNone     bool
	takesUnknownKeys bool
	leeway           time.Duration
	refusesAll       bool
	acceptsAll       bool
	answers          int // a status that is no verdict
	answersForged    int // the same, but only for tokens that are not right
}

func (p *platformVerifier) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	accepted := p.accepts(strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "))
	switch {
	case p.answers != 0:
		w.WriteHeader(p.answers)
	case p.acceptsAll || accepted && !p.refusesAll:
		fmt.Fprint(w, "welcome")
	case p.answersForged != 0:
		w.WriteHeader(p.answersForged)
	default:
		w.WriteHeader(http.StatusUnauthorized)
	}
}

func (p *platformVerifier) accepts(token string) bool {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return false
	}
	var header struct{ Alg, Kid string }
	var claims struct {
		Exp, Nbf int64
		Iss, Azp string
	}
	decode := func(part string, v any) error {
		b, err := base64.RawURLEncoding.DecodeString(part)
		return errors.Join(err, json.Unmarshal(b, v))
	}
	if decode(parts[0], &header) != nil || decode(parts[1], &claims) != nil || claims.Iss != testIssuer {
		return false
	}
	now := p.clock()
	switch {
	case !p.forgetsExpiry && now.Add(-p.leeway).Unix() >= claims.Exp, now.Unix() < claims.Nbf:
		return false
	case !p.forgetsParty && claims.Azp != "" && claims.Azp != "https://app.example.com":
		return false
	case p.forgetsSignature || p.takesAlgNone && header.Alg == "none":
		return true
	}
	signature, err := base64.RawURLEncoding.DecodeString(parts[2])
	if err != nil || header.Alg != "RS256" {
		return false
	}
	if !slices.Contains(p.keys, header.Kid) {
		return p.takesUnknownKeys
	}
	sum := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	return rsa.VerifyPKCS1v15(&rsaKeys()[header.Kid].PublicKey, crypto.SHA256, sum[:], signature) == nil
}

// checkRig is a token check with all that it asks.
type checkRig struct {
	*tokenCheck
	issuer   *issuer
	platform *platformVerifier // nil: the library verifies
	log      *watchedLog
}

func newCheckRig(t *testing.T, platform *platformVerifier, foreign string) *checkRig {
	t.Helper()
	r := &checkRig{issuer: newIssuer(t), platform: platform, log: &watchedLog{}}
	c := &clerkConfig{
		URL: r.issuer.url, ProbeSession: "sess_probe", ForeignSession: foreign, Issuer: testIssuer,
		AuthorizedParties: []string{"https://app.example.com"},
	}
	c.fill()
	c.ExpiryMargin = yamlfile.Duration(30 * time.Second)
	if platform != nil {
		platform.clock = r.issuer.clock
		platform.keys = []string{"ins_1"}
		server := httptest.NewServer(platform)
		t.Cleanup(server.Close)
		c.VerifyURL = server.URL
	}
	metrics := catalog.Shipped().ForExporter(catalog.Integration)
	api := newClerkAPI(c, secret.New(plantedKey), newHTTPClient(nil), r.log.logger())
	api.limited.now = r.issuer.clock
	api.keys.now = r.issuer.clock
	r.tokenCheck = newTokenCheck(c, api, newClerkKeys(api, metrics), metrics, r.log.logger())
	r.tokenCheck.now = r.issuer.clock
	return r
}

// verdictsOf does a round, some time after the one before.
func (r *checkRig) verdictsOf(t *testing.T, later time.Duration) (map[string]bool, error) {
	t.Helper()
	r.issuer.change(func() { r.issuer.now = r.issuer.now.Add(later) })
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	found := verdicts{}
	err := r.round(ctx, found)
	r.report(found)
	right := map[string]bool{}
	for check, v := range found {
		right[check] = v.right
	}
	return right, err
}

func TestEachWrongVerifierIsCaught(t *testing.T) {
	all := func(change map[string]bool) map[string]bool {
		right := map[string]bool{}
		for _, check := range catalog.TokenChecks() {
			right[check] = true
		}
		for check, v := range change {
			right[check] = v
		}
		return right
	}
	wrong := func(checks ...string) map[string]bool {
		change := map[string]bool{}
		for _, check := range checks {
			change[check] = false
		}
		return all(change)
	}
	for name, c := range map[string]struct {
		platform platformVerifier
		want     map[string]bool
	}{
		"none: it is right":                {platformVerifier{}, all(nil)},
		"right, with a leeway":             {platformVerifier{leeway: 20 * time.Second}, all(nil)},
		"no look at the signature":         {platformVerifier{forgetsSignature: true}, wrong(checkTampered, checkUnknownKey)},
		"no look at the end":               {platformVerifier{forgetsExpiry: true}, wrong(checkExpired)},
		"far too much leeway":              {platformVerifier{leeway: time.Hour}, wrong(checkExpired)},
		"no look at the party":             {platformVerifier{forgetsParty: true}, wrong(checkWrongParty)},
		"alg none is taken":                {platformVerifier{takesAlgNone: true}, wrong(checkTampered)},
		"keys with other names are taken":  {platformVerifier{takesUnknownKeys: true}, wrong(checkUnknownKey)},
		"everything is accepted":           {platformVerifier{acceptsAll: true}, wrong(checkTampered, checkUnknownKey, checkExpired, checkWrongParty)},
		"everything is refused, this says": {platformVerifier{refusesAll: true}, map[string]bool{checkValid: false}},
	} {
		t.Run(name, func(t *testing.T) {
			r := newCheckRig(t, &c.platform, "sess_foreign")
			if _, err := r.verdictsOf(t, 0); err != nil {
				t.Fatal(err)
			}
			got, err := r.verdictsOf(t, 100*time.Second) // the first token has ended, and so has the margin
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s\n%s", diff, r.log)
			}
			for check, right := range c.want {
				said := strings.Contains(r.log.String(), "check="+check)
				if said == right {
					t.Errorf("the log names %s: %v\n%s", check, said, r.log)
				}
			}
		})
	}
}

func TestTheLibraryPassesAllChecks(t *testing.T) {
	for _, foreign := range []string{"", "sess_foreign"} {
		r := newCheckRig(t, nil, foreign)
		first, err := r.verdictsOf(t, 0)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(map[string]bool{checkValid: true, checkTampered: true, checkUnknownKey: true, checkWrongParty: true}, first); diff != "" {
			t.Errorf("foreign %q, at first (-want +got):\n%s", foreign, diff)
		}
		later, err := r.verdictsOf(t, 100*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(map[string]bool{checkValid: true, checkTampered: true, checkUnknownKey: true, checkWrongParty: true, checkExpired: true}, later); diff != "" {
			t.Errorf("foreign %q, later (-want +got):\n%s", foreign, diff)
		}
	}
}

func TestTheLibraryTakesNoOtherIssuerOrParty(t *testing.T) {
	for name, change := range map[string]func(*libraryVerifier){
		"issuer": func(v *libraryVerifier) { v.issuer = "https://clerk.example.org" },
		"party":  func(v *libraryVerifier) { v.parties = []string{"https://app.example.org"} },
	} {
		r := newCheckRig(t, nil, "")
		change(r.verifier.(*libraryVerifier))
		if got, err := r.verdictsOf(t, 0); err != nil || got[checkValid] || len(got) != 1 {
			t.Errorf("another %s: %v, %v", name, got, err)
		}
	}
}

func TestWithoutAVerdictNothingIsTold(t *testing.T) {
	for name, c := range map[string]struct {
		platform platformVerifier
		foreign  string
		clerk    int
		want     map[string]bool
		reason   exporter.Reason
	}{
		"the platform is down":      {platform: platformVerifier{answers: 503}, reason: exporter.ReasonConnection, want: map[string]bool{}},
		"the platform has a limit":  {platform: platformVerifier{answers: 429}, reason: exporter.ReasonThrottled, want: map[string]bool{}},
		"the platform redirects":    {platform: platformVerifier{answers: 302}, reason: exporter.ReasonParse, want: map[string]bool{}},
		"it fails over forged ones": {platform: platformVerifier{answersForged: 500}, foreign: "sess_foreign", reason: exporter.ReasonConnection, want: map[string]bool{checkValid: true}},
		"Clerk is down":             {clerk: 503, reason: exporter.ReasonConnection, want: map[string]bool{}},
		"Clerk has a limit":         {clerk: 429, reason: exporter.ReasonThrottled, want: map[string]bool{}},
		"foreign is not foreign":    {foreign: "sess_nobody", reason: exporter.ReasonQuery, want: map[string]bool{checkValid: true, checkExpired: true, checkTampered: true, checkUnknownKey: true}},
		"foreign is gone":           {foreign: "sess_gone", reason: exporter.ReasonQuery, want: map[string]bool{checkValid: true, checkExpired: true, checkTampered: true, checkUnknownKey: true}},
	} {
		t.Run(name, func(t *testing.T) {
			answers, forged := c.platform.answers, c.platform.answersForged
			c.platform.answers, c.platform.answersForged = 0, 0
			r := newCheckRig(t, &c.platform, c.foreign)
			if got, _ := r.verdictsOf(t, 0); !got[checkValid] {
				t.Fatalf("before: %v", got)
			}
			c.platform.answers, c.platform.answersForged = answers, forged
			r.issuer.change(func() { r.issuer.status = c.clerk })
			got, err := r.verdictsOf(t, 100*time.Second)
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if err == nil || exporter.ReasonOf(err) != c.reason {
				t.Errorf("reason %q, want %q: %v", exporter.ReasonOf(err), c.reason, err)
			}
			c.platform.answers, c.platform.answersForged = 0, 0
			r.issuer.change(func() { r.issuer.status = 0 })
			if got, _ := r.verdictsOf(t, time.Second); !got[checkValid] || !got[checkTampered] || !got[checkExpired] {
				t.Errorf("it does not recover by itself: %v", got)
			}
		})
	}
}

func TestASilentPlatformGivesNoVerdictOnATokenThatMayHaveEnded(t *testing.T) {
	r := newCheckRig(t, &platformVerifier{}, "")
	r.tokenCheck.verifier = slowVerifier{r.verifier, func() {
		r.issuer.change(func() { r.issuer.now = r.issuer.now.Add(20 * time.Second) })
	}}
	got, err := r.verdictsOf(t, 0)
	if err != nil {
		t.Fatal(err)
	}
	// The first is accepted after 20 seconds, the forgeries are refused from 80 seconds on: the token was over by then anyway.
	if diff := cmp.Diff(map[string]bool{checkValid: true}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

type slowVerifier struct {
	verifier
	pass func()
}

func (s slowVerifier) verify(ctx context.Context, token *sessionToken, keys keySet) (bool, error) {
	defer s.pass()
	return s.verifier.verify(ctx, token, keys)
}

func TestATokenWithoutAPartySaysNothingAboutParties(t *testing.T) {
	r := newCheckRig(t, nil, "")
	r.tokenCheck.session = "sess_nobody"
	got, err := r.verdictsOf(t, 0)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]bool{checkValid: true, checkTampered: true, checkUnknownKey: true}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestKeysAreRotated(t *testing.T) {
	r := newCheckRig(t, &platformVerifier{}, "")
	both := []string{"ins_1", "ins_2"}
	steps := []struct {
		name      string
		published []string
		signing   string
		platform  []string
		want      map[string]bool
	}{
		{"before", both[:1], "ins_1", both[:1], map[string]bool{checkValid: true, checkTampered: true, checkUnknownKey: true}},
		{"the new key is announced", both, "ins_1", both, map[string]bool{checkValid: true, checkTampered: true, checkUnknownKey: true, checkExpired: true}},
		{"it signs, the old one still verifies", both, "ins_2", both, map[string]bool{checkValid: true, checkTampered: true, checkUnknownKey: true, checkExpired: true}},
		{"back at once, with a platform that keeps the old set", both[:1], "ins_1", both[1:], map[string]bool{checkValid: false}},
		{"the platform has the set", both[1:], "ins_2", both, map[string]bool{checkValid: true, checkTampered: true, checkUnknownKey: true, checkExpired: true}},
	}
	for _, s := range steps {
		r.issuer.change(func() { r.issuer.published, r.issuer.signing = s.published, s.signing })
		r.platform.keys = s.platform
		got, err := r.verdictsOf(t, 100*time.Second)
		if err != nil {
			t.Fatalf("%s: %v", s.name, err)
		}
		if diff := cmp.Diff(s.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", s.name, diff)
		}
	}
}

func TestAnExpiredTokenOfAKeyThatIsGoneSaysNothing(t *testing.T) {
	r := newCheckRig(t, &platformVerifier{forgetsExpiry: true}, "")
	if _, err := r.verdictsOf(t, 0); err != nil {
		t.Fatal(err)
	}
	r.issuer.change(func() { r.issuer.published, r.issuer.signing = []string{"ins_2"}, "ins_2" })
	r.platform.keys = []string{"ins_2"}
	got, err := r.verdictsOf(t, 100*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	if _, told := got[checkExpired]; told || !got[checkValid] {
		t.Errorf("verdicts %v", got)
	}
	if got, _ = r.verdictsOf(t, 100*time.Second); got[checkExpired] {
		t.Errorf("verdicts %v, though a token of the new key that has ended is accepted", got)
	}
}

func TestFewTokensAreKept(t *testing.T) {
	now := time.Now()
	c := &tokenCheck{margin: 30 * time.Second, now: func() time.Time { return now }}
	round := func(later time.Duration) (newestOver *sessionToken) {
		now = now.Add(later)
		c.keep(&sessionToken{ends: now.Add(tokenLife)})
		for _, k := range c.kept {
			if c.isOver(k) {
				newestOver = k
			}
		}
		return newestOver
	}
	for i := range 100 {
		over := round(10 * time.Second)
		if i > 9 && over == nil || len(c.kept) > 11 {
			t.Fatalf("round %d: %d tokens are kept, over is %v", i, len(c.kept), over)
		}
	}
	for range 100 * maxKept { // much faster than tokens end
		round(time.Millisecond)
		if len(c.kept) > maxKept {
			t.Fatalf("%d tokens are kept", len(c.kept))
		}
	}
	if round(time.Second) == nil {
		t.Error("no token is over")
	}
}
