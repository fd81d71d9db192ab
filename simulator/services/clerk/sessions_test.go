package clerk

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/consignwatch/consignwatch/simulator/services/webhook"
	"github.com/consignwatch/consignwatch/simulator/services/wire/wiretest"
)

func TestSessionIsWrittenAsDocumented(t *testing.T) {
	t.Parallel()
	r := newFixture(t, Config{})
	got := r.ask(t, "GET", "/v1/sessions/sess_probe", "")
	want := fmt.Sprintf(`{"object":"session","id":"sess_probe","user_id":"user_probe","client_id":%q,"actor":null,"status":"active","last_active_organization_id":null,`+
		`"last_active_at":1795435200000,"expire_at":1796040000000,"abandon_at":1798027200000,"created_at":1795435200000,"updated_at":1795435200000}`, r.sessions["sess_probe"].clientID)
	if got.Status != 200 || got.Body != want {
		t.Errorf("%d %s", got.Status, cmp.Diff(want, got.Body))
	}
}

func statusOf(t *testing.T, a wiretest.Answer) string {
	t.Helper()
	var s sessionJSON
	if err := json.Unmarshal([]byte(a.Body), &s); err != nil {
		t.Fatal(err)
	}
	return s.Status
}

func TestSessionsEnd(t *testing.T) {
	t.Parallel()
	r := newFixture(t, Config{})
	r.clock = noon.Add(sessionLife - time.Second)
	if got := statusOf(t, r.ask(t, "GET", "/v1/sessions/sess_probe", "")); got != "active" {
		t.Error(got)
	}
	r.clock = noon.Add(sessionLife)
	if got := statusOf(t, r.ask(t, "GET", "/v1/sessions/sess_probe", "")); got != "expired" {
		t.Error(got)
	}
	if got := r.ask(t, "POST", "/v1/sessions/sess_probe/tokens", ""); got.Status != 404 || errorOf(t, got).Code != "resource_not_found" {
		t.Errorf("a token of an expired session: %d %s", got.Status, got.Body)
	}
	if got := statusOf(t, r.ask(t, "POST", "/v1/sessions/sess_probe/revoke", "")); got != "revoked" {
		t.Error(got)
	}
	for _, path := range []string{"/v1/sessions/sess_x/revoke", "/v1/sessions/sess_x/tokens"} {
		if got := r.ask(t, "POST", path, ""); got.Status != 404 || errorOf(t, got).Code != "resource_not_found" {
			t.Errorf("%s: %d %s", path, got.Status, got.Body)
		}
	}
	if err := r.End("sess_probe", "forgotten"); err == nil {
		t.Error("a session was forgotten")
	}
}

func TestOnlyDevelopmentInstancesCreateSessions(t *testing.T) {
	t.Parallel()
	live := newFixture(t, Config{})
	if got := live.ask(t, "POST", "/v1/sessions", `{"user_id":"user_probe"}`); got.Status != 400 || errorOf(t, got).Code != "request_invalid_for_environment" {
		t.Errorf("%d %s", got.Status, got.Body)
	}
	test := newFixture(t, Config{SecretKey: "sk_test_x"})
	if got := test.ask(t, "POST", "/v1/sessions", `{"user_id":"user_probe"}`); got.Status != 200 || statusOf(t, got) != "active" {
		t.Errorf("%d %s", got.Status, got.Body)
	}
	if got := test.ask(t, "POST", "/v1/sessions", `{"user_id":"user_x"}`); got.Status != 404 {
		t.Errorf("%d %s", got.Status, got.Body)
	}
	if got := test.ask(t, "POST", "/v1/sessions", `{`); got.Status != 400 || errorOf(t, got).Code != "request_body_invalid" {
		t.Errorf("%d %s", got.Status, got.Body)
	}
}

