package integration

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/consignwatch/consignwatch/pkg/exporter/exportertest"
)

// scripted is a Mandrill that answers each method with a text, and keeps the requests.
type scripted struct {
	network *exportertest.Network
	url     string

	mu       sync.Mutex
	answers  map[string]string
	requests []string // method and id
}

func newScripted(t *testing.T, answers map[string]string) *scripted {
	t.Helper()
	s := &scripted{network: &exportertest.Network{}, answers: answers}
	server := s.network.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var body struct{ Key, ID string }
		if err := json.NewDecoder(r.Body).Decode(&body); err != nil || body.Key != plantedKey || r.Method != http.MethodPost {
			http.Error(w, `{"status":"error","code":-1,"name":"Invalid_Key","message":"Invalid API key"}`, http.StatusInternalServerError)
			return
		}
		method := strings.TrimSuffix(strings.TrimPrefix(r.URL.Path, "/api/1.0/"), ".json")
		s.mu.Lock()
		defer s.mu.Unlock()
		s.requests = append(s.requests, strings.TrimSpace(method+" "+body.ID))
		answer, ok := s.answers[method+" "+body.ID]
		if !ok {
			answer, ok = s.answers[method]
		}
		if !ok || strings.Contains(answer, `"status":"error"`) {
			w.WriteHeader(http.StatusInternalServerError)
		}
		fmt.Fprint(w, answer)
	}))
	s.url = server.URL + "/api/1.0/"
	return s
}

func (s *scripted) answer(method, text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answers[method] = text
}

func (s *scripted) count(method string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(slices.DeleteFunc(slices.Clone(s.requests), func(m string) bool { return m != method }))
}

// start runs an exporter for it, with a short interval.
func (s *scripted) start(t *testing.T, further string) *exportertest.Running {
	t.Helper()
	return exportertest.StartOn(t, s.network, appOn(s.network.DialContext), exportertest.WriteFile(t, "config.yml", fmt.Sprintf(`clients: [{slug: kids-north}, {slug: toy-town}, {slug: never}]
limits: {clients: 3}
mandrill: {url: '%s', key_file: %s, client_subaccounts: true, interval: 200ms, timeout: 200ms, slow_interval: 200ms, %s}
`, s.url, exportertest.WriteFile(t, "key", plantedKey+"\n"), further)))
}

func accountResponse(sent, bounces int) string {
	return fmt.Sprintf(`{"username":"u","created_at":"2013-01-01 15:30:27","public_id":"aaabbb","reputation":98,"hourly_quota":25000,"backlog":7,
		"stats":{"today":{"sent":1},"all_time":{"sent":%d,"hard_bounces":%d,"soft_bounces":3,"rejects":4,"complaints":5,"unsubs":6,"opens":70,"unique_opens":7,"clicks":80,"unique_clicks":8}}}`, sent, bounces)
}

func quietResponses() map[string]string {
	return map[string]string{
		"users/info": accountResponse(1000, 2), "subaccounts/list": "[]", "webhooks/list": "[]", "senders/domains": "[]",
	}
}

// only picks the series of some metrics, without those of requests.
func only(series map[string]float64, prefix string) map[string]float64 {
	picked := map[string]float64{}
	for name, v := range series {
		if strings.HasPrefix(name, prefix) && !strings.Contains(name, "_requests_total") {
			picked[name] = v
		}
	}
	return picked
}

