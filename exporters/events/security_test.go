package events_test

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"

	"github.com/consignwatch/consignwatch/pkg/demo/servers/kafka"
	"github.com/consignwatch/consignwatch/pkg/kafkaclient"
)

// TestEachWayToLogIn consumes from brokers that require authentication, and TLS with a certificate of a private
// authority.
func TestEachWayToLogIn(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	for _, mechanism := range []string{"", kafkaclient.Plain, kafkaclient.ScramSHA256, kafkaclient.ScramSHA512} {
		for _, encrypted := range []bool{false, true} {
			if mechanism == "" && !encrypted {
				continue
			}
			t.Run(fmt.Sprintf("mechanism=%s,tls=%v", mechanism, encrypted), func(t *testing.T) {
				t.Parallel()
				c := kafka.Config{}
				keys := ""
				if encrypted {
					c.TLS = ca.server(t)
					keys += "  tls: {ca_file: ca.pem}\n"
				}
				if mechanism != "" {
					c.Users = []kafka.User{{Mechanism: mechanism, Name: "watcher", Password: secret}}
					keys += "  sasl: {mechanism: " + mechanism + ", username: watcher, password_file: password}\n"
				}
				b := startBroker(t, c)
				dir := folder(t, map[string]string{
					"ca.pem": ca.pem, "password": secret + "\n",
					"config.yml": fmt.Sprintf("kafka:\n  brokers: [%q]\n%s%s", b.Address(), keys, anonymousScraper),
				})
				writeWith(t, clientFor(ca, c), b, times(10, request("anna"))...)
				r := followFile(t, filepath.Join(dir, "config.yml"))
				r.await(t, map[string]float64{requests("anna"): 10, success: 1})
				if strings.Contains(r.Log(), secret) {
					t.Errorf("the log holds the password:\n%s", r.Log())
				}
			})
		}
	}
}

// clientFor are the options of a client that may write to a broker.
func clientFor(ca *authority, c kafka.Config) []kgo.Opt {
	var options []kgo.Opt
	if c.TLS != nil {
		pool := x509.NewCertPool()
		pool.AppendCertsFromPEM([]byte(ca.pem))
		options = append(options, kgo.DialTLSConfig(&tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}))
	}
	for _, u := range c.Users {
		switch u.Mechanism {
		case kafkaclient.Plain:
			options = append(options, kgo.SASL(plain.Auth{User: u.Name, Pass: u.Password}.AsMechanism()))
		case kafkaclient.ScramSHA256:
			options = append(options, kgo.SASL(scram.Auth{User: u.Name, Pass: u.Password}.AsSha256Mechanism()))
		case kafkaclient.ScramSHA512:
			options = append(options, kgo.SASL(scram.Auth{User: u.Name, Pass: u.Password}.AsSha512Mechanism()))
		}
	}
	return options
}

// TestANewPasswordIsTakenAtAReload changes the password file of an exporter whose login was rejected.
func TestANewPasswordIsTakenAtAReload(t *testing.T) {
	t.Parallel()
	c := kafka.Config{Users: []kafka.User{{Mechanism: kafkaclient.ScramSHA512, Name: "watcher", Password: secret}}}
	b := startBroker(t, c)
	writeWith(t, clientFor(nil, c), b, request("anna"))
	dir := folder(t, map[string]string{
		"password":   "wrong",
		"config.yml": fmt.Sprintf("kafka: {brokers: [%q], sasl: {mechanism: SCRAM-SHA-512, username: watcher, password_file: password}}\n"+anonymousScraper, b.Address()),
	})
	r := followFile(t, filepath.Join(dir, "config.yml"), "--web.enable-lifecycle")
	r.awaitThat(t, "refused", isDown("connection"))
	if got := r.scrape(t); got[requests("anna")] != 0 {
		t.Error("records were counted")
	}
	if err := os.WriteFile(filepath.Join(dir, "password"), []byte(secret), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, text := r.Do(t, http.MethodPost, "/-/reload"); code != http.StatusOK {
		t.Fatal(code, text)
	}
	r.await(t, map[string]float64{requests("anna"): 1, success: 1})
}

// TestABrokerThatIsNotTrustedIsNotSpokenTo has a certificate of another authority.
func TestABrokerThatIsNotTrustedIsNotSpokenTo(t *testing.T) {
	t.Parallel()
	b := startBroker(t, kafka.Config{TLS: newAuthority(t).server(t)})
	dir := folder(t, map[string]string{
		"ca.pem": newAuthority(t).pem, "password": secret,
		"config.yml": fmt.Sprintf("kafka: {brokers: [%q], tls: {ca_file: ca.pem}, sasl: {mechanism: PLAIN, username: u, password_file: password}}\n"+anonymousScraper, b.Address()),
	})
	r := followFile(t, filepath.Join(dir, "config.yml"))
	r.awaitThat(t, "no connection", isDown("connection"))
	if log := r.Log(); !strings.Contains(log, "reason=connection") || !strings.Contains(log, "certificate signed by unknown authority") {
		t.Errorf("the log does not say why:\n%s", tail(log))
	}
}
