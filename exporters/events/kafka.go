package events

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/oauth"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"

	"github.com/consignwatch/consignwatch/pkg/kafkaclient"
	"github.com/consignwatch/consignwatch/pkg/secret"
)

// clientOptions are the options of both clients of Kafka: the member of the group, and the reader. Passwords and tokens are
// read at each connection, and once now, so that a file that cannot be read is an error of the configuration.
func (k *Kafka) clientOptions(log *slog.Logger) ([]kgo.Opt, error) {
	options := []kgo.Opt{
		kgo.SeedBrokers(k.Brokers...),
		kgo.ClientID("consignwatch-event-exporter"),
		kgo.WithLogger(clientLog{log}),
		kgo.DialTimeout(5 * time.Second),
		kgo.RetryTimeout(3 * time.Second), // what goes on for longer is said, and tried again by us
		// How soon partitions that were added, and topics that were missing, are found.
		kgo.MetadataMinAge(time.Second), kgo.MetadataMaxAge(10 * time.Second),
	}
	if k.TLS != nil {
		config, err := kafkaclient.TLSConfig(k.TLS)
		if err != nil {
			return nil, fmt.Errorf("kafka.tls: %w", err)
		}
		options = append(options, kgo.DialTLSConfig(config))
	}
	if k.SASL != nil {
		mechanism, err := mechanism(k.SASL)
		if err != nil {
			return nil, fmt.Errorf("kafka.sasl.%w", err)
		}
		options = append(options, kgo.SASL(mechanism))
	}
	return options, nil
}

func mechanism(s *kafkaclient.SASL) (sasl.Mechanism, error) {
	if s.Mechanism == kafkaclient.OAuthBearer {
		if _, err := secret.Read(s.TokenFile); err != nil {
			return nil, fmt.Errorf("token_file: %w", err)
		}
		return oauth.Oauth(func(context.Context) (oauth.Auth, error) {
			token, err := secret.Read(s.TokenFile)
			return oauth.Auth{Token: token.Reveal()}, err
		}), nil
	}
	if _, err := secret.Read(s.PasswordFile); err != nil {
		return nil, fmt.Errorf("password_file: %w", err)
	}
	credentials := func(context.Context) (scram.Auth, error) {
		password, err := secret.Read(s.PasswordFile)
		return scram.Auth{User: s.Username, Pass: password.Reveal()}, err
	}
	switch s.Mechanism {
	case kafkaclient.ScramSHA256:
		return scram.Sha256(credentials), nil
	case kafkaclient.ScramSHA512:
		return scram.Sha512(credentials), nil
	}
	return plain.Plain(func(ctx context.Context) (plain.Auth, error) {
		a, err := credentials(ctx)
		return plain.Auth{User: a.User, Pass: a.Pass}, err
	}), nil
}

// clientLog gives the client's log to ours: what matters of it is logged by the consumer, with a reason.
type clientLog struct{ log *slog.Logger }

func (l clientLog) Level() kgo.LogLevel {
	if l.log.Enabled(context.Background(), slog.LevelDebug) {
		return kgo.LogLevelInfo
	}
	return kgo.LogLevelNone
}

func (l clientLog) Log(_ kgo.LogLevel, message string, keyvals ...any) {
	l.log.Debug("kafka: "+message, keyvals...)
}
