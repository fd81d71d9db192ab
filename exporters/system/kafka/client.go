package kafka

import (
	"fmt"

	"github.com/IBM/sarama"
	commonconfig "github.com/prometheus/common/config"
	"github.com/xdg-go/scram"

	"github.com/consignwatch/consignwatch/pkg/kafkaclient"
	"github.com/consignwatch/consignwatch/pkg/secret"
	"github.com/consignwatch/consignwatch/pkg/yamlfile"
)

// The settings for Kafka, as the client wants them.

// checkVersion rejects an invalid version of Kafka. Empty is allowed: the program's default.
func checkVersion(f *yamlfile.File, key, version string) error {
	if version == "" {
		return nil
	}
	if _, err := sarama.ParseKafkaVersion(version); err != nil {
		return f.Errorf(key, "%q is not a version of Kafka like 3.8.0", version)
	}
	return nil
}

// applySecurity puts TLS and SASL, each of which may be nil, into the configuration of the client. Passwords are read now, tokens at
// each connection. An error names the setting, below the given key; which may be empty.
func applySecurity(c *sarama.Config, key string, t *commonconfig.TLSConfig, s *kafkaclient.SASL) error {
	if key != "" {
		key += "."
	}
	if t != nil {
		config, err := kafkaclient.TLSConfig(t)
		if err != nil {
			return fmt.Errorf("%stls: %w", key, err)
		}
		c.Net.TLS.Enable, c.Net.TLS.Config = true, config
	}
	if s != nil {
		return applySASL(c, key, s)
	}
	return nil
}

func applySASL(c *sarama.Config, key string, s *kafkaclient.SASL) error {
	c.Net.SASL.Enable = true
	c.Net.SASL.Mechanism = sarama.SASLMechanism(s.Mechanism)
	if s.Mechanism == kafkaclient.OAuthBearer {
		if _, err := secret.Read(s.TokenFile); err != nil {
			return fmt.Errorf("%ssasl.token_file: %w", key, err)
		}
		c.Net.SASL.TokenProvider = tokenFile(s.TokenFile)
		return nil
	}
	password, err := secret.Read(s.PasswordFile)
	if err != nil {
		return fmt.Errorf("%ssasl.password_file: %w", key, err)
	}
	c.Net.SASL.User, c.Net.SASL.Password = s.Username, password.Reveal()
	switch s.Mechanism {
	case kafkaclient.ScramSHA256:
		c.Net.SASL.SCRAMClientGeneratorFunc = func() sarama.SCRAMClient { return &scramClient{hash: scram.SHA256} }
	case kafkaclient.ScramSHA512:
		c.Net.SASL.SCRAMClientGeneratorFunc = func() sarama.SCRAMClient { return &scramClient{hash: scram.SHA512} }
	}
	return nil
}

// tokenFile reads a bearer token from a file at each connection, so that a renewed token needs no reload.
type tokenFile string

func (t tokenFile) Token() (*sarama.AccessToken, error) {
	v, err := secret.Read(string(t))
	if err != nil {
		return nil, err
	}
	return &sarama.AccessToken{Token: v.Reveal()}, nil
}

// scramClient implements SCRAM for the Kafka client.
type scramClient struct {
	hash         scram.HashGeneratorFcn
	conversation *scram.ClientConversation
}

func (s *scramClient) Begin(user, password, authzID string) error {
	client, err := s.hash.NewClient(user, password, authzID)
	if err != nil {
		return err
	}
	s.conversation = client.NewConversation()
	return nil
}

func (s *scramClient) Step(challenge string) (string, error) { return s.conversation.Step(challenge) }

func (s *scramClient) Done() bool { return s.conversation.Done() }
