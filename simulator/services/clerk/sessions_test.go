package clerk

import (
	"context"
	"encoding/json"
	"errors"
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
	const want = `{"created_at":1795435200000,"expire_at":1796040000000,"id":"sess_probe","object":"session","status":"active","user_id":"user_probe"}`
	if got.Status != 200 || got.Body != want {
		t.Errorf("%d %s", got.Status, cmp.Diff(want, got.Body))
	}
}

func statusOf(t *testing.T, a wiretest.Answer) string {
	t.Helper()
	var s struct{ Status string }
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
	for _, request := range [][2]string{{"GET", "/v1/sessions/sess_x"}, {"POST", "/v1/sessions/sess_x/tokens"}} {
		if got := r.ask(t, request[0], request[1], ""); got.Status != 404 || errorOf(t, got).Code != "resource_not_found" {
			t.Errorf("%s: %d %s", request, got.Status, got.Body)
		}
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
			ClerkSecret: secret,
			Topics:      []string{"user.created", "session.created"},
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
		f.Switch(func(s *Switches) { s.WebhooksLost = true })
		if _, err := f.SignUp(User{}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		want := map[string]int{"user.created accepted": 1, "session.created accepted": 1}
		if diff := cmp.Diff(want, received); diff != "" {
			t.Errorf("received (-want +got):\n%s", diff)
		}
	})
}

func TestUsersAndSessionsThatAreNotThere(t *testing.T) {
	t.Parallel()
	r := newFixture(t, Config{})
	if _, err := r.SignIn(Session{UserID: "user_x"}); !errors.Is(err, ErrUnknown) {
		t.Errorf("sign in: %v", err)
	}
	if _, err := r.AddUser(User{ID: "user_probe"}); err == nil {
		t.Error("a user was added twice")
	}
	if _, err := r.SignIn(Session{ID: "sess_probe", UserID: "user_probe"}); err == nil {
		t.Error("a session began twice")
	}
}
