package clerk

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/consignwatch/consignwatch/exporters/integration/httpapi"
	"github.com/consignwatch/consignwatch/pkg/catalog"
	"github.com/consignwatch/consignwatch/pkg/exporter"
	"github.com/consignwatch/consignwatch/pkg/exporter/exportertest"
	"github.com/consignwatch/consignwatch/pkg/secret"
	"github.com/consignwatch/consignwatch/pkg/yamlfile"
	"github.com/consignwatch/consignwatch/simulator/services/clerk"
)

const (
	secretKey = "planted-secret-5b1f"
	theIssuer = "https://clerk.consign.example"
	ownParty  = "https://app.consign.example"
	otherSess = "sess_foreign"
)

func newTestClient(t *testing.T) *http.Client {
	t.Helper()
	client, err := httpapi.NewClient((&net.Dialer{}).DialContext, nil)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// forger is generated once: that takes time.
var forger = sync.OnceValue(func() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, foreignKeyBits)
	if err != nil {
		panic(err)
	}
	return key
})

// instance is a fake Clerk with three sessions, and a clock that stands still until it is moved.
type instance struct {
	*clerk.Fake
	url string

	mu  sync.Mutex
	now time.Time
}

func newInstance(t *testing.T) *instance {
	t.Helper()
	i := &instance{now: time.Now().Truncate(time.Second)}
	i.Fake = clerk.New(clerk.Config{Now: i.clock, SecretKey: secretKey, Issuer: theIssuer})
	server := httptest.NewServer(i)
	t.Cleanup(func() { server.Close(); i.Close() })
	i.url = server.URL + "/v1"
	if _, err := i.AddUser(clerk.User{ID: "user_probe"}); err != nil {
		t.Fatal(err)
	}
	for id, party := range map[string]string{"sess_probe": ownParty, otherSess: "https://other.example", "sess_nobody": ""} {
		if _, err := i.SignIn(clerk.Session{ID: id, UserID: "user_probe", AuthorizedParty: party}); err != nil {
			t.Fatal(err)
		}
	}
	return i
}

func (i *instance) clock() time.Time {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.now
}

func (i *instance) pass(d time.Duration) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.now = i.now.Add(d)
}

// verifying is a platform, as what verifies tokens, and what may stand before it.
type verifying struct {
	*clerk.Verifier

	mu          sync.Mutex
	always      int  // answers everything with this status
	unsigned    bool // takes tokens without an algorithm
	failsToDeny int  // answers with this status what it should reject
	cached      bool // answers everything with what it has kept
	staleKeys   *clerk.JWKS
}

// set changes what stands before the verifier.
func (p *verifying) set(change func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change()
}

func (p *verifying) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	always, unsigned, failsToDeny, cached := p.always, p.unsigned, p.failsToDeny, p.cached
	p.mu.Unlock()
	header, _, _ := strings.Cut(strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "), ".")
	raw, _ := base64.RawURLEncoding.DecodeString(header)
	switch {
	case always != 0:
		w.WriteHeader(always)
		return
	case cached:
		w.Header().Set("Age", "3")
		return
	case unsigned && strings.Contains(string(raw), `"alg":"none"`):
		return
	}
	verdict := httptest.NewRecorder()
	p.Verifier.ServeHTTP(verdict, r)
	if verdict.Code == http.StatusUnauthorized && failsToDeny != 0 {
		verdict.Code = failsToDeny
	}
	w.WriteHeader(verdict.Code)
	_, _ = w.Write(verdict.Body.Bytes())
}

// tokenCheckSetup is a token check with the servers that it uses.
type tokenCheckSetup struct {
	*tokenCheck
	clerk    *instance
	platform *verifying // nil: the library verifies
	log      *exportertest.Log
	patience time.Duration // of a round
}

// newTokenCheckSetup makes a check whose verifier is the platform, or the library.
func newTokenCheckSetup(t *testing.T, library bool, foreign string) *tokenCheckSetup {
	t.Helper()
	r := &tokenCheckSetup{clerk: newInstance(t), log: &exportertest.Log{}, patience: time.Minute}
	c := &Config{URL: r.clerk.url, ProbeSession: "sess_probe", ForeignSession: foreign, Issuer: theIssuer, AuthorizedParties: []string{ownParty}}
	c.Fill()
	c.ExpiryMargin = yamlfile.Duration(30 * time.Second)
	if !library {
		r.platform = &verifying{}
		r.platform.Verifier = clerk.NewVerifier(clerk.VerifierConfig{Now: r.clerk.clock, Issuer: theIssuer, Parties: []string{ownParty}, Leeway: 10 * time.Second, Keys: r.keysOfPlatform})
		server := httptest.NewServer(r.platform)
		t.Cleanup(server.Close)
		c.VerifyURL = server.URL
	}
	metrics := catalog.Shipped().ForExporter(catalog.Integration)
	api := newAPIClient(c, secret.New(secretKey), newTestClient(t), r.log.Logger())
	api.now = r.clerk.clock
	r.tokenCheck = newTokenCheck(c, api, newKeysTarget(api, metrics), metrics, r.log.Logger())
	r.now, r.foreignKey, r.announced = r.clerk.clock, forger(), true
	return r
}

