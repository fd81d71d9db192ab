package integration

import (
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/consignwatch/consignwatch/pkg/catalog"
	"github.com/consignwatch/consignwatch/pkg/exporter"
	"github.com/consignwatch/consignwatch/pkg/exporter/exportertest"
	"github.com/consignwatch/consignwatch/pkg/yamlfile"
	"github.com/consignwatch/consignwatch/simulator/services/clerk"
)

// clerkSite is a fake Clerk, a platform that verifies its tokens, and the requests to both.
type clerkSite struct {
	*clerk.Fake
	*clerk.Verifier
	network        *exportertest.Network
	url, verifyURL string

	mu    sync.Mutex
	asked []clerk.Request
}

func newClerkSite(t *testing.T, network *exportertest.Network) *clerkSite {
	t.Helper()
	s := &clerkSite{network: network}
	s.Fake = clerk.New(clerk.Config{SecretKey: plantedKey, Issuer: testIssuer, Requested: func(r clerk.Request) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.asked = append(s.asked, r)
	}})
	s.Verifier = clerk.NewVerifier(clerk.VerifierConfig{Issuer: testIssuer, Parties: []string{ourParty}, Keys: s.Keys})
	t.Cleanup(func() { s.Close() })
	s.url, s.verifyURL = network.Serve(t, s.Fake).URL+"/v1", network.Serve(t, s.Verifier).URL
	now := time.Now()
	for id, active := range map[string]time.Duration{"user_now": time.Minute, "user_today": 5 * time.Hour, "user_week": 50 * time.Hour, "user_month": 200 * time.Hour, "user_gone": 2000 * time.Hour} {
		if _, err := s.AddUser(clerk.User{ID: id, CreatedAt: now.Add(-3000 * time.Hour), LastActiveAt: now.Add(-active)}); err != nil {
			t.Fatal(err)
		}
	}
	for id, party := range map[string]string{"sess_probe": ourParty, foreignSess: "https://other.example"} {
		if _, err := s.SignIn(clerk.Session{ID: id, UserID: "user_now", AuthorizedParty: party}); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// fastTiming is for tests that have to wait for several rounds.
const fastTiming = 500 * time.Millisecond

// start runs an exporter for both, with an interval.
func (s *clerkSite) start(t *testing.T, interval time.Duration) *exportertest.Running {
	t.Helper()
	return s.startWith(t, interval, "")
}

// startWith runs an exporter with further settings.
func (s *clerkSite) startWith(t *testing.T, interval time.Duration, more string) *exportertest.Running {
	t.Helper()
	return s.run(t, fmt.Sprintf(`clerk:
  url: '%s'
  secret_key_file: %s
  probe_session: sess_probe
  foreign_session: %s
  issuer: %s
  authorized_parties: ['%s']
  verify_url: '%s'
  interval: %[7]s
  timeout: %[8]s
  token_interval: %[7]s
%[9]s`, s.url, exportertest.WriteFile(t, "key", plantedKey+"\n"), foreignSess, testIssuer, ourParty, s.verifyURL, yamlfile.Duration(interval), yamlfile.Duration(min(interval, 30*time.Second)), more))
}

func (s *clerkSite) run(t *testing.T, config string) *exportertest.Running {
	t.Helper()
	return exportertest.StartOn(t, s.network, appOn(s.network.DialContext), exportertest.WriteFile(t, "config.yml", config))
}

func (s *clerkSite) switchOn(change func(*clerk.Switches)) { s.Fake.Switch(change) }

func check(name string) string { return fmt.Sprintf("consign_clerk_token_check{check=%q}", name) }

// TestAKeyThatIsNotUnderstoodCostsNothing puts keys of other kinds and sizes beside the one that signs, as RFC 7517, section 5, allows.
func TestAKeyThatIsNotUnderstoodCostsNothing(t *testing.T) {
	t.Parallel()
	strange := `{"kty":"AKP","kid":"post-quantum","alg":"ML-DSA-44","pub":"AA"},{"kty":"RSA","kid":"large","e":"AQAB","n":"` + strings.Repeat("_", 7_000_000) + `"},`
	exportertest.InVirtualTime(t, func(t *testing.T) {
		s := newClerkSite(t, &exportertest.Network{})
		s.url = s.network.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			answer := httptest.NewRecorder()
			s.Fake.ServeHTTP(answer, r)
			body := answer.Body.String()
			if strings.HasSuffix(r.URL.Path, "/jwks") {
				body = strings.Replace(body, `"keys":[`, `"keys":[`+strange, 1)
			}
			w.WriteHeader(answer.Code)
			_, _ = io.WriteString(w, body)
		})).URL + "/v1"
		r := s.start(t, fastTiming)
		series := r.Await(t, "the tokens are checked", func(series map[string]float64) bool { return series[check("valid_accepted")] == 1 })
		if series["consign_clerk_up"] != 1 || series["consign_clerk_signing_keys"] != 1 {
			t.Errorf("up %v, %v signing keys, want 1 and 1", series["consign_clerk_up"], series["consign_clerk_signing_keys"])
		}
	})
}

