package amclient

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/consignwatch/consignwatch/pkg/secret"
)

// What is no answer of Alertmanager must never look like "nothing fires" or "nothing is silenced".
func TestAnInvalidResponseIsAnErrorAndNotAnEmptyList(t *testing.T) {
	for name, text := range map[string]string{
		"empty": "", "null": "null", "a page": "<html>Welcome</html>", "an object": `{"status":"success","data":[]}`, "cut off": `[{"labels":{"alertname":"A"},`,
		"nothing in it": `[{}]`, "an unknown state": `[{"id":"1","matchers":[{"name":"a","value":"b","isEqual":true}],"startsAt":"2026-01-01T00:00:00Z","endsAt":"2026-01-01T00:00:00Z","status":{"state":"new"}}]`,
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(text)) }))
		client, err := New(server.URL, server.Client())
		if err != nil {
			t.Fatal(err)
		}
		_, alerts := client.Alerts(t.Context())
		_, silences := client.Silences(t.Context())
		_, status := client.Status(t.Context())
		_, set := client.SetSilence(t.Context(), Silence{})
		for what, err := range map[string]error{"alerts": alerts, "silences": silences, "status": status, "set": set} {
			if !errors.Is(err, ErrInvalidResponse) {
				t.Errorf("%s: %s: %v", name, what, err)
			}
		}
		server.Close()
	}
}

// Otherwise a proxy could fill the memory: what is decoded is many times longer than what was sent.
func TestALongResponseIsRefusedWithoutMuchMemory(t *testing.T) {
	const alert = `{"labels":{"a":"b"},"startsAt":"2026-01-01T00:00:00Z","fingerprint":"1"}`
	for name, c := range map[string]struct{ begin, repeated, end, want string }{
		"just not too long":      {"[" + alert, " ", "]", ""},
		"too long":               {"[" + alert, " ", " ]", "it has over 64 MiB"},
		"a page":                 {"<html>", "x", "", "this is not an answer"},
		"alerts without content": {"[", "{},", "{}]", "an alert has no labels"},
	} {
		t.Run(name, func(t *testing.T) {
			repeated := strings.Repeat(c.repeated, (maxResponse-len(c.begin)-len("]"))/len(c.repeated))
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				for _, part := range []string{c.begin, repeated, c.end} {
					_, _ = io.WriteString(w, part)
				}
			}))
			defer server.Close()
			client, err := New(server.URL, server.Client())
			if err != nil {
				t.Fatal(err)
			}
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			alerts, err := client.Alerts(t.Context())
			runtime.ReadMemStats(&after)
			switch {
			case c.want == "":
				if err != nil || len(alerts) != 1 {
					t.Errorf("%d alerts, %v", len(alerts), err)
				}
			case !errors.Is(err, ErrInvalidResponse) || !strings.Contains(err.Error(), c.want):
				t.Errorf("%.300v, want %q", err, c.want)
			}
			if allocated := after.TotalAlloc - before.TotalAlloc; allocated > 8*maxResponse { // a buffer that grows is allocated several times
				t.Errorf("%d MiB of memory were taken", allocated>>20)
			}
		})
	}
}

func TestAStatusErrorHasTheBodyOfTheResponse(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "wrong\n\tpassword "+strings.Repeat("x", 500), http.StatusUnauthorized)
	}))
	defer server.Close()
	client, err := New(server.URL+"/prefix/", server.Client())
	if err != nil {
		t.Fatal(err)
	}
	_, err = client.Alerts(t.Context())
	var status *StatusError
	if !errors.As(err, &status) || status.Code != http.StatusUnauthorized || !strings.HasPrefix(status.Text, "wrong password x") || len(status.Text) > 210 {
		t.Errorf("%v", err)
	}
}

func TestNoHeaderTravelsToAnotherHost(t *testing.T) {
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the redirect was followed") }))
	defer other.Close()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/api/v2/alerts" {
			http.Redirect(w, r, "/moved", http.StatusTemporaryRedirect)
			return
		}
		http.Redirect(w, r, other.URL, http.StatusTemporaryRedirect)
	}))
	defer server.Close()
	client, err := New(server.URL, server.Client())
	if err != nil {
		t.Fatal(err)
	}
	_, err = client.Alerts(t.Context())
	var status *StatusError
	if !errors.As(err, &status) || status.Code != http.StatusTemporaryRedirect {
		t.Errorf("%v", err)
	}
}

func TestAnEchoedSecretIsMaskedBeforeItIsCut(t *testing.T) {
	secret.Register("planted-bearer-token-that-is-long")
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, strings.Repeat("x", 180)+" planted-bearer-token-that-is-long", http.StatusUnauthorized)
	}))
	defer server.Close()
	client, err := New(server.URL, server.Client())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.Alerts(t.Context()); err == nil || strings.Contains(err.Error(), "planted") {
		t.Errorf("%v", err)
	}
}

func TestARequestToAServerThatHangsEndsWithItsContext(t *testing.T) {
	gone := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-gone }))
	defer server.Close()
	defer close(gone)
	client, err := New(server.URL, server.Client())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := client.Alerts(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
}

func TestAMatcherDecidesAsAlertmanagerDoes(t *testing.T) {
	labels := map[string]string{"a": "one two", "b": "x"}
	for _, c := range []struct {
		matcher Matcher
		text    string
		want    bool
	}{
		{Matcher{"a", "one two", false, true}, `a="one two"`, true},
		{Matcher{"a", "one", true, true}, `a=~"one"`, false}, // the whole value
		{Matcher{"a", "one|one two", true, true}, `a=~"one|one two"`, true},
		{Matcher{"a", "one.*", true, false}, `a!~"one.*"`, false},
		{Matcher{"b", "y", false, false}, `b!="y"`, true},
		{Matcher{"c", "", false, true}, `c=""`, true}, // a label that is not there is empty
		{Matcher{"c", "|z", true, true}, `c=~"|z"`, true},
	} {
		s, err := Select(c.matcher)
		if err != nil || s.Matches(labels) != c.want || c.matcher.String() != c.text {
			t.Errorf("%s: %t, %v, want %s: %t", c.matcher, s.Matches(labels), err, c.text, c.want)
		}
	}
	if _, err := Select(Matcher{"a", "(", true, true}); err == nil {
		t.Error("a regular expression that is none is accepted")
	}
}

func TestAnInvalidAddressIsRefused(t *testing.T) {
	for _, address := range []string{"", "alertmanager:9093", "ftp://a", "http://"} {
		if _, err := New(address, http.DefaultClient); err == nil {
			t.Errorf("%q is accepted", address)
		}
	}
}