func TestMandrillMetricsEqualItsResponses(t *testing.T) {
	t.Parallel()
	exportertest.InVirtualTime(t, func(t *testing.T) {
		answers := quietResponses()
		answers["subaccounts/list"] = `[
		{"id":"kids-north","name":"Kids North","custom_quota":42,"status":"active","reputation":81,"created_at":"2020-01-02 03:04:05","first_sent_at":"2020-01-02 03:04:05","sent_weekly":4,"sent_monthly":8,"sent_total":900},
		{"id":"toy-town","name":"","custom_quota":null,"status":"paused","reputation":0,"created_at":"2020-01-02 03:04:05.123","first_sent_at":null,"sent_weekly":0,"sent_monthly":0,"sent_total":0},
		{"id":"Somebody Else","status":"active","reputation":50,"created_at":"2020-01-02 03:04:05","sent_total":12}]`
		answers["subaccounts/info kids-north"] = `{"id":"kids-north","last_30_days":{"sent":42,"hard_bounces":1,"soft_bounces":2,"rejects":3,"complaints":4,"unsubs":5,"opens":6,"unique_opens":1,"clicks":7,"unique_clicks":1}}`
		answers["subaccounts/info toy-town"] = `{"status":"error","code":12,"name":"Unknown_Subaccount","message":"No subaccount exists with the id 'toy-town'"}`
		answers["webhooks/list"] = `[
		{"id":42,"url":"https://hooks.example.com/mandrill?token=planted-in-url","description":"","auth_key":"planted-auth-key","events":["send"],"created_at":"2020-01-02 03:04:05","last_sent_at":"2026-11-23 12:00:00","batches_sent":4,"events_sent":9,"last_error":null},
		{"id":43,"url":"https://hooks.example.com/other","auth_key":"planted-auth-key","last_sent_at":null,"last_error":"501 planted-error"}]`
		answers["senders/domains"] = `[
		{"domain":"Example.COM","created_at":"2020-01-02 03:04:05","last_tested_at":"2026-11-23 12:00:00","spf":{"valid":true,"valid_after":null,"error":null},"dkim":{"valid":false,"valid_after":"2020-01-02 03:04:05","error":"no record"},"verified_at":"2020-01-02 03:04:05","valid_signing":false},
		{"domain":"new.example.com","spf":{"valid":false},"dkim":{"valid":true},"dkim2":{"valid":true},"dmarc":{"valid":true},"verified_at":null,"valid_signing":true}]`
		s := newScripted(t, answers)
		r := s.start(t, "")
		series := r.Await(t, "all of Mandrill", func(series map[string]float64) bool {
			return len(only(series, "consign_mandrill_client_messages")) == 8 && len(only(series, "consign_mandrill_domain_valid")) == 10 &&
				len(only(series, "consign_mandrill_webhook")) == 3 && len(only(series, "consign_mandrill_messages_total")) == 8
		})
		want := map[string]float64{
			`consign_mandrill_up`:                                                          1,
			`consign_mandrill_reputation{client="_platform"}`:                              0.98,
			`consign_mandrill_reputation{client="kids-north"}`:                             0.81,
			`consign_mandrill_hourly_quota`:                                                25000,
			`consign_mandrill_backlog`:                                                     7,
			`consign_mandrill_messages_total{kind="sent"}`:                                 1000,
			`consign_mandrill_messages_total{kind="hard_bounce"}`:                          2,
			`consign_mandrill_messages_total{kind="soft_bounce"}`:                          3,
			`consign_mandrill_messages_total{kind="reject"}`:                               4,
			`consign_mandrill_messages_total{kind="complaint"}`:                            5,
			`consign_mandrill_messages_total{kind="unsubscribe"}`:                          6,
			`consign_mandrill_messages_total{kind="open"}`:                                 70,
			`consign_mandrill_messages_total{kind="click"}`:                                80,
			`consign_mandrill_client_messages{client="kids-north",kind="sent"}`:            42,
			`consign_mandrill_client_messages{client="kids-north",kind="hard_bounce"}`:     1,
			`consign_mandrill_client_messages{client="kids-north",kind="soft_bounce"}`:     2,
			`consign_mandrill_client_messages{client="kids-north",kind="reject"}`:          3,
			`consign_mandrill_client_messages{client="kids-north",kind="complaint"}`:       4,
			`consign_mandrill_client_messages{client="kids-north",kind="unsubscribe"}`:     5,
			`consign_mandrill_client_messages{client="kids-north",kind="open"}`:            6,
			`consign_mandrill_client_messages{client="kids-north",kind="click"}`:           7,
			`consign_mandrill_client_sent_total{client="kids-north"}`:                      900,
			`consign_mandrill_client_sent_total{client="toy-town"}`:                        0,
			`consign_mandrill_subaccount_paused{client="kids-north"}`:                      0,
			`consign_mandrill_subaccount_paused{client="toy-town"}`:                        1,
			`consign_mandrill_webhook_last_sent_timestamp_seconds{webhook="42"}`:           float64(time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC).Unix()),
			`consign_mandrill_webhook_failing{webhook="42"}`:                               0,
			`consign_mandrill_webhook_failing{webhook="43"}`:                               1,
			`consign_mandrill_domain_valid{domain="example.com",mechanism="spf"}`:          1,
			`consign_mandrill_domain_valid{domain="example.com",mechanism="dkim"}`:         0,
			`consign_mandrill_domain_valid{domain="example.com",mechanism="signing"}`:      0,
			`consign_mandrill_domain_valid{domain="example.com",mechanism="verified"}`:     1,
			`consign_mandrill_domain_valid{domain="new.example.com",mechanism="spf"}`:      0,
			`consign_mandrill_domain_valid{domain="new.example.com",mechanism="dkim"}`:     1,
			`consign_mandrill_domain_valid{domain="new.example.com",mechanism="dkim2"}`:    1,
			`consign_mandrill_domain_valid{domain="new.example.com",mechanism="dmarc"}`:    1,
			`consign_mandrill_domain_valid{domain="new.example.com",mechanism="signing"}`:  1,
			`consign_mandrill_domain_valid{domain="new.example.com",mechanism="verified"}`: 0,
		}
		if diff := cmp.Diff(want, only(series, "consign_mandrill_")); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		if n := series[`consignwatch_label_values_rejected_total{label="client",metric="consign_mandrill_client_sent_total"}`]; n < 1 {
			t.Errorf("%v foreign subaccounts were counted", n)
		}
		for _, m := range r.Families(t) {
			if m.GetName() == "consign_mandrill_messages_total" {
				if got, want := m.Metric[0].Counter.CreatedTimestamp.AsTime(), time.Date(2013, 1, 1, 15, 30, 27, 0, time.UTC); !got.Equal(want) {
					t.Errorf("the messages count since %v, want %v", got, want)
				}
			}
		}
		_, page := r.Get(t, "/metrics")
		_, config := r.Get(t, "/config")
		for _, text := range []string{page, config, r.Log()} {
			if strings.Contains(text, "planted") {
				t.Errorf("a secret is shown:\n%s", text)
			}
		}
	})
}