func TestClerkMetricsEqualItsResponses(t *testing.T) {
	t.Parallel()
	exportertest.InVirtualTime(t, func(t *testing.T) {
		s := newClerkSite(t, &exportertest.Network{})
		r := s.start(t, fastTiming)
		series := r.Await(t, "all of Clerk", func(series map[string]float64) bool {
			_, users := series[`consign_clerk_active_users{window="30d"}`]
			return users && series[check("valid_accepted")] == 1 && series[check("wrong_party_rejected")] == 1 && series["consign_clerk_signing_keys"] == 1
		})
		got := map[string]float64{}
		for name, v := range series {
			if strings.HasPrefix(name, "consign_clerk_") && !strings.Contains(name, "_requests_total") && !strings.Contains(name, "_presented_total") {
				got[name] = v
			}
		}
		const offset = "consign_clerk_clock_offset_seconds"
		if v, ok := got[offset]; !ok || math.Abs(v) > 1 { // both have the same clock, and the header Date has whole seconds
			t.Errorf("%s is %v (exported: %v), want about 0", offset, v, ok)
		}
		delete(got, offset)
		want := map[string]float64{
			"consign_clerk_up": 1, "consign_clerk_signing_keys": 1, "consign_clerk_signing_key_changes_total": 0,
			"consign_clerk_users": 5, `consign_clerk_active_users{window="1h"}`: 1, `consign_clerk_active_users{window="24h"}`: 2,
			`consign_clerk_active_users{window="7d"}`: 3, `consign_clerk_active_users{window="30d"}`: 4,
			check("valid_accepted"): 1, check("tampered_rejected"): 1, check("unknown_key_rejected"): 1, check("wrong_party_rejected"): 1, // none has expired yet
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		for operation, outcomes := range requestsOf(series, "consign_clerk_requests_total") {
			if !slices.Equal(outcomes, []string{"ok"}) {
				t.Errorf("requests of %s ended as %v", operation, outcomes)
			}
		}

		s.Fake.RotateKey(true)
		r.Await(t, "a second key", func(series map[string]float64) bool {
			return series["consign_clerk_signing_keys"] == 2 && series["consign_clerk_signing_key_changes_total"] == 1
		})
		s.Fake.RetireKeys()
		r.Await(t, "one key again", func(series map[string]float64) bool {
			return series["consign_clerk_signing_keys"] == 1 && series["consign_clerk_signing_key_changes_total"] == 2
		})
		s.Fake.RotateKey(false)
		r.Await(t, "another key at once", func(series map[string]float64) bool {
			return series["consign_clerk_signing_keys"] == 1 && series["consign_clerk_signing_key_changes_total"] == 3 && series[check("valid_accepted")] == 1
		})
		assertNoSecrets(t, r)
	})
}

// What the platform is given to reject is counted, so that nobody takes it for an attack; and it is seen at 0 before the first of it. A platform that
// leaves it out needs no count.
func TestPresentedTokensAreCounted(t *testing.T) {
	t.Parallel()
	for _, exempt := range []bool{false, true} {
		t.Run(fmt.Sprintf("exempt %v", exempt), func(t *testing.T) {
			t.Parallel()
			exportertest.InVirtualTime(t, func(t *testing.T) {
				s := newClerkSite(t, &exportertest.Network{})
				var rejected atomic.Int64
				s.verifyURL = s.network.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					answer := httptest.NewRecorder()
					s.Verifier.ServeHTTP(answer, r)
					if answer.Code == http.StatusUnauthorized {
						rejected.Add(1)
					}
					w.WriteHeader(answer.Code)
				})).URL
				r := s.startWith(t, fastTiming, fmt.Sprintf("  verify_exempt: %v\n", exempt))
				presented := func(series map[string]float64) string {
					var all []string
					for _, check := range catalog.TokenChecks() {
						if n, ok := series[fmt.Sprintf("consign_clerk_invalid_tokens_presented_total{check=%q}", check)]; ok {
							all = append(all, fmt.Sprintf("%s %v", strings.TrimSuffix(check, "_rejected"), n))
						}
					}
					return strings.Join(all, ", ")
				}
				if !exempt {
					first := r.Await(t, "the first round", func(series map[string]float64) bool { return series[check("valid_accepted")] == 1 })
					if got := presented(first); got != "expired 0, tampered 0, unknown_key 0, wrong_party 0" || rejected.Load() != 0 {
						t.Errorf("after the first round %q are counted, and %d were rejected", got, rejected.Load())
					}
					if _, ok := first[check("tampered_rejected")]; ok {
						t.Error("the first round has a verdict on forgeries that it did not present")
					}
				}
				later := r.Await(t, "a round with forgeries", func(series map[string]float64) bool {
					return series[check("tampered_rejected")] == 1 && series[check("wrong_party_rejected")] == 1
				})
				if got := presented(later); exempt && got != "" {
					t.Errorf("exempt, and %q are counted", got)
				} else if sum := sumOf(later, "consign_clerk_invalid_tokens_presented_total"); !exempt && int64(sum) != rejected.Load() {
					t.Errorf("%q are counted, and %d were rejected", got, rejected.Load())
				}
			})
		})
	}
}

