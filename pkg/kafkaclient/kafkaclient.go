// Package kafkaclient holds the SASL and TLS settings that the exporters share for Kafka, and applies them to the
// configuration of the client library. It never connects.
package kafkaclient

import (
	"crypto/tls"
	"fmt"
	"path/filepath"

	"github.com/IBM/sarama"
	commonconfig "github.com/prometheus/common/config"
	"github.com/xdg-go/scram"

	"github.com/consignwatch/consignwatch/pkg/secret"
	"github.com/consignwatch/consignwatch/pkg/yamlfile"
)

// SASL holds the exporter's credentials for the brokers.
type SASL struct {
	Mechanism    string `yaml:"mechanism"` // PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 or OAUTHBEARER
	Username     string `yaml:"username,omitempty"`
	PasswordFile string `yaml:"password_file,omitempty"`
	// TokenFile holds the bearer token of OAUTHBEARER. It is read at each connection.
	TokenFile string `yaml:"token_file,omitempty"`
}

// CheckVersion rejects an invalid version of Kafka. Empty is allowed: the program's default.
func CheckVersion(f *yamlfile.File, key, version string) error {
	if version == "" {
		return nil
	}
	if _, err := sarama.ParseKafkaVersion(version); err != nil {
		return f.Errorf(key, "%q is not a version of Kafka like 3.8.0", version)
	}
	return nil
}

// Check rejects incomplete settings. The key is their place in the file.
func (s *SASL) Check(f *yamlfile.File, key string) error {
	switch s.Mechanism {
	case sarama.SASLTypePlaintext, sarama.SASLTypeSCRAMSHA256, sarama.SASLTypeSCRAMSHA512:
		if s.Username == "" || s.PasswordFile == "" {
			return f.Errorf(key, "%s wants username and password_file", s.Mechanism)
		}
	case sarama.SASLTypeOAuth:
		if s.TokenFile == "" {
			return f.Errorf(key, "%s wants token_file", s.Mechanism)
		}
	default:
		return f.Errorf(key+".mechanism", "%q is not one of PLAIN, SCRAM-SHA-256, SCRAM-SHA-512, OAUTHBEARER", s.Mechanism)
	}
	return nil
}

// SetDirectory makes paths relative to the folder of the configuration file, as Prometheus does.
func (s *SASL) SetDirectory(dir string) {
	for _, path := range []*string{&s.PasswordFile, &s.TokenFile} {
		if *path != "" && !filepath.IsAbs(*path) {
			*path = filepath.Join(dir, *path)
		}
	}
}

// Apply puts TLS and SASL, each of which may be nil, into the configuration of the client. Passwords are read now, tokens at
// each connection. An error names the setting, below the given key; which may be empty.
func Apply(c *sarama.Config, key string, t *commonconfig.TLSConfig, s *SASL) error {
	if key != "" {
		key += "."
	}
	if t != nil {
		config, err := commonconfig.NewTLSConfig(t)
		if err != nil {
			return fmt.Errorf("%stls: %w", key, err)
		}
		config.MinVersion = max(config.MinVersion, tls.VersionTLS12)
		c.Net.TLS.Enable, c.Net.TLS.Config = true, config
	}
	if s != nil {
		return s.apply(c, key)
	}
	return nil
}

func (s *SASL) apply(c *sarama.Config, key string) error {
	c.Net.SASL.Enable = true
	c.Net.SASL.Mechanism = sarama.SASLMechanism(s.Mechanism)
	if s.Mechanism == sarama.SASLTypeOAuth {
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
	case sarama.SASLTypeSCRAMSHA256:
		c.Net.SASL.SCRAMClientGeneratorFunc = func() sarama.SCRAMClient { return &scramClient{hash: scram.SHA256} }
	case sarama.SASLTypeSCRAMSHA512:
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