// hangs makes a server hang, for longer than the next round's timeout.
func (r *tokenCheckSetup) hangs(somebody func()) {
	r.patience = time.Second
	somebody()
}

// keysOfPlatform is Clerk's key set, or an old one.
func (r *tokenCheckSetup) keysOfPlatform(ctx context.Context) (clerk.JWKS, error) {
	r.platform.mu.Lock()
	defer r.platform.mu.Unlock()
	if r.platform.staleKeys != nil {
		return *r.platform.staleKeys, nil
	}
	return r.clerk.Keys(ctx)
}

// verdictsOf does a round, some time after the one before.
func (r *tokenCheckSetup) verdictsOf(t *testing.T, later time.Duration) (map[string]bool, error) {
	t.Helper()
	r.clerk.pass(later)
	ctx, cancel := context.WithTimeout(t.Context(), r.patience)
	defer cancel()
	found := verdicts{}
	err := r.round(ctx, found)
	r.logChanges(found)
	right := map[string]bool{}
	for check, v := range found {
		right[check] = v.passed
	}
	return right, err
}

// rightBut is the verdicts of a verifier that is right but for some checks.
func rightBut(wrong ...string) map[string]bool {
	all := map[string]bool{}
	for _, check := range catalog.TokenChecks() {
		all[check] = !slices.Contains(wrong, check)
	}
	return all
}

func TestEachWrongVerifierIsCaught(t *testing.T) {
	t.Parallel()
	mistake := func(change func(*clerk.Mistakes)) func(*verifying) { return func(p *verifying) { p.Switch(change) } }
	for name, c := range map[string]struct {
		wrong func(*verifying)
		want  map[string]bool
	}{
		"none: it is right":              {func(*verifying) {}, rightBut()},
		"it takes expired tokens":        {mistake(func(m *clerk.Mistakes) { m.AcceptExpired = true }), rightBut(checkExpired)},
		"it takes any signature":         {mistake(func(m *clerk.Mistakes) { m.AcceptTampered = true }), rightBut(checkTampered, checkUnknownKey)},
		"it takes unknown keys":          {mistake(func(m *clerk.Mistakes) { m.AcceptUnknownKey = true }), rightBut(checkUnknownKey)},
		"it takes any party":             {mistake(func(m *clerk.Mistakes) { m.AcceptWrongParty = true }), rightBut(checkWrongParty)},
		"it takes unsigned tokens":       {func(p *verifying) { p.unsigned = true }, rightBut(checkTampered)},
		"it takes everything":            {func(p *verifying) { p.always = http.StatusOK }, rightBut(checkTampered, checkUnknownKey, checkExpired, checkWrongParty)},
		"it takes nothing, this it says": {mistake(func(m *clerk.Mistakes) { m.RejectValid = true }), map[string]bool{checkValid: false}},
	} {
		t.Run(name, func(t *testing.T) {
			r := newTokenCheckSetup(t, false, otherSess)
			if got, err := r.verdictsOf(t, 0); err != nil || !got[checkValid] {
				t.Fatal(got, err)
			}
			c.wrong(r.platform)
			got, err := r.verdictsOf(t, 100*time.Second) // the first token has ended, and so has the margin
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s\n%s", diff, r.log)
			}
			for check, right := range c.want {
				if said := strings.Contains(r.log.String(), "check="+check); said == right {
					t.Errorf("the log names %s: %v\n%s", check, said, r.log)
				}
			}
		})
	}
}