func TestSessionsAreListedOfAUserOnly(t *testing.T) {
	t.Parallel()
	r := newFixture(t, Config{})
	for i := range 12 {
		if _, err := r.SignIn(Session{ID: fmt.Sprintf("sess_%02d", i), UserID: "user_probe", CreatedAt: noon.Add(time.Duration(i+1) * time.Second)}); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.End("sess_11", "removed"); err != nil {
		t.Fatal(err)
	}
	type page struct {
		Data  []sessionJSON `json:"data"`
		Total int           `json:"total_count"`
	}
	for _, test := range []struct {
		query      string
		first      string
		n, total   int
		refusedFor string
	}{
		{query: "user_id=user_probe&paginated=true", first: "sess_11", n: 10, total: 13},
		{query: "user_id=user_probe&status=active&limit=10&paginated=true", first: "sess_10", n: 10, total: 12},
		{query: "user_id=user_probe&offset=12&limit=500&paginated=true", first: "sess_probe", n: 1, total: 13},
		{query: "user_id=user_probe&offset=99&paginated=true", total: 13},
		{query: "status=active", refusedFor: "form_param_missing"},
		{query: "user_id=user_probe&limit=501", refusedFor: "form_param_format_invalid"},
		{query: "user_id=user_probe&offset=-1", refusedFor: "form_param_format_invalid"},
	} {
		got := r.ask(t, "GET", "/v1/sessions?"+test.query, "")
		if test.refusedFor != "" {
			if got.Status != 422 || errorOf(t, got).Code != test.refusedFor {
				t.Errorf("%s: %d %s", test.query, got.Status, got.Body)
			}
			continue
		}
		var p page
		if err := json.Unmarshal([]byte(got.Body), &p); err != nil {
			t.Fatal(err)
		}
		if len(p.Data) != test.n || p.Total != test.total || test.n > 0 && p.Data[0].ID != test.first {
			t.Errorf("%s: %s", test.query, got.Body)
		}
	}
	if got := r.ask(t, "GET", "/v1/sessions?user_id=user_probe&limit=1", ""); !strings.HasPrefix(got.Body, `[{"object":"session","id":"sess_11"`) {
		t.Errorf("without pages: %s", got.Body)
	}
}

func TestUsersAndSessionsSendWebhooks(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
		var mu sync.Mutex
		down := true
		received := map[string]int{}
		platform := webhook.NewReceiver(webhook.ReceiverConfig{
			ClerkSecrets: func() []string { return []string{secret} },
			Topics:       []string{"user.created", "user.deleted", "session.created", "session.revoked"},
			Handle: func(_ context.Context, r webhook.Received) error {
				mu.Lock()
				defer mu.Unlock()
				if down {
					return errors.New("down")
				}
				received[r.Topic+" "+r.Outcome]++
				return nil
			},
		})
		f := New(Config{SecretKey: liveKey, Webhooks: webhook.SenderConfig{Transport: wiretest.Direct{Handler: platform}}, WebhookURL: "https://platform.example" + webhook.ClerkPath, WebhookSecret: secret})
		defer f.Close()
		if _, err := f.SignUp(User{ID: "user_1"}); err != nil {
			t.Fatal(err)
		}
		if _, err := f.SignIn(Session{ID: "sess_1", UserID: "user_1"}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		mu.Lock()
		down = false
		mu.Unlock()
		if err := f.End("sess_1", "revoked"); err != nil {
			t.Fatal(err)
		}
		if err := f.DeleteUser("user_1"); err != nil {
			t.Fatal(err)
		}
		f.Switch(func(s *Switches) { s.WebhooksLost = true })
		if _, err := f.SignUp(User{}); err != nil {
			t.Fatal(err)
		}
		if err := f.Forge("user.created"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		want := map[string]int{"user.created accepted": 1, "session.created accepted": 1, "session.revoked accepted": 1, "user.deleted accepted": 1, "other invalid_signature": 1}
		if diff := cmp.Diff(want, received); diff != "" {
			t.Errorf("received (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff(map[string]int64{"sent": 4, "delivered": 4, "failed": 2, "lost": 1, "forged": 1}, f.Books().Webhooks); diff != "" {
			t.Errorf("books (-want +got):\n%s", diff)
		}
	})
}

func TestUsersAndSessionsThatAreNotThere(t *testing.T) {
	t.Parallel()
	r := newFixture(t, Config{})
	_, signIn := r.SignIn(Session{UserID: "user_x"})
	_, token := r.Token("sess_x")
	for name, err := range map[string]error{
		"sign in": signIn, "token": token, "end": r.End("sess_x", "ended"), "delete": r.DeleteUser("user_x"), "update": r.UpdateUser("user_x", func(*User) {}),
	} {
		if !errors.Is(err, ErrUnknown) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := r.AddUser(User{ID: "user_probe"}); err == nil {
		t.Error("a user was added twice")
	}
	if _, err := r.SignIn(Session{ID: "sess_probe", UserID: "user_probe"}); err == nil {
		t.Error("a session began twice")
	}
	if b := r.Books(); b.Users != 1 || b.Sessions != 1 || b.Keys != 1 {
		t.Errorf("%+v", b)
	}
}
