package wire

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func TestWaitKeepsTheRequest(t *testing.T) {
	t.Parallel()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", strings.NewReader("body"))
	if !Wait(r, time.Millisecond) {
		t.Error("the client has gone")
	}
	if body, err := io.ReadAll(r.Body); err != nil || string(body) != "body" {
		t.Errorf("%q %v", body, err)
	}
}

func TestWaitEndsWhenTheClientGoes(t *testing.T) {
	t.Parallel()
	ended := make(chan bool, 1)
	ctx, leave := context.WithCancel(t.Context())
	defer leave()
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		leave()
		ended <- Wait(r, time.Hour)
	}))
	defer server.Close()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, server.URL, bytes.NewReader(make([]byte, 100<<10))) // more than is read ahead
	if err != nil {
		t.Fatal(err)
	}
	if response, err := http.DefaultClient.Do(r); err == nil {
		response.Body.Close()
		t.Errorf("an answer: %d", response.StatusCode)
	}
	select {
	case waited := <-ended:
		if waited {
			t.Error("it waited an hour")
		}
	case <-time.After(2 * time.Minute):
		t.Error("it waits on")
	}
}

func TestMarshalLeavesHTMLAlone(t *testing.T) {
	t.Parallel()
	if got := string(Marshal(map[string]string{"a": "<b> & c"})); got != `{"a":"<b> & c"}` {
		t.Error(got)
	}
}
