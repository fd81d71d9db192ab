package main

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestHealthcheckFailsUnlessTheStatusIs2xx(t *testing.T) {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /ok", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ready\n")) })
	mux.HandleFunc("POST /switch", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	mux.HandleFunc("GET /unready", func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "not ready: the database is being filled", http.StatusServiceUnavailable)
	})
	mux.HandleFunc("GET /hung", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)

	for name, c := range map[string]struct {
		args   []string
		status int
		says   string
	}{
		"ok":                 {[]string{"healthcheck", server.URL + "/ok"}, 0, "ready\n"},
		"post":               {[]string{"healthcheck", "--post", server.URL + "/switch"}, 0, ""},
		"unready":            {[]string{"healthcheck", server.URL + "/unready"}, 1, "503 Service Unavailable: not ready: the database is being filled"},
		"the wrong method":   {[]string{"healthcheck", "--post", server.URL + "/ok"}, 1, "405 Method Not Allowed"},
		"hung":               {[]string{"healthcheck", "--timeout=50ms", server.URL + "/hung"}, 1, "/hung: no complete response within 50ms (--timeout)"},
		"nobody there":       {[]string{"healthcheck", "http://127.0.0.1:1/"}, 1, "connection refused"},
		"without an address": {[]string{"healthcheck"}, 1, "required argument 'url' not provided"},
	} {
		t.Run(name, func(t *testing.T) {
			out, errs := output(t), output(t)
			status := run(c.args, out, errs)
			if text := content(t, out) + content(t, errs); status != c.status || !strings.Contains(text, c.says) {
				t.Errorf("status %d, %q; want %d, %q", status, text, c.status, c.says)
			}
		})
	}
}

// The response may be long: all of it is printed.
func TestHealthcheckPrintsTheWholeResponse(t *testing.T) {
	page := bytes.Repeat([]byte("consign_up 1\n"), 1<<18)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(page) }))
	t.Cleanup(server.Close)
	var out bytes.Buffer
	if err := request(t.Context(), http.MethodGet, server.URL, time.Minute, &out); err != nil || !bytes.Equal(out.Bytes(), page) {
		t.Errorf("%d of %d bytes, %v", out.Len(), len(page), err)
	}
}

func output(t *testing.T) *os.File {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return f
}

func content(t *testing.T, f *os.File) string {
	t.Helper()
	text, err := os.ReadFile(f.Name())
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
