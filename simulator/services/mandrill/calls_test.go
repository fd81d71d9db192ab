package mandrill

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/consignwatch/consignwatch/simulator/services/wire/wiretest"
)

func decode[T any](t *testing.T, a wiretest.Answer) T {
	t.Helper()
	var v T
	if err := json.Unmarshal([]byte(a.Body), &v); err != nil {
		t.Fatalf("%v: %d %s", err, a.Status, a.Body)
	}
	return v
}

func (r *fixture) send(t *testing.T, m Message) Sent {
	t.Helper()
	sent, err := r.Send(m)
	if err != nil {
		t.Fatal(err)
	}
	return sent
}

func TestErrorsHaveTheStatusOfTheirVersion(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, path, body  string
		change            func(*Switches)
		old, modern, code int
		want              string // code is %d
		outcome           string
	}{
		{"a wrong key", "users/ping2", `{"key":"guess"}`, nil, 500, 401, 401, `{"status":"error","code":%d,"name":"Invalid_Key","message":"Invalid API key"}`, "auth"},
		{"no key", "users/ping2", `{}`, nil, 500, 400, -2, `{"status":"error","code":%d,"name":"ValidationError","message":"You must specify a key value"}`, "bad_request"},
		{"no JSON", "users/ping2", `key=planted-key`, nil, 500, 400, -2, `{"status":"error","code":%d,"name":"ValidationError","message":"You must specify a key value"}`, "bad_request"},
		{"an unknown subaccount", "subaccounts/info", `{"key":"planted-key","id":"x"}`, nil, 500, 404, 12, `{"status":"error","code":%d,"name":"Unknown_Subaccount","message":"No subaccount exists with the id 'x'"}`, "not_found"},
		{"no subaccount", "subaccounts/info", `{"key":"planted-key"}`, nil, 500, 400, -2, `{"status":"error","code":%d,"name":"ValidationError","message":"You must specify a id value"}`, "bad_request"},
		{"an unknown method", "users/pong", `{"key":"planted-key"}`, nil, 500, 404, -1, `{"status":"error","code":%d,"name":"Unknown_Method","message":"Unknown method \"users/pong\""}`, "not_found"},
		{"too many requests", "users/ping2", `{"key":"planted-key"}`, func(s *Switches) { s.ErrorName = "RequestLimitExceeded" }, 500, 429, -1, `{"status":"error","code":%d,"name":"RequestLimitExceeded","message":"Something went wrong"}`, "throttled"},
		{"a general error", "users/ping2", `{"key":"planted-key"}`, func(s *Switches) { s.ErrorName = "GeneralError" }, 500, 500, -1, `{"status":"error","code":%d,"name":"GeneralError","message":"Something went wrong"}`, "server_error"},
		{"a name that nobody knows", "users/ping2", `{"key":"planted-key"}`, func(s *Switches) { s.ErrorName = "Unheard_Of" }, 500, 500, -1, `{"status":"error","code":%d,"name":"Unheard_Of","message":"Something went wrong"}`, "other"},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := newFixture(t, Config{})
			if test.change != nil {
				r.Switch(test.change)
			}
			oldCode := test.code
			if oldCode == 401 {
				oldCode = -1
			}
			for _, version := range []struct {
				path         string
				status, code int
			}{{"/api/1.0/", test.old, oldCode}, {"/api/1.4/", test.modern, test.code}} {
				got := r.post(t, version.path+test.path+".json", test.body)
				if want := fmt.Sprintf(test.want, version.code); got.Status != version.status || got.Body != want {
					t.Errorf("%s: %d %s, want %d %s", version.path, got.Status, got.Body, version.status, want)
				}
			}
			if diff := cmp.Diff(map[string]int64{test.outcome: 2}, r.Books().Requests); diff != "" {
				t.Errorf("books (-want +got):\n%s", diff)
			}
		})
	}
}