func TestMandrillsCountersSurviveLowReadings(t *testing.T) {
	t.Parallel()
	exportertest.InVirtualTime(t, func(t *testing.T) {
		s := newScripted(t, quietResponses())
		r := s.start(t, "")
		const sent = `consign_mandrill_messages_total{kind="sent"}`
		r.Await(t, "the first numbers", func(series map[string]float64) bool { return series[sent] == 1000 })

		s.answer("users/info", accountResponse(990, 1)) // a server that lags
		before := s.count("users/info")
		series := r.Await(t, "some more rounds", func(map[string]float64) bool { return s.count("users/info") > before+5 })
		if series[sent] != 1000 || series[`consign_mandrill_messages_total{kind="hard_bounce"}`] != 2 {
			t.Errorf("the counters went back: %v", only(series, "consign_mandrill_messages_total"))
		}

		s.answer("users/info", accountResponse(5, 0)) // the totals were reset
		r.Await(t, "the new numbers", func(series map[string]float64) bool {
			if series[sent] != 1000 && series[sent] != 5 {
				t.Fatalf("sent is %v", series[sent])
			}
			return series[sent] == 5
		})
		for _, m := range r.Families(t) {
			if m.GetName() == "consign_mandrill_messages_total" {
				if age := time.Since(m.Metric[0].Counter.CreatedTimestamp.AsTime()); age > time.Minute {
					t.Errorf("the new numbers count since %s ago", age)
				}
			}
		}
	})
}

func TestAWebhookFailsUntilSomethingIsDelivered(t *testing.T) {
	t.Parallel()
	exportertest.InVirtualTime(t, func(t *testing.T) {
		hook := func(sent, failure string) string {
			return fmt.Sprintf(`[{"id":42,"last_sent_at":"2026-11-23 12:00:%s","last_error":%q}]`, sent, failure)
		}
		answers := quietResponses()
		answers["webhooks/list"] = hook("00", "")
		s := newScripted(t, answers)
		r := s.start(t, "")
		for _, step := range []struct {
			name, answer string
			failing      float64
		}{
			{"no error", hook("00", ""), 0},
			{"an error", hook("00", "503"), 1},
			{"delivered since", hook("10", "503"), 0},
			{"another error", hook("10", "404"), 1},
			{"over", hook("10", ""), 0},
			{"the same again", hook("10", "404"), 1},
		} {
			s.answer("webhooks/list", step.answer)
			before := s.count("webhooks/list")
			r.Await(t, step.name, func(series map[string]float64) bool {
				return s.count("webhooks/list") > before+1 && series[`consign_mandrill_webhook_failing{webhook="42"}`] == step.failing
			})
		}
	})
}