func TestTheLibraryPassesAllChecks(t *testing.T) {
	t.Parallel()
	for _, foreign := range []string{"", otherSess} {
		r := newTokenCheckSetup(t, true, foreign)
		first, err := r.verdictsOf(t, 0)
		if err != nil {
			t.Fatal(err)
		}
		want := rightBut()
		delete(want, checkExpired) // no token has ended
		if diff := cmp.Diff(want, first); diff != "" {
			t.Errorf("foreign %q, at first (-want +got):\n%s", foreign, diff)
		}
		later, err := r.verdictsOf(t, 100*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(rightBut(), later); diff != "" {
			t.Errorf("foreign %q, later (-want +got):\n%s", foreign, diff)
		}
	}
}

func TestADifferenceOfClocksIsNoRejectedToken(t *testing.T) {
	t.Parallel()
	for _, ahead := range []time.Duration{12 * time.Second, 30 * time.Second, time.Hour, -70 * time.Second, -24 * time.Hour} {
		t.Run(ahead.String(), func(t *testing.T) {
			t.Parallel()
			r := newTokenCheckSetup(t, true, otherSess)
			ours := func() time.Time { return r.clerk.clock().Add(-ahead) } // Clerk's clock is ahead of ours
			r.now, r.api.now = ours, ours
			r.verifier = &libraryVerifier{issuer: theIssuer, parties: []string{ownParty}, now: ours}
			for _, later := range []time.Duration{0, 2 * time.Minute} { // after that, the first token has expired
				right, err := r.verdictsOf(t, later)
				if err != nil {
					t.Fatal(err)
				}
				want := rightBut()
				if later == 0 {
					delete(want, checkExpired)
				}
				if diff := cmp.Diff(want, right); diff != "" {
					t.Errorf("(-want +got):\n%s", diff)
				}
			}
		})
	}
}

func TestTheLibraryTakesNoOtherIssuerOrParty(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*libraryVerifier){
		"issuer": func(v *libraryVerifier) { v.issuer = "https://clerk.example.org" },
		"party":  func(v *libraryVerifier) { v.parties = []string{"https://app.example.org"} },
	} {
		r := newTokenCheckSetup(t, true, "")
		change(r.verifier.(*libraryVerifier))
		if got, err := r.verdictsOf(t, 0); err != nil || got[checkValid] || len(got) != 1 {
			t.Errorf("another %s: %v, %v", name, got, err)
		}
	}
}

func TestWithoutAVerdictNothingIsReported(t *testing.T) {
	t.Parallel()
	valid := map[string]bool{checkValid: true}
	noParty := rightBut()
	delete(noParty, checkWrongParty)
	for name, c := range map[string]struct {
		failure, over func(r *tokenCheckSetup)
		want          map[string]bool
		reason        exporter.Reason
	}{
		"the platform is down": {
			func(r *tokenCheckSetup) { r.platform.set(func() { r.platform.always = 503 }) },
			func(r *tokenCheckSetup) { r.platform.set(func() { r.platform.always = 0 }) }, map[string]bool{}, exporter.ReasonConnection,
		},
		"the platform has a limit": {
			func(r *tokenCheckSetup) { r.platform.set(func() { r.platform.always = 429 }) },
			func(r *tokenCheckSetup) { r.platform.set(func() { r.platform.always = 0 }) }, map[string]bool{}, exporter.ReasonThrottled,
		},
		"the platform redirects": {
			func(r *tokenCheckSetup) { r.platform.set(func() { r.platform.always = 302 }) },
			func(r *tokenCheckSetup) { r.platform.set(func() { r.platform.always = 0 }) }, map[string]bool{}, exporter.ReasonParse,
		},
		"a cache answers for the platform": {
			func(r *tokenCheckSetup) { r.platform.set(func() { r.platform.cached = true }) },
			func(r *tokenCheckSetup) { r.platform.set(func() { r.platform.cached = false }) }, map[string]bool{}, exporter.ReasonParse,
		},
		"the platform fails over what it should refuse": {
			func(r *tokenCheckSetup) { r.platform.set(func() { r.platform.failsToDeny = 500 }) },
			func(r *tokenCheckSetup) { r.platform.set(func() { r.platform.failsToDeny = 0 }) }, valid, exporter.ReasonConnection,
		},
		"the platform hangs": {
			func(r *tokenCheckSetup) {
				r.hangs(func() { r.platform.Switch(func(m *clerk.Mistakes) { m.Slow = 2 * time.Second }) })
			},
			func(r *tokenCheckSetup) { r.platform.Switch(func(m *clerk.Mistakes) { m.Slow = 0 }) }, map[string]bool{}, exporter.ReasonTimeout,
		},
		"Clerk is down": {
			func(r *tokenCheckSetup) { r.clerk.Switch(func(s *clerk.Switches) { s.Down = true }) },
			func(r *tokenCheckSetup) { r.clerk.Switch(func(s *clerk.Switches) { s.Down = false }) }, map[string]bool{}, exporter.ReasonConnection,
		},
		"Clerk hangs": {
			func(r *tokenCheckSetup) {
				r.hangs(func() { r.clerk.Switch(func(s *clerk.Switches) { s.Slow = 2 * time.Second }) })
			},
			func(r *tokenCheckSetup) { r.clerk.Switch(func(s *clerk.Switches) { s.Slow = 0 }) }, map[string]bool{}, exporter.ReasonTimeout,
		},
		"Clerk has a limit": {
			func(r *tokenCheckSetup) { r.clerk.Switch(func(s *clerk.Switches) { s.Throttled = true }) },
			func(r *tokenCheckSetup) { r.clerk.Switch(func(s *clerk.Switches) { s.Throttled = false }) }, map[string]bool{}, exporter.ReasonThrottled,
		},
		"foreign is not foreign": {
			func(r *tokenCheckSetup) { r.foreignSession = "sess_nobody" },
			func(r *tokenCheckSetup) { r.foreignSession = otherSess }, noParty, exporter.ReasonQuery,
		},
		"foreign is gone": {
			func(r *tokenCheckSetup) { r.foreignSession = "sess_gone" },
			func(r *tokenCheckSetup) { r.foreignSession = otherSess }, noParty, exporter.ReasonQuery,
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newTokenCheckSetup(t, false, otherSess)
			if got, _ := r.verdictsOf(t, 0); !got[checkValid] {
				t.Fatalf("before: %v", got)
			}
			c.failure(r)
			got, err := r.verdictsOf(t, 100*time.Second)
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if err == nil || exporter.ReasonOf(err) != c.reason {
				t.Errorf("reason %q, want %q: %v", exporter.ReasonOf(err), c.reason, err)
			}
			c.over(r)
			r.patience = time.Minute
			got, err = r.verdictsOf(t, 11*time.Second) // later than Clerk's limit lasts
			if diff := cmp.Diff(rightBut(), got); diff != "" || err != nil {
				t.Errorf("it does not recover by itself (-want +got):\n%s\n%v", diff, err)
			}
		})
	}
}

