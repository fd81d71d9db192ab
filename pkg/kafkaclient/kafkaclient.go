// Package kafkaclient holds the SASL and TLS settings that the exporters share for Kafka. It knows no client: each exporter
// translates the settings for the one that it uses.
package kafkaclient

import (
	"crypto/tls"
	"path/filepath"

	commonconfig "github.com/prometheus/common/config"

	"github.com/consignwatch/consignwatch/pkg/yamlfile"
)

// The mechanisms of SASL.
const (
	Plain       = "PLAIN"
	ScramSHA256 = "SCRAM-SHA-256"
	ScramSHA512 = "SCRAM-SHA-512"
	OAuthBearer = "OAUTHBEARER"
)

// SASL holds the exporter's credentials for the brokers.
type SASL struct {
	Mechanism    string `yaml:"mechanism"` // PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 or OAUTHBEARER
	Username     string `yaml:"username,omitempty"`
	PasswordFile string `yaml:"password_file,omitempty"`
	// TokenFile holds the bearer token of OAUTHBEARER. It is read at each connection.
	TokenFile string `yaml:"token_file,omitempty"`
}

// Check rejects incomplete settings. The key is their place in the file.
func (s *SASL) Check(f *yamlfile.File, key string) error {
	switch s.Mechanism {
	case Plain, ScramSHA256, ScramSHA512:
		if s.Username == "" || s.PasswordFile == "" {
			return f.Errorf(key, "%s wants username and password_file", s.Mechanism)
		}
	case OAuthBearer:
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

// TLSConfig makes the TLS configuration of a client.
func TLSConfig(t *commonconfig.TLSConfig) (*tls.Config, error) {
	config, err := commonconfig.NewTLSConfig(t)
	if err != nil {
		return nil, err
	}
	config.MinVersion = max(config.MinVersion, tls.VersionTLS12)
	return config, nil
}
