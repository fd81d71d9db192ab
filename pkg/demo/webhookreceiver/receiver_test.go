package webhookreceiver

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const notification = `{
  "version": "4", "groupKey": "{}:{client=\"oakridge\"}", "status": "firing", "receiver": "pages",
  "commonLabels": {"client": "oakridge"}, "externalURL": "http://127.0.0.1:9093",
  "alerts": [
    {"status": "firing", "startsAt": "2026-05-02T10:00:00Z", "endsAt": "0001-01-01T00:00:00Z", "fingerprint": "b",
     "labels": {"alertname": "DataStale", "priority": "P2", "severity": "warning", "client": "oakridge"},
     "annotations": {"summary": "Numbers are old."}},
    {"status": "firing", "startsAt": "2026-05-02T10:00:00Z", "endsAt": "0001-01-01T00:00:00Z", "fingerprint": "a",
     "labels": {"alertname": "IntegrityViolation", "priority": "P1", "severity": "critical", "client": "oakridge"},
     "annotations": {"summary": "Items are sold twice.", "description": "3 items,\nallowed 0.", "runbook_url": "https://example.com/runbook"}}
  ]
}`

func at() time.Time { return time.Date(2026, 5, 2, 10, 0, 7, 0, time.UTC) }

func post(t *testing.T, receiver *Receiver, body string) *httptest.ResponseRecorder {
	t.Helper()
	response := httptest.NewRecorder()
	receiver.ServeHTTP(response, httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", strings.NewReader(body)))
	return response
}

func TestANotificationIsOneLineOfTextAndOneLineOfJSON(t *testing.T) {
	var lines, file bytes.Buffer
	receiver := NewReceiver(Config{Lines: &lines, File: &file, Now: at})
	if response := post(t, receiver, notification); response.Code != http.StatusOK {
		t.Fatalf("status %d: %s", response.Code, response.Body)
	}
	want := "10:00:07  FIRING    P1 critical  to pages  oakridge  Items are sold twice. — 3 items, allowed 0. — runbook https://example.com/runbook (and 1 more)\n"
	if diff := cmp.Diff(want, lines.String()); diff != "" {
		t.Errorf("line (-want +got):\n%s", diff)
	}
	if strings.Count(file.String(), "\n") != 1 {
		t.Fatalf("the file holds %q, want one line", file.String())
	}
	var n Notification
	if err := json.Unmarshal(file.Bytes(), &n); err != nil {
		t.Fatal(err)
	}
	if n.Time != at() || n.Status != Firing || n.Receiver != "pages" || len(n.Alerts) != 2 ||
		n.Alerts[1].Labels["alertname"] != "IntegrityViolation" {
		t.Errorf("the file holds %+v", n)
	}
}

func TestFiringAlertsAreShownBeforeResolvedOnes(t *testing.T) {
	n := Notification{Time: at(), Status: Firing, Receiver: "quiet", Alerts: []Alert{
		{Status: Resolved, Labels: map[string]string{"alertname": "Over", "priority": "P0"}},
		{Status: Firing, Labels: map[string]string{"alertname": "Now", "priority": "P3", "severity": "info"}},
	}}
	want := "10:00:07  FIRING    P3 info      to quiet  (no client)  Now (and 1 more)"
	if got := n.Line(); got != want {
		t.Errorf("line %q, want %q", got, want)
	}
}

func TestControlCharactersAreRemoved(t *testing.T) {
	n := Notification{Time: at(), Status: Resolved, Alerts: []Alert{
		{Status: Resolved, Annotations: map[string]string{"summary": "a\x1b[2Jb\nc"}},
	}}
	if got := n.Line(); strings.ContainsAny(got, "\x1b\n") {
		t.Errorf("line %q holds control characters", got)
	}
}

func TestColoursAreForTheTerminalOnly(t *testing.T) {
	var lines, file bytes.Buffer
	post(t, NewReceiver(Config{Lines: &lines, File: &file, Colour: true, Now: at}), notification)
	if !strings.Contains(lines.String(), "\x1b[1;31mFIRING\x1b[0m") {
		t.Errorf("line %q has no colour", lines.String())
	}
	if strings.Contains(file.String(), "\x1b") {
		t.Errorf("the file has colours: %q", file.String())
	}
}

func TestARequestThatIsNoNotificationIsRefused(t *testing.T) {
	var out bytes.Buffer
	receiver := NewReceiver(Config{Lines: &out, File: &out, Now: at})
	if response := post(t, receiver, "hello"); response.Code != http.StatusBadRequest {
		t.Errorf("status %d for nonsense, want 400", response.Code)
	}
	response := httptest.NewRecorder()
	receiver.ServeHTTP(response, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil))
	if response.Code != http.StatusMethodNotAllowed {
		t.Errorf("status %d for GET, want 405", response.Code)
	}
	if out.Len() > 0 {
		t.Errorf("wrote %q", out.String())
	}
}

type failingWriter struct{}

func (failingWriter) Write([]byte) (int, error) { return 0, errors.New("disk full") }

func TestANotificationThatCannotBeWrittenIsRefusedSoThatItIsSentAgain(t *testing.T) {
	response := post(t, NewReceiver(Config{Lines: &bytes.Buffer{}, File: failingWriter{}, Now: at}), notification)
	if response.Code != http.StatusInternalServerError || !strings.Contains(response.Body.String(), "disk full") {
		t.Errorf("answered %d %s, want 500 and why", response.Code, response.Body)
	}
}