func TestASilentPlatformGivesNoVerdictOnATokenThatMayHaveEnded(t *testing.T) {
	t.Parallel()
	r := newTokenCheckSetup(t, false, "")
	r.verifier = slowVerifier{r.verifier, func() {
		r.clerk.pass(20 * time.Second)
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
	t.Parallel()
	r := newTokenCheckSetup(t, true, "")
	r.session = "sess_nobody"
	got, err := r.verdictsOf(t, 0)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]bool{checkValid: true, checkTampered: true, checkUnknownKey: true}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestKeysAreRotated(t *testing.T) {
	t.Parallel()
	noExpired := rightBut()
	delete(noExpired, checkExpired)
	r := newTokenCheckSetup(t, false, otherSess)
	for _, s := range []struct {
		name   string
		change func()
		want   map[string]bool
	}{
		{"before", func() {}, noExpired},
		{"a new key signs, the old one is still valid", func() { r.clerk.RotateKey(true) }, rightBut()},
		{"the old one goes", func() { r.clerk.RetireKeys() }, rightBut()},
		// Tokens of the old key would be refused for their key: they say nothing about their end.
		{"another key at once", func() { r.clerk.RotateKey(false) }, noExpired},
		{"a token of it has ended", func() {}, rightBut()},
		{"the platform takes expired ones now", func() {
			r.platform.Switch(func(m *clerk.Mistakes) { m.AcceptExpired = true })
		}, rightBut(checkExpired)},
		{"and another key at once", func() { r.clerk.RotateKey(false) }, noExpired},
		{"the platform keeps the old set", func() {
			old, err := r.clerk.Keys(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			r.platform.set(func() { r.platform.staleKeys = &old })
			r.clerk.RotateKey(false)
		}, map[string]bool{checkValid: false}},
	} {
		s.change()
		got, err := r.verdictsOf(t, 100*time.Second)
		if err != nil {
			t.Fatalf("%s: %v", s.name, err)
		}
		if diff := cmp.Diff(s.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", s.name, diff)
		}
	}
}

func TestFewTokensAreKept(t *testing.T) {
	t.Parallel()
	now := time.Now()
	c := &tokenCheck{margin: 30 * time.Second, now: func() time.Time { return now }}
	round := func(later time.Duration) (newestOver *sessionToken) {
		now = now.Add(later)
		c.keep(&sessionToken{expires: now.Add(tokenLife)})
		for _, k := range c.keptTokens {
			if c.isExpired(k) {
				newestOver = k
			}
		}
		return newestOver
	}
	for i := range 100 {
		over := round(10 * time.Second)
		if i > 9 && over == nil || len(c.keptTokens) > 11 {
			t.Fatalf("round %d: %d tokens are kept, over is %v", i, len(c.keptTokens), over)
		}
	}
	for range 100 * maxKeptTokens { // much faster than tokens end
		round(time.Millisecond)
		if len(c.keptTokens) > maxKeptTokens {
			t.Fatalf("%d tokens are kept", len(c.keptTokens))
		}
	}
	if round(time.Second) == nil {
		t.Error("no token is over")
	}
}