// sumOf adds up the series of a metric.
func sumOf(series map[string]float64, metric string) (sum float64) {
	for name, n := range series {
		if strings.HasPrefix(name, metric+"{") {
			sum += n
		}
	}
	return sum
}

// requestsOf is which outcomes occurred, by operation.
func requestsOf(series map[string]float64, metric string) map[string][]string {
	found := map[string][]string{}
	for name, n := range series {
		var operation, outcome string
		labels := strings.NewReplacer("{", " ", `"`, " ", ",", " ", "}", " ").Replace(name)
		if _, err := fmt.Sscanf(labels, metric+" operation= %s outcome= %s", &operation, &outcome); err == nil && n > 0 {
			found[operation] = append(found[operation], outcome)
		}
	}
	return found
}

// assertNoSecrets looks for secrets and personal data in everything that the exporter shows.
func assertNoSecrets(t *testing.T, r *exportertest.Running) {
	t.Helper()
	_, page := r.Get(t, "/metrics")
	_, config := r.Get(t, "/config")
	_, landing := r.Get(t, "/")
	for what, text := range map[string]string{"/metrics": page, "/config": config, "/": landing, "log": r.Log()} {
		for _, plant := range []string{"planted", "eyJ"} { // with which every token begins
			if strings.Contains(text, plant) {
				t.Errorf("%s shows %q:\n%s", what, plant, text)
			}
		}
	}
}

func TestEachOutcomeOfClerkHasItsLabel(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		wrong  func(*clerk.Switches)
		want   string
		up     float64
		reason string
	}{
		"the key was revoked":   {func(s *clerk.Switches) { s.Status = 401 }, "auth", 0, "auth"},
		"the limit is used up":  {func(s *clerk.Switches) { s.Status = 429 }, "throttled", 1, "throttled"},
		"forbidden":             {func(s *clerk.Switches) { s.Status = 403 }, "forbidden", 0, "auth"},
		"not paid":              {func(s *clerk.Switches) { s.Status = 402 }, "payment_required", 0, "auth"},
		"not found":             {func(s *clerk.Switches) { s.Status = 404 }, "not_found", 0, "query"},
		"the question is wrong": {func(s *clerk.Switches) { s.Status = 422 }, "invalid_request", 0, "query"},
		"an error of theirs":    {func(s *clerk.Switches) { s.Status = 500 }, "server_error", 0, "connection"},
		"the edge answers":      {func(s *clerk.Switches) { s.Status = 503 }, "server_error", 0, "connection"},
		"cut off":               {func(s *clerk.Switches) { s.Down = true }, "connection", 0, "connection"},
		"slow":                  {func(s *clerk.Switches) { s.Slow = 3 * time.Second }, "timeout", 0, "timeout"},
		"not JSON":              {func(s *clerk.Switches) { s.InvalidResponse = true }, "invalid_response", 0, "parse"},
		"not known":             {func(s *clerk.Switches) { s.Status = 409 }, "other", 0, "query"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			exportertest.InVirtualTime(t, func(t *testing.T) {
				s := newClerkSite(t, &exportertest.Network{})
				s.switchOn(c.wrong)
				r := s.start(t, 1500*time.Millisecond)
				series := r.Await(t, "the outcome of every operation", func(series map[string]float64) bool {
					had := func(operation string) bool {
						return series[fmt.Sprintf("consign_clerk_requests_total{operation=%q,outcome=%q}", operation, c.want)] > 0
					}
					if c.want == "throttled" { // then only the first request is sent of those that share the limit
						return had("jwks") && (had("count_users") || had("create_token"))
					}
					return !slices.ContainsFunc(catalog.ClerkOperations(), func(operation string) bool { return !had(operation) })
				})
				if up, ok := series["consign_clerk_up"]; !ok || up != c.up {
					t.Errorf("up is %v (exported: %v), want %v", up, ok, c.up)
				}
				for name := range series {
					if strings.HasPrefix(name, "consign_clerk_token_check{") || strings.HasPrefix(name, "consign_clerk_users") {
						t.Errorf("%s is exported", name)
					}
				}
				for operation, outcomes := range requestsOf(series, "consign_clerk_requests_total") {
					if !slices.Equal(outcomes, []string{c.want}) {
						t.Errorf("requests of %s ended as %v", operation, outcomes)
					}
				}
				failures := fmt.Sprintf(`consignwatch_collector_failures_total{collector="clerk",reason=%q}`, c.reason)
				r.Await(t, failures, func(series map[string]float64) bool { return series[failures] > 0 })
				if n := strings.Count(r.Log(), "unknown response"); c.want == "other" && n != 3 || c.want != "other" && n != 0 {
					t.Errorf("%d unknown answers were logged, want one for each operation:\n%s", n, r.Log())
				}
				assertNoSecrets(t, r)
			})
		})
	}
}

