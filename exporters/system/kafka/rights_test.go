package kafka

import (
	"context"
	"crypto/tls"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	commonconfig "github.com/prometheus/common/config"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"
	"github.com/twmb/franz-go/pkg/sasl/plain"

	"github.com/consignwatch/consignwatch/pkg/exporter"
	"github.com/consignwatch/consignwatch/pkg/exporter/exportertest"
	"github.com/consignwatch/consignwatch/pkg/kafkaclient"
)

// documentedACLs are those of the script that operators run.
func documentedACLs(t *testing.T) []kfake.ACL {
	t.Helper()
	text, err := os.ReadFile("../../../deploy/kafka/acls-system.sh")
	if err != nil {
		t.Fatal(err)
	}
	operations := map[string]kmsg.ACLOperation{"Describe": kmsg.ACLOperationDescribe, "DescribeConfigs": kmsg.ACLOperationDescribeConfigs, "Read": kmsg.ACLOperationRead}
	resources := map[string]kmsg.ACLResourceType{"topic": kmsg.ACLResourceTypeTopic, "group": kmsg.ACLResourceTypeGroup}
	var acls []kfake.ACL
	for _, m := range regexp.MustCompile(`(?m)^acls --operation (\w+) --(\w+) '(.*)' "\$@"$`).FindAllStringSubmatch(string(text), -1) {
		operation, resource := operations[m[1]], resources[m[2]]
		if operation == 0 || resource == 0 {
			t.Fatalf("the script gives more than it should: %s", m[0])
		}
		acls = append(acls, kfake.ACL{Resource: resource, Name: m[3], Pattern: kmsg.ACLResourcePatternTypeLiteral, Operation: operation, Allow: true})
	}
	if len(acls) != strings.Count(string(text), "\nacls --") || len(acls) == 0 {
		t.Fatalf("%d rights in\n%s", len(acls), text)
	}
	return acls
}

const kafkaPassword = "hunter2-of-kafka"

