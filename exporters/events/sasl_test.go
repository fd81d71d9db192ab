package events_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/consignwatch/consignwatch/pkg/kafkaclient"
)

// saslBroker is a broker whose answers to logins are the test's: the broker of the other tests knows no bearer tokens, and just closes the connection after a
// wrong password.
type saslBroker struct {
	*kfake.Cluster

	mu     sync.Mutex
	sent   []string // what clients have sent to log in
	refuse bool
	hangUp bool // at the next request
}

func startSASLBroker(t *testing.T, mechanism string) *saslBroker {
	t.Helper()
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, telemetry, commerce, integration))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	b := &saslBroker{Cluster: cluster}
	cluster.Control(func(request kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		b.mu.Lock()
		defer b.mu.Unlock()
		switch r := request.(type) {
		case *kmsg.SASLHandshakeRequest:
			response := r.ResponseKind().(*kmsg.SASLHandshakeResponse)
			response.SupportedMechanisms = []string{mechanism}
			return response, nil, true
		case *kmsg.SASLAuthenticateRequest:
			b.sent = append(b.sent, string(r.SASLAuthBytes))
			response := r.ResponseKind().(*kmsg.SASLAuthenticateResponse)
			if b.refuse {
				response.ErrorCode = kerr.SaslAuthenticationFailed.Code
			}
			return response, nil, true
		}
		if _, first := request.(*kmsg.ApiVersionsRequest); b.hangUp && !first {
			b.hangUp = false
			return nil, errors.New("the test hangs up"), true
		}
		return nil, nil, false
	})
	return b
}

func TestARefusalIsReportedAsAuth(t *testing.T) {
	t.Parallel()
	for _, mechanism := range []string{kafkaclient.Plain, kafkaclient.ScramSHA256, kafkaclient.ScramSHA512, kafkaclient.OAuthBearer} {
		t.Run(mechanism, func(t *testing.T) {
			t.Parallel()
			b := startSASLBroker(t, mechanism)
			b.refuse = true
			dir := folder(t, map[string]string{
				"password": secret,
				"config.yml": fmt.Sprintf("kafka: {brokers: [%q], sasl: {mechanism: %s, username: watcher, password_file: password, token_file: password}}\n%s",
					b.ListenAddrs()[0], mechanism, anonymousScraper),
			})
			r := followFile(t, filepath.Join(dir, "config.yml"))
			r.awaitThat(t, "refused", isDown("auth"))
			if !strings.Contains(r.Log(), "reason=auth") || strings.Contains(r.Log(), secret) {
				t.Errorf("the log does not say that it was refused, or holds the password:\n%s", tail(r.Log()))
			}
		})
	}
}

// TestABearerTokenIsReadAtEachConnection renews the token between two connections, and takes it away.
func TestABearerTokenIsReadAtEachConnection(t *testing.T) {
	t.Parallel()
	b := startSASLBroker(t, kafkaclient.OAuthBearer)
	dir := folder(t, map[string]string{
		"token":      "first\n",
		"config.yml": fmt.Sprintf("kafka: {brokers: [%q], sasl: {mechanism: OAUTHBEARER, token_file: token}}\n%s", b.ListenAddrs()[0], anonymousScraper),
	})
	r := followFile(t, filepath.Join(dir, "config.yml"))
	sent := func(token string) func() bool {
		return func() bool {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.hangUp = true
			return slices.ContainsFunc(b.sent, func(s string) bool { return strings.Contains(s, "auth=Bearer "+token+"\x01") })
		}
	}
	await(t, "the first token is sent", sent("first"))
	file := filepath.Join(dir, "token")
	if err := os.WriteFile(file, []byte("second\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	await(t, "the second token is sent", sent("second"))
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	await(t, "the log says that the token has vanished", func() bool {
		sent("")()
		return strings.Contains(r.Log(), "reason=connection") && strings.Contains(r.Log(), "read secret "+file)
	})
}
