package system

import (
	"fmt"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/consignwatch/consignwatch/pkg/exporter/exportertest"
)

// FuzzNoSecretShowsAnywhere plants a secret as each credential of the exporter, lets the servers repeat it, and reads all that
// the exporter prints and serves.
func FuzzNoSecretShowsAnywhere(f *testing.F) {
	for i, secret := range exportertest.Secrets() {
		f.Add(secret, 200+100*(i%4), i%2 == 0)
	}
	f.Fuzz(func(t *testing.T, text string, status int, accept bool) {
		if status < 200 || status > 599 {
			t.Skip("no status")
		}
		planted := exportertest.Planted(t, text)
		secret := exportertest.WriteFile(t, "secret", planted+"\n")
		dsn := exportertest.WriteFile(t, "dsn", "reader:"+planted+"@tcp("+exportertest.EchoMySQL(t, accept)+")/?allowCleartextPasswords=true")
		headers := exportertest.WriteFile(t, "headers", "Authorization: Bearer "+planted+"\nX-Api-Key: "+planted+"\n")
		var network *exportertest.Network
		site := network.Serve(t, exportertest.EchoHTTP(status)).URL
		config := exportertest.WriteFile(t, "config.yml", fmt.Sprintf(`
interval: 1s
timeout: 1s
mysql: [{name: main, dsn_file: %[1]s}]
redis: [{name: cache, address: '%[2]s', username: reader, password_file: %[3]s}]
kafka: [{name: main, brokers: ['%[4]s'], sasl: {mechanism: PLAIN, username: reader, password_file: %[3]s}}]
probes: [{name: site, url: '%[5]s/', headers_file: %[6]s, follow_redirects: true, expect_body: ok}]
`, dsn, exportertest.EchoRedis(t), secret, echoKafka(t), site, headers))
		exportertest.NoSecretShows(t, network, App(), config, dsn, planted, false)
		for _, target := range []string{"redis: [{name: a, address: %q}]", "kafka: [{name: a, brokers: [%q]}]", "probes: [{name: a, url: %q}]"} {
			for _, scheme := range []string{"", "http://"} { // both are refused, and the message may not repeat them
				config := exportertest.WriteFile(t, "config.yml", fmt.Sprintf(target, scheme+"reader:"+planted+"@host:1"))
				exportertest.NoSecretShows(t, network, App(), config, "", planted, false)
			}
		}
	})
}

// echoKafka starts a broker that rejects each password, and repeats it.
func echoKafka(t *testing.T) (address string) {
	t.Helper()
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.EnableSASL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	cluster.ControlKey(int16(kmsg.SASLAuthenticate), func(request kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		sent := request.(*kmsg.SASLAuthenticateRequest)
		response := sent.ResponseKind().(*kmsg.SASLAuthenticateResponse)
		words := fmt.Sprintf("rejected: %s %q", sent.SASLAuthBytes, sent.SASLAuthBytes)
		response.ErrorCode, response.ErrorMessage = kerr.SaslAuthenticationFailed.Code, &words
		return response, nil, true
	})
	return cluster.ListenAddrs()[0]
}