// guarded is a cluster with authentication and ACLs, and a target that has the given permissions.
func guarded(t *testing.T, acls []kfake.ACL, options ...kfake.Opt) (*testCluster, Config) {
	t.Helper()
	options = append([]kfake.Opt{
		kfake.NumBrokers(2), kfake.SeedTopics(2, "jobs.email"), kfake.SeedTopics(1, "jobs.dead"), kfake.EnableSASL(), kfake.EnableACLs(),
		kfake.Superuser("PLAIN", "admin", kafkaPassword), kfake.User("PLAIN", "consignwatch", kafkaPassword, acls...),
	}, options...)
	cluster, err := kfake.NewCluster(options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	r := &testCluster{cluster: cluster, log: &strings.Builder{}, begin: beginning()}
	r.client = kafkaClient(t, cluster.ListenAddrs(), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.MaxVersions(kversion.V3_8_0()),
		kgo.SASL(plain.Auth{User: "admin", Pass: kafkaPassword}.AsMechanism()))
	r.produce(t, "jobs.email", 0, 2*time.Hour, time.Hour)
	r.write(t, dead("email"))
	r.commit(t, "workers", "jobs.email", 1, 0)
	config := Config{SASL: &kafkaclient.SASL{Mechanism: "PLAIN", Username: "consignwatch", PasswordFile: exportertest.WriteFile(t, "password", kafkaPassword+"\n")}}
	r.restart(t, config)
	return r, config
}

func TestTheDocumentedRightsAreEnoughAndEachIsNeeded(t *testing.T) {
	t.Parallel()
	all := documentedACLs(t)
	everything := map[string]float64{
		`messages{topic="jobs.email"}`: 2, `offline_partitions{topic="jobs.email"}`: 0, lagCount: 1, `group_members{group="workers"}`: 0,
		`dead_letters{queue="email"}`: 1, `group_state{group="workers",state="empty"}`: 1,
	}
	r, _ := guarded(t, all)
	series := r.round(t)
	expect(t, series, everything)
	near(t, series, lagSeconds, time.Hour)
	near(t, series, timeToLoss, 7*24*time.Hour-time.Hour)
	if r.log.Len() > 0 {
		t.Errorf("the log says:\n%s", r.log)
	}

	missing := map[string]map[string]float64{
		"Describe topic":        {`messages{topic="jobs.email"}`: 2}, // Read implies Describe
		"DescribeConfigs topic": {timeToLoss: absent, `under_min_isr_partitions{topic="jobs.email"}`: absent, `under_replicated_partitions{topic="jobs.email"}`: 0, lagCount: 1},
		"Read topic":            {lagSeconds: absent, timeToLoss: absent, `dead_letters{queue="email"}`: absent, lagCount: 1, `messages{topic="jobs.email"}`: 2},
		"Describe group":        {lagCount: absent, `group_members{group="workers"}`: absent, `messages{topic="jobs.email"}`: 2},
	}
	names := map[kmsg.ACLOperation]string{kmsg.ACLOperationDescribe: "Describe", kmsg.ACLOperationDescribeConfigs: "DescribeConfigs", kmsg.ACLOperationRead: "Read"}
	for i, acl := range all {
		name := names[acl.Operation] + " " + strings.ToLower(acl.Resource.String())
		t.Run("without "+name, func(t *testing.T) {
			r, _ := guarded(t, append(all[:i:i], all[i+1:]...))
			want, ok := missing[name]
			if !ok {
				t.Fatalf("nothing is said of %s", name)
			}
			series := r.rounds(t, 3, nil)
			expect(t, series, want)
		})
	}
}

// A topic without the permission to read costs a request now and then.
func TestATopicThatMayNotBeReadIsNotFetchedEachRound(t *testing.T) {
	t.Parallel()
	acls := documentedACLs(t)
	for i := range acls {
		if acls[i].Operation == kmsg.ACLOperationRead {
			acls[i].Name = "jobs.dead"
		}
	}
	r, _ := guarded(t, acls)
	r.round(t)
	fetches := 0
	count := r.countRequests()
	for range 2 * retryAfterRounds {
		r.round(t)
		for _, by := range count.take() {
			fetches += by["Fetch"]
		}
	}
	if fetches < 1 || fetches > 3 {
		t.Errorf("%d fetches in %d rounds", fetches, 2*retryAfterRounds)
	}
}

// rejectPasswords is CRAFTED: this cluster closes the connection when a password is wrong. Kafka sends an error first.
func rejectPasswords(r *testCluster, wrong func(bytes []byte) bool) {
	r.cluster.ControlKey(int16(kmsg.SASLAuthenticate), func(request kmsg.Request) (kmsg.Response, error, bool) {
		r.cluster.KeepControl()
		if !wrong(request.(*kmsg.SASLAuthenticateRequest).SASLAuthBytes) {
			return nil, nil, false
		}
		response := request.ResponseKind().(*kmsg.SASLAuthenticateResponse)
		response.ErrorCode, response.ErrorMessage = kerr.SaslAuthenticationFailed.Code, kmsg.StringPtr("Authentication failed: Invalid username or password")
		return response, nil, true
	})
}

func TestRejectedLogins(t *testing.T) {
	t.Parallel()
	r, config := guarded(t, documentedACLs(t))
	rejectPasswords(r, func(bytes []byte) bool {
		return !strings.HasSuffix(string(bytes), "\x00consignwatch\x00"+kafkaPassword)
	})
	for name, tt := range map[string]struct {
		change func(*Config)
		want   exporter.Reason
	}{
		"wrong password":  {func(k *Config) { k.SASL.PasswordFile = exportertest.WriteFile(t, "wrong", "wrong") }, exporter.ReasonAuth},
		"wrong user":      {func(k *Config) { k.SASL.Username = "nobody" }, exporter.ReasonAuth},
		"wrong mechanism": {func(k *Config) { k.SASL.Mechanism = "SCRAM-SHA-512" }, exporter.ReasonAuth},
		"no login":        {func(k *Config) { k.SASL = nil }, exporter.ReasonConnection},                   // the broker ends the connection
		"TLS":             {func(k *Config) { k.TLS = &commonconfig.TLSConfig{} }, exporter.ReasonTimeout}, // it waits for the rest of a long request
	} {
		t.Run(name, func(t *testing.T) {
			changed := config
			sasl := *config.SASL
			changed.SASL = &sasl
			tt.change(&changed)
			r.restart(t, changed)
			_, err := r.target.roundOf(t.Context())
			if exporter.ReasonOf(err) != tt.want {
				t.Errorf("reason %q, want %q: %v", exporter.ReasonOf(err), tt.want, err)
			}
			if strings.Contains(fmt.Sprint(err)+r.log.String(), kafkaPassword) {
				t.Error("the password is shown")
			}
		})
	}
}

// TestKafkaOverTLSWithEachWayToLogIn follows a cluster with a certificate of a private authority.
func TestKafkaOverTLSWithEachWayToLogIn(t *testing.T) {
	t.Parallel()
	server, authority := serverCertificate(t)
	for _, mechanism := range []string{"PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"} {
		t.Run(mechanism, func(t *testing.T) {
			cluster, err := kfake.NewCluster(kfake.NumBrokers(2), kfake.SeedTopics(1, "jobs.email"), kfake.TLS(server.Clone()), kfake.EnableSASL(), kfake.Superuser(mechanism, "consignwatch", kafkaPassword))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(cluster.Close)
			r := &testCluster{cluster: cluster, log: &strings.Builder{}, begin: beginning()}
			config := Config{
				TLS:  &commonconfig.TLSConfig{CA: authority},
				SASL: &kafkaclient.SASL{Mechanism: mechanism, Username: "consignwatch", PasswordFile: exportertest.WriteFile(t, "password", kafkaPassword)},
			}
			r.restart(t, config)
			expect(t, r.rounds(t, 2, nil), map[string]float64{`messages{topic="jobs.email"}`: 0})

			config.TLS = &commonconfig.TLSConfig{} // the authority is not known
			r.restart(t, config)
			if _, err := r.target.roundOf(t.Context()); exporter.ReasonOf(err) != exporter.ReasonConnection || !strings.Contains(err.Error(), "certificate") {
				t.Errorf("reason %q: %v", exporter.ReasonOf(err), err)
			}
			config.TLS = nil // plain text to a port with TLS
			r.restart(t, config)
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
			defer cancel()
			if _, err := r.target.roundOf(ctx); err == nil {
				t.Error("plain text is answered")
			}
		})
	}
}

// serverCertificate is one for 127.0.0.1, and the text of the authority that vouches for it.
func serverCertificate(t *testing.T) (*tls.Config, string) {
	t.Helper()
	server := httptest.NewTLSServer(http.NotFoundHandler())
	defer server.Close()
	authority := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	return &tls.Config{Certificates: server.TLS.Certificates, MinVersion: tls.VersionTLS12}, string(authority)
}
