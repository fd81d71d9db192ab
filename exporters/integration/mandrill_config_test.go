package integration

import "testing"

func TestMistakesInTheSectionMandrillAreNamed(t *testing.T) {
	t.Parallel()
	const mandrill = "mandrill:\n  key_file: key\n"
	testMistakes(t, map[string]mistake{
		"no mandrill key":         {"mandrill: {client_subaccounts: false}", "mandrill.key_file: is missing"},
		"mandrill in the clear":   {"mandrill: {key_file: key, url: 'http://mandrill.example.com'}", "mandrill.url: is not https"},
		"subaccounts of nobody":   {mandrill + "  client_subaccounts: true", "mandrill.client_subaccounts: there are no clients"},
		"too many in a round":     {mandrill + "  subaccounts_per_round: 1000", "mandrill.subaccounts_per_round: must be from 1 to 200"},
		"slow interval too short": {mandrill + "  slow_interval: 1s", "mandrill.slow_interval: cannot be shorter than the timeout of 20s"},
		"key of mandrill absent":  {"mandrill: {key_file: absent}", "mandrill.key_file: read secret"},
		"CA that is absent":       {mandrill + "  tls: {ca_file: absent}", "mandrill.tls: "},
	})
}

func TestTheSectionMandrillHasItsDefaults(t *testing.T) {
	t.Parallel()
	assertDefaults(t, "mandrill: {key_file: b}\n", func(c *configuration) any { return c.Mandrill }, `url: https://mandrillapp.com/api/1.0
key_file: b
subaccounts_per_round: 20
interval: 1m
timeout: 20s
slow_interval: 5m
`)
}