func TestSubaccountsAreFetchedInTurn(t *testing.T) {
	t.Parallel()
	exportertest.InVirtualTime(t, func(t *testing.T) {
		answers := quietResponses()
		answers["subaccounts/list"] = `[{"id":"toy-town","status":"active","created_at":"2020-01-02 03:04:05"},{"id":"kids-north","status":"active","created_at":"2020-01-02 03:04:05"},{"id":"never","status":"active","created_at":"2020-01-02 03:04:05"}]`
		answers["subaccounts/info"] = `{"last_30_days":{"sent":42}}`
		answers["subaccounts/info never"] = `{"status":"error","code":-1,"name":"GeneralError","message":""}`
		s := newScripted(t, answers)
		r := s.start(t, "subaccounts_per_round: 1")
		series := r.Await(t, "two of three", func(series map[string]float64) bool {
			return series[`consign_mandrill_client_messages{client="toy-town",kind="sent"}`] == 42 && series[`consign_mandrill_client_messages{client="kids-north",kind="sent"}`] == 42
		})
		if series[`consign_mandrill_requests_total{operation="subaccount",outcome="server_error"}`] == 0 {
			t.Error("the one that always fails was not asked before the last one")
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		var turns []string
		for _, m := range s.requests {
			if id, ok := strings.CutPrefix(m, "subaccounts/info "); ok {
				turns = append(turns, id)
			}
		}
		for i, id := range turns {
			if want := []string{"kids-north", "never", "toy-town"}[i%3]; id != want {
				t.Fatalf("turn %d is %s, want %s: %v", i, id, want, turns)
			}
		}
	})
}

// TestAListWithoutEndIsNoAnswer: short elements take many times as much memory when they are decoded.
func TestAListWithoutEndIsNoAnswer(t *testing.T) {
	t.Parallel()
	exportertest.InVirtualTime(t, func(t *testing.T) {
		answers := quietResponses()
		for _, method := range []string{"webhooks/list", "senders/domains", "subaccounts/list"} {
			answers[method] = "[{}" + strings.Repeat(",{}", 500_000) + "]"
		}
		newScripted(t, answers).start(t, "").Await(t, "no list is read", func(series map[string]float64) bool {
			for _, operation := range []string{"list_webhooks", "list_domains", "list_subaccounts"} {
				if series[fmt.Sprintf(`consign_mandrill_requests_total{operation=%q,outcome="invalid_response"}`, operation)] == 0 {
					return false
				}
			}
			return true
		})
	})
}

func TestTheAccountHasAPlaceBesideAllClients(t *testing.T) {
	t.Parallel()
	exportertest.InVirtualTime(t, func(t *testing.T) {
		answers := quietResponses()
		answers["subaccounts/list"] = `[{"id":"toy-town","reputation":50,"sent_total":1},{"id":"kids-north","reputation":50,"sent_total":1},{"id":"never","reputation":50,"sent_total":1}]`
		s := newScripted(t, answers)
		s.start(t, "").Await(t, "the reputation of the account and of as many clients as there may be", func(series map[string]float64) bool {
			return len(only(series, "consign_mandrill_reputation")) == 4
		})
	})
}

func TestNoMoreThanTwoRequestsAreInFlight(t *testing.T) {
	t.Parallel()
	exportertest.InVirtualTime(t, func(t *testing.T) {
		var open, most, all atomic.Int32
		s := newScripted(t, quietResponses())
		behind, err := url.Parse(s.url)
		if err != nil {
			t.Fatal(err)
		}
		proxy := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: behind.Scheme, Host: behind.Host})
		proxy.Transport = &http.Transport{DialContext: s.network.DialContext, DisableKeepAlives: true}
		slow := s.network.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			most.Store(max(most.Load(), open.Add(1)))
			defer open.Add(-1)
			all.Add(1)
			select {
			case <-time.After(50 * time.Millisecond):
			case <-r.Context().Done():
			}
			proxy.ServeHTTP(w, r)
		}))
		s.url = slow.URL + behind.Path
		r := s.start(t, "")
		r.Await(t, "some rounds", func(map[string]float64) bool { return all.Load() > 30 })
		if most.Load() != 2 {
			t.Errorf("%d questions were open at a time, want 2", most.Load())
		}
	})
}
