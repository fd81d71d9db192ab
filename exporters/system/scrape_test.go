package system

import (
	"fmt"
	"math"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"

	"github.com/consignwatch/consignwatch/pkg/catalog"
	"github.com/consignwatch/consignwatch/pkg/demo/servers/serverstest"
	"github.com/consignwatch/consignwatch/pkg/executable"
	"github.com/consignwatch/consignwatch/pkg/exporter/exportertest"
	"github.com/consignwatch/consignwatch/pkg/golden"
)

// TestTheScrapeResponseIsAsRecorded compares the scrape response of a database, a cache, a cluster with a queue and two probes with testdata/scrape_response.txt:
// every series with its help and type, and instead of numbers an N. What is 0 or 1 by nature stands as it is.
func TestTheScrapeResponseIsAsRecorded(t *testing.T) {
	t.Parallel()
	promtool, err := executable.Find("promtool")
	if err != nil {
		t.Fatal(err)
	}
	ca := newAuthority(t)
	plain, secured := newSite(t, okHandler), newSite(t, okHandler, ca.serve(t, time.Now().Add(time.Hour)))
	queues := newQueues(t)
	database, cache := measuringMariaDB(t), ownRedis(t)
	r := start(t, fmt.Sprintf("%smysql: [{name: main, dsn_file: %s}]\nredis: [{name: cache, address: '%s'}]\nkafka: [{name: main, brokers: ['%s'], capacity: {jobs.email: 100}}]\nprobes: [{name: plain, essential: true, interval: 1s, timeout: 1s, url: '%s/'}, {name: secured, essential: false, client: north, interval: 1s, timeout: 1s, url: '%s/', tls: {ca_file: %s}}]\n",
		patient, exportertest.WriteFile(t, "dsn", database.DSN("")), cache.Address(), queues, plain.URL, secured.URL, ca.file))
	for range 2 { // again: what a first round has done shows in the second
		for _, source := range [][2]string{{"mysql", "main"}, {"redis_operations", "cache"}, {"redis", "cache"}, {"kafka", "main"}} {
			awaitRound(t, r, source[0], source[1])
		}
	}
	r.Await(t, "the probes", func(s map[string]float64) bool {
		return s[`consign_probe_up{essential="true",probe="plain"}`] == 1 && s[`consign_probe_up{client="north",essential="false",probe="secured"}`] == 1
	})
	r.Await(t, "the condition of the group, which takes some rounds", func(s map[string]float64) bool {
		_, ok := s[`consign_queue_group_condition{condition="ok",group="platform-workers",server="main"}`]
		return ok
	})
	_, page := r.Get(t, "/metrics")

	cmd := exec.CommandContext(t.Context(), promtool, "check", "metrics")
	cmd.Stdin = strings.NewReader(page)
	if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("promtool check metrics: %v\n%s", err, out)
	}

	page = withoutNumbers(page)
	if serverstest.DialectOf(t, serverstest.Open(t, database.DSN(""))).MySQL {
		// It has all bounds; the response was recorded on MariaDB, which has the powers of ten.
		statements, _ := catalog.Shipped().Lookup("consign_mysql_statement_duration_seconds")
		for _, bound := range statements.Buckets {
			if log := math.Log10(bound); math.Abs(log-math.Round(log)) < 1e-9 {
				continue
			}
			line := fmt.Sprintf("consign_mysql_statement_duration_seconds_bucket{server=\"main\",le=\"%v\"} N\n", bound)
			if strings.Count(page, line) != 1 {
				t.Errorf("the scrape response has %d times %s", strings.Count(page, line), line)
			}
			page = strings.Replace(page, line, "", 1)
		}
	}
	if isValkey(t, cache.Address()) {
		// Its engine for scripts is a module, which has read the configuration when it was loaded.
		own := regexp.MustCompile(`(?m)^consign_redis_command\w*\{command="config\|get",.*\n`)
		if !own.MatchString(page) {
			t.Error("Valkey has not read its configuration: the same as Redis, then")
		}
		page = own.ReplaceAllString(page, "")
	}
	golden.Compare(t, "testdata/scrape_response.txt", page)
}

// A metric that is declared and that nothing reads would be missing from dashboards and alerts, silently.
func TestEveryDeclaredMetricIsInTheRecordedScrapeResponse(t *testing.T) {
	t.Parallel()
	absent := map[string]string{ // with the test that has it
		"consign_mysql_replication_lag_seconds": "no replica: TestReplicationMetricsEqualTheReplicasStatus",
		"consign_mysql_replication_running":     "no replica: TestReplicationMetricsEqualTheReplicasStatus",
		"consign_redis_replication_lag_bytes":   "no replica: TestAReplicaOfRedis",
		"consign_redis_replica_link_up":         "no replica: TestAReplicaOfRedis",
		"consign_redis_memory_max_bytes":        "no maxmemory: TestRedisMetricsEqualTheServersInfo",
	}
	text, err := os.ReadFile("testdata/scrape_response.txt")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range catalog.Shipped().Of(catalog.System) {
		is := strings.Contains(string(text), "\n# TYPE "+m.Name+" ") || strings.HasPrefix(string(text), "# TYPE "+m.Name+" ")
		if why, ok := absent[m.Name]; is == ok {
			t.Errorf("%s: in the recorded scrape response: %v; a reason for its absence: %q", m.Name, is, why)
		}
	}
}

// newQueues starts a cluster with a queue that a group has read a part of, and a dead letter. It returns the address of its broker.
func newQueues(t *testing.T) string {
	t.Helper()
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(2, "jobs.email"), kfake.SeedTopics(1, "jobs.dead"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	client, err := kgo.NewClient(kgo.SeedBrokers(cluster.ListenAddrs()...), kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.MaxVersions(kversion.V3_8_0()), kgo.DisableClientMetrics()) // later requests name topics by their ids
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	now := time.Now()
	if err := client.ProduceSync(t.Context(),
		&kgo.Record{Topic: "jobs.email", Timestamp: now.Add(-time.Hour), Value: []byte("x")},
		&kgo.Record{Topic: "jobs.email", Timestamp: now.Add(-time.Minute), Value: []byte("x")},
		&kgo.Record{Topic: "jobs.dead", Headers: []kgo.RecordHeader{{Key: "queue", Value: []byte("email")}}},
	).FirstErr(); err != nil {
		t.Fatal(err)
	}
	commit := kmsg.NewPtrOffsetCommitRequest()
	commit.Group, commit.Generation = "platform-workers", -1
	commit.Topics = []kmsg.OffsetCommitRequestTopic{{Topic: "jobs.email", Partitions: []kmsg.OffsetCommitRequestTopicPartition{{Offset: 1, LeaderEpoch: -1}}}}
	response, err := commit.RequestWith(t.Context(), client)
	if err != nil {
		t.Fatal(err)
	}
	if err := kerr.ErrorForCode(response.Topics[0].Partitions[0].ErrorCode); err != nil {
		t.Fatal(err)
	}
	return cluster.ListenAddrs()[0]
}

var (
	ours   = regexp.MustCompile(`^(# (HELP|TYPE) )?consign_`)
	byType = regexp.MustCompile(`^consign_\w+_(up|capability|read_only|last_save_success)\{`)
)

func withoutNumbers(page string) string {
	var b strings.Builder
	for line := range strings.Lines(page) {
		switch {
		case !ours.MatchString(line):
			continue
		case strings.HasPrefix(line, "#"), byType.MatchString(line):
			b.WriteString(line)
		default:
			b.WriteString(line[:strings.LastIndexByte(line, ' ')] + " N\n")
		}
	}
	return b.String()
}
