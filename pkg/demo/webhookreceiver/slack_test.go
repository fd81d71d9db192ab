package webhookreceiver

import (
	"bytes"
	"io"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func TestAMessageForSlackIsShownAndAnsweredAsSlackDoes(t *testing.T) {
	var lines bytes.Buffer
	receiver := NewReceiver(Config{Lines: &lines, File: io.Discard, Now: func() time.Time { return time.Date(2026, 5, 14, 12, 0, 0, 0, time.UTC) }})
	for _, c := range []struct {
		body, answer string
		status       int
	}{
		{`{"channel":"#quiet","username":"Alertmanager","attachments":[{"title":"P3 A disk fills.","text":"web-1\n70 %","color":"good"}]}`, "ok", 200},
		{`{"alerts":[]}`, "invalid_payload\n", 400},
		{`nothing`, "invalid_payload\n", 400},
	} {
		w := httptest.NewRecorder()
		receiver.Slack().ServeHTTP(w, httptest.NewRequest("POST", "/slack", strings.NewReader(c.body)))
		if w.Code != c.status || w.Body.String() != c.answer {
			t.Errorf("%s: %d %q, want %d %q", c.body, w.Code, w.Body.String(), c.status, c.answer)
		}
	}
	if want := "12:00:00  SLACK     #quiet  P3 A disk fills. — web-1 70 %\n"; lines.String() != want {
		t.Errorf("%q\nwant %q", lines.String(), want)
	}
}
