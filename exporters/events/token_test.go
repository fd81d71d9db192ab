package events

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/IBM/sarama"

	"github.com/consignwatch/consignwatch/pkg/kafkaclient"
)

// TestABearerTokenIsReadAtEachConnection renews the token between two connections to a broker of the client library
// that wants OAUTHBEARER: the broker of the other tests cannot.
func TestABearerTokenIsReadAtEachConnection(t *testing.T) {
	b := sarama.NewMockBroker(t, 1)
	defer b.Close()
	b.SetHandlerByMap(map[string]sarama.MockResponse{
		"ApiVersionsRequest":      sarama.NewMockApiVersionsResponse(t).SetApiKeys([]sarama.ApiVersionsResponseKey{{ApiKey: 3, MaxVersion: 8}, {ApiKey: 17, MaxVersion: 1}, {ApiKey: 18, MaxVersion: 3}, {ApiKey: 36, MaxVersion: 1}}),
		"SaslHandshakeRequest":    sarama.NewMockSaslHandshakeResponse(t).SetEnabledMechanisms([]string{sarama.SASLTypeOAuth}),
		"SaslAuthenticateRequest": sarama.NewMockSaslAuthenticateResponse(t),
	})
	file := filepath.Join(t.TempDir(), "token")
	var config *sarama.Config
	tokens := []string{"first", "second"}
	for i, token := range tokens {
		if err := os.WriteFile(file, []byte(token+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			k := Kafka{Brokers: []string{b.Addr()}, SASL: &kafkaclient.SASL{Mechanism: sarama.SASLTypeOAuth, TokenFile: file}, SessionTimeout: defaultConfig().Kafka.SessionTimeout}
			var err error
			if config, err = k.clientConfig(); err != nil {
				t.Fatal(err)
			}
		}
		c := sarama.NewBroker(b.Addr())
		if err := c.Open(config); err != nil {
			t.Fatal(err)
		}
		if ok, err := c.Connected(); !ok || err != nil {
			t.Fatal("not connected", err)
		}
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
	}
	var sent []string
	for _, h := range b.History() {
		if r, ok := h.Request.(*sarama.SaslAuthenticateRequest); ok {
			_, token, _ := strings.Cut(string(r.SaslAuthBytes), "auth=Bearer ")
			sent = append(sent, strings.Trim(token, "\x01"))
		}
	}
	if !slices.Equal(sent, tokens) {
		t.Errorf("the tokens %q were sent, want %q", sent, tokens)
	}

	// A token that has vanished is an error of the connection, not of the process.
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	c := sarama.NewBroker(b.Addr())
	if err := c.Open(config); err != nil {
		t.Fatal(err)
	}
	if ok, err := c.Connected(); ok || err == nil || !strings.Contains(err.Error(), file) {
		t.Errorf("without the file: connected %v, %v", ok, err)
	}
}