func TestSwitchesOfTheAccount(t *testing.T) {
	t.Parallel()
	for _, status := range []int{401, 404, 418, 429, 500, 502} {
		r := newFixture(t, Config{})
		r.Switch(func(s *Switches) { s.Status = status })
		if got := r.ask(t, "users/ping2", ""); got.Status != status || json.Valid([]byte(got.Body)) {
			t.Errorf("%d %s", got.Status, got.Body)
		}
		if n := r.Books().Requests["refused"]; n != 1 {
			t.Errorf("%d: %v", status, r.Books().Requests)
		}
	}
	r := newFixture(t, Config{})
	r.Switch(func(s *Switches) { s.InvalidResponse = true })
	if got := r.ask(t, "users/ping2", ""); got.Status != 200 || json.Valid([]byte(got.Body)) {
		t.Errorf("%d %s", got.Status, got.Body)
	}
	r.Switch(func(s *Switches) { *s = Switches{Down: true} })
	if response, err := http.Post(r.url+"/api/1.0/users/ping2.json", "application/json", strings.NewReader(`{"key":"planted-key"}`)); err == nil {
		response.Body.Close()
		t.Errorf("an answer while it is down: %d", response.StatusCode)
	}
	r.Switch(func(s *Switches) { *s = Switches{} })
	for _, path := range []string{"/api/2.0/users/ping2.json", "/users/ping2.json"} {
		if got := r.post(t, path, `{"key":"planted-key"}`); got.Status == 200 {
			t.Errorf("%s: %s", path, got.Body)
		}
	}
	if response, err := http.Get(r.url + "/api/1.0/users/ping2.json"); err != nil || response.StatusCode == 200 {
		t.Errorf("GET: %v", err)
	} else {
		response.Body.Close()
	}
}

type info struct {
	Reputation int `json:"reputation"`
	Backlog    int `json:"backlog"`
	Stats      struct {
		AllTime Counts `json:"all_time"`
	} `json:"stats"`
}

func TestTheWindowSlidesByDays(t *testing.T) {
	t.Parallel()
	r := newFixture(t, Config{})
	if err := r.AddSubaccount(Subaccount{ID: "kids"}); err != nil {
		t.Fatal(err)
	}
	start := noon.Add(-100 * 24 * time.Hour)
	for day := 0; day <= 100; day++ {
		r.clock = start.Add(time.Duration(day) * 24 * time.Hour)
		r.send(t, Message{Subaccount: "kids", To: "a@example.com"})
	}
	sent := func() int64 { return r.Books().Subaccounts["kids"].Last30Days.Sent }
	if recent, all := sent(), r.Books().AllTime.Sent; recent != 30 || all != 101 {
		t.Errorf("%d in 30 days, %d in all", recent, all)
	}
	if n := len(r.history.days); n > daysKept+1 {
		t.Errorf("%d days are kept", n)
	}
	r.clock = noon.Truncate(24 * time.Hour).Add(24 * time.Hour) // midnight
	if n := sent(); n != 29 {
		t.Errorf("%d after midnight", n)
	}
}

func TestQuotaMakesABacklogUntilItIsNoLongerUsedUp(t *testing.T) {
	t.Parallel()
	r := newFixture(t, Config{})
	r.Switch(func(s *Switches) { s.QuotaUsedUp = true })
	for range 5 {
		if sent := r.send(t, Message{To: "a@example.com"}); sent.Status != "queued" || *sent.QueuedReason != "hourly-quota-exhausted" {
			t.Errorf("%+v", sent)
		}
	}
	for _, step := range []struct {
		usedUp  bool
		backlog int
		sent    int64
	}{{true, 5, 0}, {false, 0, 5}} {
		r.Switch(func(s *Switches) { s.QuotaUsedUp = step.usedUp })
		if got := decode[info](t, r.ask(t, "users/info", "")); got.Backlog != step.backlog || got.Stats.AllTime.Sent != step.sent {
			t.Errorf("%+v: backlog %d, sent %d", step, got.Backlog, got.Stats.AllTime.Sent)
		}
	}
	r.Switch(func(s *Switches) { s.Backlog = 5000 })
	if got := decode[info](t, r.ask(t, "users/info", "")).Backlog; got != 5000 {
		t.Errorf("backlog %d", got)
	}
	if got := r.Books().Backlog; got != 5000 {
		t.Errorf("in the books: %d", got)
	}
}

