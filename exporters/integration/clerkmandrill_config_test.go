package integration

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"

	"github.com/consignwatch/consignwatch/pkg/exporter/exportertest"
)

func TestMistakesInTheSectionsClerkAndMandrillAreNamed(t *testing.T) {
	t.Parallel()
	const (
		token    = "clerk:\n  secret_key_file: key\n  probe_session: sess_1\n  issuer: https://clerk.example.com\n  authorized_parties: [https://app.example.com]\n"
		mandrill = "mandrill:\n  key_file: key\n"
	)
	for name, c := range map[string]struct{ text, want string }{
		"no key":                      {"clerk: {issuer: 'https://clerk.example.com'}", "clerk.secret_key_file: is missing"},
		"password in the address":     {"clerk: {secret_key_file: key, url: 'https://a:b@example.com'}", "clerk.url: is not an address"},
		"key in the clear":            {"clerk: {secret_key_file: key, url: 'http://clerk.example.com/v1'}", "clerk.url: is not https"},
		"version is no date":          {"clerk: {secret_key_file: key, api_version: latest}", `clerk.api_version: "latest" is not a date`},
		"session with a path":         {"clerk: {secret_key_file: key, probe_session: ../users}", "clerk.probe_session: is not the name of a session"},
		"foreign is ours":             {token + "  foreign_session: sess_1", "clerk.foreign_session: must be another session"},
		"verification, no session":    {"clerk: {secret_key_file: key, verify_url: 'https://example.com/me'}", "clerk.probe_session: is missing"},
		"tokens in the clear":         {token + "  verify_url: http://example.com/me", "clerk.verify_url: is not https"},
		"no issuer":                   {"clerk: {secret_key_file: key, probe_session: sess_1, authorized_parties: [a]}", "clerk.issuer: is missing"},
		"no parties":                  {"clerk: {secret_key_file: key, probe_session: sess_1, issuer: 'https://clerk.example.com'}", "clerk.authorized_parties: is missing"},
		"party twice":                 {"clerk: {secret_key_file: key, authorized_parties: [a, a]}", "clerk.authorized_parties.1:"},
		"a failure is no refusal":     {token + "  refused_status: [401, 503]", "clerk.refused_status.1: 503 does not refuse a token"},
		"a limit is no refusal":       {token + "  refused_status: [429]", "clerk.refused_status.0: 429 does not refuse a token"},
		"success is no refusal":       {token + "  refused_status: [200]", "clerk.refused_status.0: 200 does not refuse a token"},
		"longer than a token lives":   {token + "  interval: 5m\n  timeout: 50s", "clerk.timeout: cannot be longer than 30s"},
		"timeout over interval":       {"clerk: {secret_key_file: key, interval: 5s, timeout: 6s}", "clerk.timeout: cannot be longer than the interval of 5s"},
		"token interval too short":    {token + "  token_interval: 1s", "clerk.token_interval: cannot be shorter than the timeout of 15s"},
		"no mandrill key":             {"mandrill: {client_subaccounts: false}", "mandrill.key_file: is missing"},
		"mandrill in the clear":       {"mandrill: {key_file: key, url: 'http://mandrill.example.com'}", "mandrill.url: is not https"},
		"subaccounts of nobody":       {mandrill + "  client_subaccounts: true", "mandrill.client_subaccounts: there are no clients"},
		"too many in a round":         {mandrill + "  subaccounts_per_round: 1000", "mandrill.subaccounts_per_round: must be from 1 to 200"},
		"slow interval too short":     {mandrill + "  slow_interval: 1s", "mandrill.slow_interval: cannot be shorter than the timeout of 20s"},
		"key of clerk that is absent": {"clerk: {secret_key_file: absent}", "clerk.secret_key_file: read secret"},
		"key of mandrill absent":      {"mandrill: {key_file: absent}", "mandrill.key_file: read secret"},
		"CA that is absent":           {mandrill + "  tls: {ca_file: absent}", "mandrill.tls: "},
	} {
		t.Run(name, func(t *testing.T) {
			path := exportertest.WriteFile(t, "config.yml", c.text)
			write(t, filepath.Dir(path), "key", "x")
			_, err := load(path, nil, silentLog())
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want %s", err, c.want)
			}
		})
	}
}

func TestTheDefaultsOfClerkAndMandrillAreThose(t *testing.T) {
	t.Parallel()
	c, err := readConfig(exportertest.WriteFile(t, "config.yml", "clerk: {secret_key_file: a}\nmandrill: {key_file: b}\n"))
	if err != nil {
		t.Fatal(err)
	}
	got, err := yaml.Marshal(map[string]any{"clerk": c.Clerk, "mandrill": c.Mandrill})
	if err != nil {
		t.Fatal(err)
	}
	want := `clerk:
    url: https://api.clerk.com/v1
    secret_key_file: a
    api_version: "2025-04-10"
    refused_status:
        - 401
        - 403
    expiry_margin: 1m
    interval: 1m
    timeout: 15s
    token_interval: 1m
mandrill:
    url: https://mandrillapp.com/api/1.0
    key_file: b
    subaccounts_per_round: 20
    interval: 1m
    timeout: 20s
    slow_interval: 5m
`
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
