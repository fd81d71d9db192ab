package httpclient

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	commonconfig "github.com/prometheus/common/config"

	"github.com/consignwatch/consignwatch/pkg/secret"
)

// echo answers with all that it was sent; it gives out an OAuth2 token for any client secret but a wrong one.
func echo(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	if r.URL.Path == "/token" && !strings.Contains(string(body), "wrong") {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]any{"access_token": "pl4nted-access-token", "token_type": "Bearer"})
		return
	}
	w.WriteHeader(http.StatusBadRequest)
	_ = r.Header.Write(w)
	_, _ = w.Write(body)
	user, password, _ := r.BasicAuth()
	fmt.Fprintln(w, user, password)
}

func TestASecretOfTheConfigurationIsMaskedWhereAServerRepeatsIt(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(echo))
	defer server.Close()
	host := strings.TrimPrefix(server.URL, "http://")
	file := filepath.Join(t.TempDir(), "secret")
	for name, c := range map[string]struct{ config, address string }{
		"a password":                 {"basic_auth: {username: anna, password: pl4nted-basic}", server.URL},
		"a password in a file":       {"basic_auth: {username: anna, password_file: FILE}", server.URL},
		"credentials":                {"authorization: {type: Token, credentials: pl4nted-credentials}", server.URL},
		"credentials in a file":      {"authorization: {credentials_file: FILE}", server.URL},
		"a bearer token":             {"bearer_token: pl4nted-bearer", server.URL},
		"a bearer token in a file":   {"bearer_token_file: FILE", server.URL},
		"a header":                   {"http_headers: {X-Api-Key: {secrets: [pl4nted-header]}}", server.URL},
		"a header in a file":         {"http_headers: {X-Api-Key: {files: [FILE]}}", server.URL},
		"a token of OAuth2":          {"oauth2: {client_id: app, client_secret: pl4nted-client, token_url: URL/token}", server.URL},
		"a client secret of OAuth2":  {"oauth2: {client_id: app, client_secret: pl4nted-wrong/%, token_url: URL/token}", server.URL},
		"a client secret in a file":  {"oauth2: {client_id: app, client_secret_file: FILE, token_url: URL/elsewhere}", server.URL},
		"a proxy's password":         {"proxy_url: 'http://anna:pl4nted-proxy@HOST'", "http://elsewhere.example"},
		"the password of an address": {"follow_redirects: true", "http://anna:pl4nted-address@" + host},
	} {
		t.Run(name, func(t *testing.T) {
			if err := os.WriteFile(file, []byte("pl4nted-first\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			config, err := commonconfig.LoadHTTPConfig(strings.NewReplacer("FILE", file, "URL", server.URL, "HOST", host).Replace(c.config))
			if err != nil {
				t.Fatal(err)
			}
			client, err := New(*config, "test")
			if err != nil {
				t.Fatal(err)
			}
			defer client.CloseIdleConnections()
			if err := os.WriteFile(file, []byte("pl4nted-renewed-in-"+strings.ReplaceAll(name, " ", "-")+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			words := ""
			response, err := client.Get(c.address)
			if err != nil {
				words = err.Error()
			} else {
				body, _ := io.ReadAll(response.Body)
				response.Body.Close()
				words = string(body)
			}
			if masked := secret.Mask(words); strings.Contains(masked, "pl4nted") || !strings.Contains(masked, "<secret>") || strings.Contains(masked, "cGw0") { // base64 of pl4
				t.Errorf("%s\nis masked as\n%s", words, masked)
			}
		})
	}
}

// Whoever made a client another way would have secrets that nobody masks.
func TestEveryConfiguredClientOfTheProjectIsMadeHere(t *testing.T) {
	var made []string
	for _, dir := range []string{"cmd", "exporters", "pkg", "simulator"} {
		if err := filepath.WalkDir(filepath.Join("../..", dir), func(path string, _ os.DirEntry, err error) error {
			if err != nil || filepath.Ext(path) != ".go" || strings.HasSuffix(path, "_test.go") {
				return err
			}
			text, err := os.ReadFile(path)
			if strings.Contains(string(text), "commonconfig.NewClientFromConfig(") || strings.Contains(string(text), "commonconfig.NewRoundTripperFromConfig") {
				made = append(made, path)
			}
			return err
		}); err != nil {
			t.Fatal(err)
		}
	}
	if !slices.Equal(made, []string{"../../pkg/httpclient/httpclient.go"}) {
		t.Errorf("clients are made in %v", made)
	}
}