func TestBouncesAreTheShareThatWasAskedFor(t *testing.T) {
	t.Parallel()
	r := newFixture(t, Config{})
	r.Switch(func(s *Switches) { s.Bouncing = 0.25 })
	for i := range 100 {
		r.send(t, Message{To: fmt.Sprintf("%d@example.com", i)})
	}
	got := decode[info](t, r.ask(t, "users/info", ""))
	if got.Stats.AllTime.Sent != 100 || got.Stats.AllTime.HardBounces != 25 {
		t.Errorf("%+v", got.Stats.AllTime)
	}
	if got.Reputation != 48 {
		t.Errorf("reputation %d", got.Reputation)
	}
	again := r.send(t, Message{To: "3@example.com"}) // the fourth one bounced
	if again.Status != "rejected" || again.RejectReason == nil || *again.RejectReason != "hard-bounce" {
		t.Errorf("%+v", again)
	}
	if got := r.Books().AllTime; got.Rejects != 1 || got.Sent != 100 {
		t.Errorf("%+v", got)
	}
}

func TestEverythingThatHappensIsCountedForItsSubaccount(t *testing.T) {
	t.Parallel()
	r := newFixture(t, Config{})
	for _, id := range []string{"kids", "teens"} {
		if err := r.AddSubaccount(Subaccount{ID: id}); err != nil {
			t.Fatal(err)
		}
	}
	id := func() string { return r.send(t, Message{Subaccount: "kids", To: "a@example.com"}).ID }
	sent := id()
	for _, step := range []struct{ id, what string }{{sent, Complain}, {id(), SoftBounce}, {id(), HardBounce}} {
		if err := r.Trigger(step.id, step.what); err != nil {
			t.Errorf("%s: %v", step.what, err)
		}
	}
	want := Counts{Sent: 3, HardBounces: 1, SoftBounces: 1, Complaints: 1}
	got := decode[struct {
		Last30Days Counts `json:"last_30_days"`
		SentTotal  int64  `json:"sent_total"`
	}](t, r.ask(t, "subaccounts/info", `,"id":"kids"`))
	if diff := cmp.Diff(want, got.Last30Days); diff != "" || got.SentTotal != 3 {
		t.Errorf("%d in all, counts (-want +got):\n%s", got.SentTotal, diff)
	}
	books := r.Books()
	if diff := cmp.Diff(map[string]SubaccountBooks{"kids": {AllTime: want, Last30Days: want}, "teens": {}}, books.Subaccounts); diff != "" {
		t.Errorf("books (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(want, books.AllTime); diff != "" {
		t.Errorf("the account (-want +got):\n%s", diff)
	}
	for _, step := range []struct{ id, what string }{{"nobody", Complain}, {sent, "burn"}} {
		if err := r.Trigger(step.id, step.what); err == nil {
			t.Errorf("%s of %s happened", step.what, step.id)
		}
	}
}

func TestSubaccountsAreWrittenAsDocumented(t *testing.T) {
	t.Parallel()
	r := newFixture(t, Config{})
	for _, s := range []Subaccount{{ID: "teens"}, {ID: "kids"}} {
		if err := r.AddSubaccount(s); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.AddSubaccount(Subaccount{ID: "kids"}); err == nil {
		t.Error("a subaccount was added twice")
	}
	r.send(t, Message{Subaccount: "kids", To: "a@example.com"})
	if err := r.PauseSubaccount("kids", true); err != nil {
		t.Fatal(err)
	}
	paused := r.send(t, Message{Subaccount: "kids", To: "a@example.com"})
	if paused.Status != "queued" || *paused.QueuedReason != "sending-paused" {
		t.Errorf("%+v", paused)
	}
	const (
		kids  = `{"id":"kids","status":"paused","reputation":98,"created_at":"2026-11-23 12:00:00","sent_total":1`
		teens = `{"id":"teens","status":"active","reputation":98,"created_at":"2026-11-23 12:00:00","sent_total":0}`
		more  = `,"last_30_days":{"sent":1,"hard_bounces":0,"soft_bounces":0,"rejects":0,"complaints":0,"unsubs":0,"opens":0,"clicks":0}}`
	)
	for _, test := range []struct{ operation, more, want string }{
		{"subaccounts/list", "", "[" + kids + "}," + teens + "]"},
		{"subaccounts/info", `,"id":"kids"`, kids + more},
	} {
		if got := r.ask(t, test.operation, test.more); got.Body != test.want {
			t.Errorf("%s %s: %s", test.operation, test.more, cmp.Diff(test.want, got.Body))
		}
	}
	if backlog := r.Books().Backlog; backlog != 0 {
		t.Errorf("what is paused is no backlog: %d", backlog)
	}
	if err := r.PauseSubaccount("kids", false); err != nil {
		t.Fatal(err)
	}
	if sent := r.Books().Subaccounts["kids"].AllTime.Sent; sent != 2 {
		t.Errorf("%d were sent after the pause", sent)
	}
}

func TestDomainsShowWhichMechanismIsBroken(t *testing.T) {
	t.Parallel()
	r := newFixture(t, Config{})
	r.AddDomain("mail.example")
	const right = `{"error":null,"valid":true,"valid_after":null}`
	shown := func(spf, dkim, dkim2, dmarc string, signing bool) string {
		return fmt.Sprintf(`[{"dkim":%s,"dkim2":%s,"dmarc":%s,"domain":"mail.example","spf":%s,"valid_signing":%t,"verified_at":"2013-01-01 15:30:27"}]`, dkim, dkim2, dmarc, spf, signing)
	}
	broken := func(name string) string {
		return `{"error":"No valid ` + name + ` record found","valid":false,"valid_after":null}`
	}
	for _, step := range []struct {
		mechanism string
		broken    bool
		want      string
	}{
		{"spf", false, shown(right, right, right, right, true)},
		{"spf", true, shown(broken("SPF"), right, right, right, false)},
		{"dkim", true, shown(broken("SPF"), broken("DKIM"), right, right, false)},
		{"spf", false, shown(right, broken("DKIM"), right, right, false)},
		{"dkim", false, shown(right, right, right, right, true)},
		{"dkim2", true, shown(right, right, broken("DKIM2"), right, true)},
		{"dmarc", true, shown(right, right, broken("DKIM2"), broken("DMARC"), true)},
	} {
		if err := r.BreakDomain("mail.example", step.mechanism, step.broken); err != nil {
			t.Fatal(err)
		}
		if got := r.ask(t, "senders/domains", ""); got.Body != step.want {
			t.Errorf("%s %t: %s", step.mechanism, step.broken, cmp.Diff(step.want, got.Body))
		}
	}
	if r.BreakDomain("mail.example", "dane", true) == nil || r.BreakDomain("other.example", "spf", true) == nil {
		t.Error("what is not there was broken")
	}
}

func TestMessagesAreSentThroughTheAPI(t *testing.T) {
	t.Parallel()
	r := newFixture(t, Config{})
	if err := r.AddSubaccount(Subaccount{ID: "kids"}); err != nil {
		t.Fatal(err)
	}
	got := r.ask(t, "messages/send", `,"message":{"from_email":"s@example.com","subaccount":"kids","to":[{"email":"a@example.com"},{"email":"b@example.com"}]}`)
	all := decode[[]Sent](t, got)
	if len(all) != 2 || all[0].Status != "sent" || all[1].Email != "b@example.com" || all[0].ID == all[1].ID {
		t.Errorf("%s", got.Body)
	}
	want := `[{"email":"a@example.com","status":"sent","reject_reason":null,"queued_reason":null,"_id":"` + all[0].ID + `"},`
	if !strings.HasPrefix(got.Body, want) {
		t.Errorf("%s, want %s", got.Body, want)
	}
	for body, name := range map[string]string{
		`,"message":{"from_email":"s@example.com","subaccount":"x","to":[{"email":"a@example.com"}]}`: "Unknown_Subaccount",
		`,"message":{}`: "ValidationError",
		``:              "ValidationError",
	} {
		if got := decode[problem](t, r.ask(t, "messages/send", body)); got.Name != name {
			t.Errorf("%s: %+v", body, got)
		}
	}
	if sent := r.Books().Subaccounts["kids"].AllTime.Sent; sent != 2 {
		t.Errorf("%d sent", sent)
	}
}