func TestClerkIsNotCalledWhileItsRateLimitIsExhausted(t *testing.T) {
	t.Parallel()
	exportertest.InVirtualTime(t, func(t *testing.T) {
		s := newClerkSite(t, &exportertest.Network{})
		s.switchOn(func(w *clerk.Switches) { w.Throttled = true })
		r := s.start(t, fastTiming)
		r.Await(t, "some refused rounds", func(series map[string]float64) bool {
			return series[`consignwatch_collector_failures_total{collector="clerk",reason="throttled"}`] > 8
		})
		s.mu.Lock()
		defer s.mu.Unlock()
		limited, keys := 0, 0
		for _, a := range s.asked {
			if strings.Contains(a.Operation, "jwks") {
				keys++
			} else {
				limited++
			}
		}
		// Each of the two targets may have had a request in flight when the first 429 came.
		if limited > 2 || keys < 2 {
			t.Errorf("%d questions in spite of Retry-After, %d for keys, which have no limit", limited, keys)
		}
	})
}

func TestClerkRecoversByItselfAndNoVerdictIsInvented(t *testing.T) {
	t.Parallel()
	exportertest.InVirtualTime(t, func(t *testing.T) {
		s := newClerkSite(t, &exportertest.Network{})
		r := s.start(t, fastTiming)
		healthy := func(series map[string]float64) bool {
			return series["consign_clerk_up"] == 1 && series[check("valid_accepted")] == 1 && series[check("tampered_rejected")] == 1
		}
		r.Await(t, "health", healthy)
		for name, failure := range map[string]func(on bool){
			"Clerk is down": func(on bool) { s.switchOn(func(w *clerk.Switches) { w.Down = on }) },
			"Clerk is slow": func(on bool) {
				s.switchOn(func(w *clerk.Switches) { w.Slow = time.Duration(exporter.Bool(on)) * 2 * time.Second })
			},
		} {
			failure(true)
			stale := 0
			r.Await(t, name, func(series map[string]float64) bool {
				ok := false
				for series := range series {
					ok = ok || strings.HasPrefix(series, "consign_clerk_token_check{")
				}
				if ok && series[`consignwatch_collector_success{collector="clerk",target="token"}`] == 0 {
					stale++
				}
				return !ok && series["consign_clerk_up"] == 0
			})
			if stale > 2 { // one scrape may have come while the round ended
				t.Errorf("%s: %d scrape responses have verdicts of an earlier round", name, stale)
			}
			failure(false)
			r.Await(t, "health after "+name, healthy)
		}
		s.Verifier.Switch(func(m *clerk.Mistakes) { m.Down = true })
		r.Await(t, "no verdict while the platform is down", func(series map[string]float64) bool {
			_, ok := series[check("valid_accepted")]
			return !ok && series["consign_clerk_up"] == 1
		})
		s.Verifier.Switch(func(m *clerk.Mistakes) { m.Down, m.AcceptUnknownKey = false, true })
		r.Await(t, "a breach", func(series map[string]float64) bool {
			forged, ok := series[check("unknown_key_rejected")]
			return ok && forged == 0 && series[check("valid_accepted")] == 1 && series[check("tampered_rejected")] == 1
		})
		if !strings.Contains(r.Log(), "a forged token was accepted: signed with a foreign key") {
			t.Errorf("the log does not say what was accepted:\n%s", r.Log())
		}
		assertNoSecrets(t, r)
	})
}

func TestAKeyThatNoHeaderCanHoldIsNotShown(t *testing.T) {
	t.Parallel()
	exportertest.InVirtualTime(t, func(t *testing.T) {
		s := newClerkSite(t, &exportertest.Network{})
		r := s.run(t, fmt.Sprintf("clerk: {url: '%s', secret_key_file: %s, interval: 200ms}\n", s.url, exportertest.WriteFile(t, "key", plantedKey+"\nplanted-too\n")))
		r.Await(t, "a failure", func(series map[string]float64) bool {
			return series[`consign_clerk_requests_total{operation="jwks",outcome="connection"}`] > 0
		})
		assertNoSecrets(t, r)
	})
}
