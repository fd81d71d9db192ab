package mandrill

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/consignwatch/consignwatch/simulator/services/wire/wiretest"
)

const key = "planted-key"

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// fixture is an account with a clock that stands still until it is moved.
type fixture struct {
	*Fake
	clock time.Time
	url   string
}

func newFixture(t *testing.T, config Config) *fixture {
	r := &fixture{clock: noon}
	config.Now = func() time.Time { return r.clock }
	config.Key, config.Username, config.CreatedAt = key, "myusername", time.Date(2013, 1, 1, 15, 30, 27, 0, time.UTC)
	r.Fake = New(config)
	t.Cleanup(func() { r.Close() })
	server := httptest.NewServer(r)
	t.Cleanup(server.Close)
	r.url = server.URL
	return r
}

func (r *fixture) post(t *testing.T, path, body string) wiretest.Answer {
	t.Helper()
	return wiretest.Ask(t, http.MethodPost, r.url+path, body)
}

// ask calls an operation of version 1.0 with the key.
func (r *fixture) ask(t *testing.T, operation, more string) wiretest.Answer {
	t.Helper()
	return r.post(t, "/api/1.0/"+operation+".json", `{"key":"`+key+`"`+more+`}`)
}

func TestAccountIsWrittenAsDocumented(t *testing.T) {
	t.Parallel()
	const (
		none = `{"sent":0,"hard_bounces":0,"soft_bounces":0,"rejects":0,"complaints":0,"unsubs":0,"opens":0,"clicks":0}`
		want = `{"username":"myusername","created_at":"2013-01-01 15:30:27","public_id":"aaabbbccc112233","reputation":98,"hourly_quota":25000,"backlog":0,` +
			`"stats":{"all_time":` + none + `}}`
	)
	r := newFixture(t, Config{})
	if got := r.ask(t, "users/info", ""); got.Status != 200 || got.Body != want {
		t.Errorf("%d %s", got.Status, cmp.Diff(want, got.Body))
	}
	if got := r.ask(t, "users/ping2", ""); got.Status != 200 || got.Body != `{"PING":"PONG!"}` {
		t.Errorf("users/ping2: %d %s", got.Status, got.Body)
	}
}
