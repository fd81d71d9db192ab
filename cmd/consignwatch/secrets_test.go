package main

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/consignwatch/consignwatch/pkg/exporter/exportertest"
)

// TestNoCommandPrintsASecret lets a server repeat what the commands send to it, in errors and in what they list, and mistypes
// addresses.
func TestNoCommandPrintsASecret(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var sent strings.Builder
		_ = r.Header.Write(&sent)
		user, password, _ := r.BasicAuth()
		words := strings.Join(strings.Fields(fmt.Sprint(sent.String(), user, password)), " ")
		switch {
		case r.Method == http.MethodGet && r.URL.Path == "/listed/api/v2/alerts":
			fmt.Fprintf(w, `[{"labels": {"alertname": %q}, "startsAt": "2026-11-30T00:00:00Z", "fingerprint": "1", "status": {"state": "active"}}]`, words)
		case r.Method == http.MethodGet && r.URL.Path == "/listed/api/v2/silences":
			_, _ = io.WriteString(w, "[]")
		default:
			http.Error(w, words, http.StatusForbidden)
		}
	}))
	defer server.Close()
	host := strings.TrimPrefix(server.URL, "http://")
	basic := exportertest.WriteFile(t, "http.yml", "basic_auth: {username: anna, password: pl4nted-password}\n")
	header := exportertest.WriteFile(t, "http.yml", "http_headers: {X-Api-Key: {secrets: [pl4nted-key]}}\n")
	for _, args := range [][]string{
		{"ack", "X", "--alertmanager=" + server.URL, "--http.config.file=" + basic},
		{"ack", "X", "--alertmanager=" + server.URL, "--http.config.file=" + header},
		{"ack", "X", "--alertmanager=http://anna:pl4nted-address@" + host},
		{"ack", "X", "--alertmanager=http://anna:pl4nted-address@127.0.0.1:1"},
		{"ack", "X", "--alertmanager=http://anna:pl4nted/half@" + host},
		{"ack", "--list", "--alertmanager=" + server.URL + "/listed", "--http.config.file=" + basic},
		{"unack", "X", "--alertmanager=" + server.URL, "--http.config.file=" + header},
		{"record", "--prometheus=" + server.URL, "--http.config.file=" + header, "--from=2h", "--output=" + filepath.Join(t.TempDir(), "x.tar.zst")},
		{"record", "--prometheus=http://anna:pl4nted/half@" + host, "--from=2h", "--output=" + filepath.Join(t.TempDir(), "x.tar.zst")},
		{"healthcheck", "http://anna:pl4nted-address@" + host},
		{"healthcheck", "http://anna:pl4nted/half@" + host},
	} {
		_, out := command(t, args...)
		if strings.Contains(out, "pl4nted") || strings.Contains(out, "cGw0bnRlZ") || out == "" {
			t.Errorf("%v prints: %s", args, out)
		}
	}
}
