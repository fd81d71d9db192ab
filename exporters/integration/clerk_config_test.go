package integration

import "testing"

func TestMistakesInTheSectionClerkAreNamed(t *testing.T) {
	t.Parallel()
	const token = "clerk:\n  secret_key_file: key\n  probe_session: sess_1\n  issuer: https://clerk.example.com\n  authorized_parties: [https://app.example.com]\n"
	testMistakes(t, map[string]mistake{
		"no key":                      {"clerk: {issuer: 'https://clerk.example.com'}", "clerk.secret_key_file: is missing"},
		"password in the address":     {"clerk: {secret_key_file: key, url: 'https://a:b@example.com'}", "clerk.url: is not an address"},
		"key in the clear":            {"clerk: {secret_key_file: key, url: 'http://clerk.example.com/v1'}", "clerk.url: is not https"},
		"version is no date":          {"clerk: {secret_key_file: key, api_version: latest}", `clerk.api_version: "latest" is not a date`},
		"session with a path":         {"clerk: {secret_key_file: key, probe_session: ../users}", "clerk.probe_session: is not the name of a session"},
		"foreign is ours":             {token + "  foreign_session: sess_1", "clerk.foreign_session: must be another session"},
		"verification, no session":    {"clerk: {secret_key_file: key, verify_url: 'https://example.com/me'}", "clerk.probe_session: is missing"},
		"exempt from nothing":         {"clerk: {secret_key_file: key, verify_exempt: true}", "clerk.verify_exempt: says nothing without verify_url"},
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
		"key of clerk that is absent": {"clerk: {secret_key_file: absent}", "clerk.secret_key_file: read secret"},
	})
}

func TestTheSectionClerkHasItsDefaults(t *testing.T) {
	t.Parallel()
	assertDefaults(t, "clerk: {secret_key_file: a}\n", func(c *configuration) any { return c.Clerk }, `url: https://api.clerk.com/v1
secret_key_file: a
api_version: "2025-04-10"
refused_status:
    - 401
    - 403
expiry_margin: 1m
interval: 1m
timeout: 15s
token_interval: 1m
`)
}
