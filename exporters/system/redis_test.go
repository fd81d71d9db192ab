package system

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	deploy "github.com/consignwatch/consignwatch/deploy/redis"
	"github.com/consignwatch/consignwatch/pkg/catalog"
	"github.com/consignwatch/consignwatch/pkg/demo/servers"
	"github.com/consignwatch/consignwatch/pkg/executable"
	"github.com/consignwatch/consignwatch/pkg/exporter/exportertest"
)

// cli runs the server's own client program.
func cli(t *testing.T, address string, args ...string) string {
	t.Helper()
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	return command(t, nil, "redis-cli", append([]string{"-h", host, "-p", port}, args...)...)
}

// infoOf is INFO as the client program prints it, read without the collector's parser.
func infoOf(t *testing.T, address string) map[string]float64 {
	t.Helper()
	info := map[string]float64{}
	for line := range strings.Lines(cli(t, address, "INFO", "all")) {
		var v float64
		name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		if _, err := fmt.Sscanf(value, "%g", &v); err == nil {
			info[name] = v
		}
		for field := range strings.SplitSeq(value, ",") { // cmdstat_get:calls=21,usec=175
			key, value, ok := strings.Cut(field, "=")
			if _, err := fmt.Sscanf(value, "%g", &v); ok && err == nil {
				info[name+"."+key] = v
			}
		}
	}
	if info["uptime_in_seconds"] == 0 && len(info) < 50 {
		t.Fatal("redis-cli INFO says nothing")
	}
	return info
}

// isValkey says whether the server is Valkey, which calls itself a Redis 7.2 as well.
func isValkey(t *testing.T, address string) bool {
	t.Helper()
	return strings.Contains(cli(t, address, "INFO", "server"), "\nvalkey_version:")
}

// TestRedisMetricsEqualTheServersInfo does work whose traces are known, and compares each metric with what the server's own
// client program prints before and after a collection.
func TestRedisMetricsEqualTheServersInfo(t *testing.T) {
	t.Parallel()
	server := ownRedis(t)
	address := server.Address()
	c := redisClient(t, &redis.Options{Addr: address})
	r := start(t, patient+redisConfig(address))
	awaitRound(t, r, "redis", "cache")
	ctx := t.Context()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(c.ConfigSet(ctx, "maxmemory", "3mb").Err())
	must(c.ConfigSet(ctx, "maxmemory-policy", "allkeys-random").Err())
	big := strings.Repeat("x", 10_000)
	for i := range 400 { // 4 MB: some have to go
		must(c.Set(ctx, fmt.Sprint("big", i), big, 0).Err())
	}
	must(c.ConfigSet(ctx, "maxmemory", "100mb").Err())
	must(c.ConfigSet(ctx, "maxclients", "33").Err())
	must(c.Set(ctx, "a", "text", 0).Err())
	for range 10 {
		must(c.Get(ctx, "a").Err())
	}
	for range 7 {
		if err := c.Get(ctx, "nothing").Err(); !errors.Is(err, redis.Nil) {
			t.Fatal(err)
		}
	}
	for range 3 {
		if err := c.Incr(ctx, "a").Err(); err == nil {
			t.Fatal("INCR of a text succeeded")
		}
	}
	for range 2 {
		if err := c.Do(ctx, "GET").Err(); err == nil {
			t.Fatal("GET of nothing succeeded")
		}
	}
	must(c.Set(ctx, "short", "x", time.Millisecond).Err())
	second := redisClient(t, &redis.Options{Addr: address, DB: 3})
	must(second.Set(ctx, "b", "x", 0).Err())
	fillClients(t, address)

	before := infoOf(t, address)
	s := awaitRound(t, r, "redis", "cache")
	after := infoOf(t, address)
	for name, field := range map[string]string{
		`consign_redis_keyspace_lookups_total{result="hit",server="cache"}`:              "keyspace_hits",
		`consign_redis_keyspace_lookups_total{result="miss",server="cache"}`:             "keyspace_misses",
		`consign_redis_evicted_keys_total{server="cache"}`:                               "evicted_keys",
		`consign_redis_expired_keys_total{server="cache"}`:                               "expired_keys",
		`consign_redis_rejected_connections_total{server="cache"}`:                       "rejected_connections",
		`consign_redis_memory_max_bytes{server="cache"}`:                                 "maxmemory",
		`consign_redis_max_clients{server="cache"}`:                                      "maxclients",
		`consign_redis_last_save_timestamp_seconds{server="cache"}`:                      "rdb_last_save_time",
		`consign_redis_keys{db="3",server="cache"}`:                                      "db3.keys",
		`consign_redis_clients{server="cache",state="blocked"}`:                          "blocked_clients",
		`consign_redis_commands_total{command="incr",outcome="failed",server="cache"}`:   "cmdstat_incr.failed_calls",
		`consign_redis_commands_total{command="get",outcome="rejected",server="cache"}`:  "cmdstat_get.rejected_calls",
		`consign_redis_commands_total{command="get",outcome="ok",server="cache"}`:        "cmdstat_get.calls",
		`consign_redis_commands_total{command="set",outcome="ok",server="cache"}`:        "cmdstat_set.calls",
		`consign_redis_commands_total{command="config|set",outcome="ok",server="cache"}`: "cmdstat_config|set.calls",
		`consign_redis_memory_bytes{kind="peak",server="cache"}`:                         "used_memory_peak",
	} {
		v, ok := s[name]
		if !ok {
			t.Errorf("%s is not in the scrape response", name)
		}
		between(t, name, v, before[field], after[field])
	}
	for name, want := range map[string]float64{
		`consign_redis_up{essential="true",server="cache"}`:                             1,
		`consign_redis_memory_max_bytes{server="cache"}`:                                100 << 20,
		`consign_redis_max_clients{server="cache"}`:                                     33,
		`consign_redis_expired_keys_total{server="cache"}`:                              1,
		`consign_redis_keys{db="3",server="cache"}`:                                     1,
		`consign_redis_clients{server="cache",state="blocked"}`:                         1,
		`consign_redis_last_save_success{server="cache"}`:                               1,
		`consign_redis_commands_total{command="incr",outcome="failed",server="cache"}`:  3,
		`consign_redis_commands_total{command="incr",outcome="ok",server="cache"}`:      0,
		`consign_redis_commands_total{command="get",outcome="rejected",server="cache"}`: 2,
	} {
		if s[name] != want {
			t.Errorf("%s = %v, want %v", name, s[name], want)
		}
	}
	for name, least := range map[string]float64{
		`consign_redis_keyspace_lookups_total{result="hit",server="cache"}`:  10,
		`consign_redis_keyspace_lookups_total{result="miss",server="cache"}`: 7,
		`consign_redis_evicted_keys_total{server="cache"}`:                   1,
		`consign_redis_rejected_connections_total{server="cache"}`:           1,
	} {
		if s[name] < least {
			t.Errorf("%s = %v, want at least %v", name, s[name], least)
		}
	}
	// The client program is one more, and those before it may not be quite gone.
	within(t, "ready clients", s[`consign_redis_clients{server="cache",state="ready"}`], after["connected_clients"]-after["blocked_clients"], 2)
	awaitMemory(t, r, address)
	// The random eviction and the exporter's own key change the number of keys.
	within(t, "keys", s[`consign_redis_keys{db="0",server="cache"}`], after["db0.keys"], 2)
	if _, ok := s[`consign_redis_replication_lag_bytes{server="cache"}`]; ok {
		t.Error("a server without replicas has a lag")
	}
	created := sample(t, r, `consign_redis_evicted_keys_total{server="cache"}`).Counter.GetCreatedTimestamp().AsTime()
	startedIn(t, "start timestamp of the counters", created, func() float64 { return infoOf(t, address)["uptime_in_seconds"] })

	must(c.ConfigSet(ctx, "maxmemory", "0").Err())
	must(second.FlushDB(ctx).Err())
	r.Await(t, "no limit is no value, and a database that is empty has no keys", func(s map[string]float64) bool {
		_, limited := s[`consign_redis_memory_max_bytes{server="cache"}`]
		keys, known := s[`consign_redis_keys{db="3",server="cache"}`]
		return !limited && known && keys == 0
	})
}

// awaitMemory waits for a collection between two readings that agree with it: the server frees buffers at any time.
func awaitMemory(t *testing.T, r *exportertest.Running, address string) {
	t.Helper()
	const tolerance = 50_000 // what the client program itself takes
	exportertest.Eventually(t, "memory is exported as the server says", func() bool {
		before := infoOf(t, address)
		s := awaitRound(t, r, "redis", "cache")
		after := infoOf(t, address)
		for kind, field := range map[string]string{"used": "used_memory", "dataset": "used_memory_dataset", "rss": "used_memory_rss"} {
			got := s[fmt.Sprintf(`consign_redis_memory_bytes{kind=%q,server="cache"}`, kind)]
			if got < min(before[field], after[field])-tolerance || got > max(before[field], after[field])+tolerance {
				t.Logf("%s bytes: %v, the server says %v and then %v", kind, got, before[field], after[field])
				return false
			}
		}
		return true
	})
}

// fillClients connects until the server refuses, with one client that waits in a blocking command.
func fillClients(t *testing.T, address string) {
	t.Helper()
	for n := range 60 {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		question := "PING\r\n"
		if n == 0 {
			question = "BLPOP nothing 0\r\n"
		}
		fmt.Fprint(conn, question)
		answer := make([]byte, 100)
		if n > 0 {
			k, _ := conn.Read(answer)
			if strings.Contains(string(answer[:k]), "max number of clients") {
				conn.Close()
				// Room for the client program, which is asked next, and for the test.
				return
			}
		}
		if n >= 4 && n <= 6 {
			t.Cleanup(func() { conn.Close() })
			defer conn.Close() // these make room again
			continue
		}
		t.Cleanup(func() { conn.Close() })
	}
	t.Fatal("the server never refused a client")
}

// TestTheHistogramsOfRedisAreItsOwn compares with LATENCY HISTOGRAM as the client program prints it.
func TestTheHistogramsOfRedisAreItsOwn(t *testing.T) {
	t.Parallel()
	server := ownRedis(t)
	c := redisClient(t, &redis.Options{Addr: server.Address()})
	r := start(t, patient+redisConfig(server.Address()))
	for i := range 200 {
		if err := c.LPush(t.Context(), "list", i).Err(); err != nil {
			t.Fatal(err)
		}
	}
	for range 20 { // some that take longer
		if err := c.Do(t.Context(), "DEBUG", "SLEEP", "0.003").Err(); err != nil && !strings.Contains(err.Error(), "DEBUG") {
			t.Fatal(err)
		}
		if err := c.Eval(t.Context(), "local x = 0; for i = 1, 200000 do x = x + i end; return x", nil).Err(); err != nil {
			t.Fatal(err)
		}
	}
	s := awaitRound(t, r, "redis", "cache")
	for _, name := range []string{"lpush", "eval"} {
		h := histogram(t, r, fmt.Sprintf(`consign_redis_command_duration_seconds{command=%q,server="cache"}`, name))
		if h == nil {
			t.Fatalf("no histogram of %s", name)
		}
		calls, counts := latencyOf(t, server.Address(), name) // they are not called any more
		if float64(h.GetSampleCount()) != calls || calls != s[fmt.Sprintf(`consign_redis_commands_total{command=%q,outcome="ok",server="cache"}`, name)] {
			t.Errorf("%s: %d calls, the server says %v", name, h.GetSampleCount(), calls)
		}
		for _, b := range h.Bucket {
			want := 0.0
			for usec, n := range counts {
				if usec <= b.GetUpperBound()*1e6+0.5 {
					want = max(want, n)
				}
			}
			if float64(b.GetCumulativeCount()) != want {
				t.Errorf("%s up to %v s: %d calls, the server says %v", name, b.GetUpperBound(), b.GetCumulativeCount(), want)
			}
		}
		usec := infoOf(t, server.Address())["cmdstat_"+name+".usec"]
		within(t, name+": seconds of all calls", h.GetSampleSum(), usec/1e6, 1e-9)
		if h.GetSampleSum() <= 0 || h.GetCreatedTimestamp() == nil {
			t.Errorf("%s: sum %v, start timestamp %v", name, h.GetSampleSum(), h.GetCreatedTimestamp())
		}
	}
}

// latencyOf reads what redis-cli prints: each word on a line of its own.
func latencyOf(t *testing.T, address, name string) (calls float64, counts map[float64]float64) {
	t.Helper()
	counts = map[float64]float64{}
	words := strings.Fields(cli(t, address, "LATENCY", "HISTOGRAM", name))
	if len(words) < 6 || words[0] != name || words[1] != "calls" || words[3] != "histogram_usec" {
		t.Fatalf("LATENCY HISTOGRAM %s: %q", name, words)
	}
	number := func(s string) (v float64) {
		if _, err := fmt.Sscan(s, &v); err != nil {
			t.Fatal(err)
		}
		return v
	}
	for i := 4; i+1 < len(words); i += 2 {
		counts[number(words[i])] = number(words[i+1])
	}
	return number(words[2]), counts
}

func operations(t *testing.T, r *exportertest.Running) map[string]uint64 {
	t.Helper()
	counts := map[string]uint64{}
	for _, o := range catalog.CacheOperations() {
		h := histogram(t, r, fmt.Sprintf(`consign_redis_operation_duration_seconds{operation=%q,server="cache"}`, o))
		if h == nil || h.GetCreatedTimestamp() == nil {
			t.Fatalf("operation %s: %v", o, h)
		}
		counts[o] = h.GetSampleCount()
	}
	return counts
}

// TestTheOperationsLeaveNothingBehindAndUseOneConnection watches the server while it is watched.
func TestTheOperationsLeaveNothingBehindAndUseOneConnection(t *testing.T) {
	t.Parallel()
	server := ownRedis(t)
	c := redisClient(t, &redis.Options{Addr: server.Address()})
	r := start(t, patient+redisConfig(server.Address()))
	before := infoOf(t, server.Address())
	connections := before["total_connections_received"]
	for range 3 {
		awaitRound(t, r, "redis_operations", "cache")
	}
	counts := operations(t, r)
	after := infoOf(t, server.Address())
	for operation, field := range map[string]string{"set": "cmdstat_set.calls", "get": "cmdstat_get.calls", "del": "cmdstat_del.calls"} {
		between(t, "operations "+operation, float64(counts[operation]), before[field], after[field])
		if counts[operation] < 6 {
			t.Errorf("%d operations %s in six collections", counts[operation], operation)
		}
	}
	// redis-cli and the test's client connect too; the exporter's connection was there before.
	if n := after["total_connections_received"] - connections; n > 2 {
		t.Errorf("%v connections were made in the meantime", n)
	}
	if s := r.Series(t); s["consignwatch_collector_success"+collected("redis_operations", "cache")] != 1 {
		t.Errorf("the operations fail:\n%s", r.Log())
	}
	r.Stop()
	keys, err := c.Keys(t.Context(), "*").Result()
	if err != nil || len(keys) > 0 {
		t.Errorf("keys %v, %v", keys, err)
	}
	// A key that could not be deleted dies by itself.
	if err := c.Do(t.Context(), "ACL", "SETUSER", "default", "-del").Err(); err != nil {
		t.Fatal(err)
	}
	r = start(t, patient+redisConfig(server.Address()))
	r.Await(t, "DEL fails", func(s map[string]float64) bool {
		return s[`consignwatch_collector_failures_total{collector="redis_operations",reason="auth"}`] > 0
	})
	if !strings.Contains(r.Log(), "DEL: NOPERM") {
		t.Errorf("the log does not say which right is missing:\n%s", r.Log())
	}
	r.Stop()
	keys, err = c.Keys(t.Context(), "*").Result()
	if err != nil || len(keys) != 1 {
		t.Fatalf("keys %v, %v, want the one that was not deleted", keys, err)
	}
	if life := c.PTTL(t.Context(), keys[0]).Val(); life <= 0 || life > 30*time.Second {
		t.Errorf("the key lives for %s", life)
	}
}

func TestACacheThatRejectsWritesIsStillMonitored(t *testing.T) {
	t.Parallel()
	server := ownRedis(t)
	c := redisClient(t, &redis.Options{Addr: server.Address()})
	r := start(t, patient+redisConfig(server.Address()))
	awaitRound(t, r, "redis_operations", "cache")
	if err := c.ConfigSet(t.Context(), "maxmemory", "1").Err(); err != nil {
		t.Fatal(err)
	}
	r.Await(t, "the operations fail, the rest is exported", func(s map[string]float64) bool {
		return s[`consignwatch_collector_failures_total{collector="redis_operations",reason="query"}`] > 0 &&
			s["consignwatch_collector_success"+collected("redis", "cache")] == 1 &&
			s[`consign_redis_memory_max_bytes{server="cache"}`] == 1 && s[`consign_redis_up{essential="true",server="cache"}`] == 1
	})
	if counts := operations(t, r); counts["ping"] <= counts["set"] {
		t.Errorf("operations %v: pings succeed, and SET does not", counts)
	}
	if err := c.ConfigSet(t.Context(), "maxmemory", "0").Err(); err != nil {
		t.Fatal(err)
	}
	r.Await(t, "the operations succeed again", func(s map[string]float64) bool {
		return s["consignwatch_collector_success"+collected("redis_operations", "cache")] == 1
	})
}

// TestAReplicaOfRedis follows a real pair of servers.
func TestAReplicaOfRedis(t *testing.T) {
	t.Parallel()
	const lag = `consign_redis_replication_lag_bytes{server="%s"}`
	source, replica := ownRedis(t), ownRedis(t)
	c := redisClient(t, &redis.Options{Addr: replica.Address()})
	host, port, _ := net.SplitHostPort(source.Address())
	r := start(t, fmt.Sprintf("%sredis: [{name: source, essential: true, address: '%s'}, {name: cache, essential: false, address: '%s'}]\n", patient, source.Address(), replica.Address()))
	if err := c.Do(t.Context(), "REPLICAOF", host, port).Err(); err != nil {
		t.Fatal(err)
	}
	const link = `consign_redis_replica_link_up{server="cache"}`
	r.Await(t, "the replica is connected", func(s map[string]float64) bool { return s[link] == 1 })
	// A replica acknowledges once a second.
	r.Await(t, "the replica has caught up", func(s map[string]float64) bool { v, ok := s[fmt.Sprintf(lag, "source")]; return ok && v < 1000 })
	before := operations(t, r)
	s := awaitRound(t, r, "redis_operations", "cache")
	if _, ok := s[fmt.Sprintf(lag, "cache")]; ok {
		t.Error("the replica tells a lag, which it cannot know")
	}
	if _, ok := s[`consign_redis_replica_link_up{server="source"}`]; ok {
		t.Error("the source, which is no replica, has a link")
	}
	if s["consignwatch_collector_success"+collected("redis_operations", "cache")] != 1 {
		t.Errorf("the operations fail on a replica:\n%s", r.Log())
	}
	if after := operations(t, r); after["get"] <= before["get"] || after["set"] > before["set"]+1 {
		t.Errorf("operations on a replica went from %v to %v, want more GET and no SET", before, after)
	}
	// It takes no more of the stream, and the source goes on writing.
	if err := c.Do(t.Context(), "CLIENT", "PAUSE", "60000", "ALL").Err(); err != nil {
		t.Fatal(err)
	}
	writer := redisClient(t, &redis.Options{Addr: source.Address()})
	for i := range 100 {
		if err := writer.Set(t.Context(), fmt.Sprint("k", i), strings.Repeat("x", 1000), 0).Err(); err != nil {
			t.Fatal(err)
		}
	}
	s = awaitRound(t, r, "redis", "source") // one that has begun after the last of them
	if v := s[fmt.Sprintf(lag, "source")]; v <= 50_000 {
		t.Errorf("the replica is %v bytes behind, want all that was written", v)
	}
	info := infoOf(t, source.Address())
	within(t, "the lag", s[fmt.Sprintf(lag, "source")], info["master_repl_offset"]-info["slave0.offset"], 1000) // the stream has pings, too
	if err := replica.Kill(); err != nil {
		t.Fatal(err)
	}
	r.Await(t, "without replicas there is no lag", func(s map[string]float64) bool { _, ok := s[fmt.Sprintf(lag, "source")]; return !ok })
}

// The source is gone: the replica answers all the same, with what it has.
func TestAReplicaOfRedisWithoutItsSourceHasNoLink(t *testing.T) {
	t.Parallel()
	const link = `consign_redis_replica_link_up{server="cache"}`
	source, replica := ownRedis(t), ownRedis(t)
	host, port, _ := net.SplitHostPort(source.Address())
	r := start(t, fmt.Sprintf("%sredis: [{name: cache, address: '%s'}]\n", patient, replica.Address()))
	if err := redisClient(t, &redis.Options{Addr: replica.Address()}).Do(t.Context(), "REPLICAOF", host, port).Err(); err != nil {
		t.Fatal(err)
	}
	r.Await(t, "the replica is connected", func(s map[string]float64) bool { return s[link] == 1 })
	if err := source.Kill(); err != nil {
		t.Fatal(err)
	}
	r.Await(t, "the replica has lost its source", func(s map[string]float64) bool {
		v, ok := s[link]
		return ok && v == 0 && s[`consign_redis_up{essential="true",server="cache"}`] == 1
	})
}

// TestAReplicaThatIsBeingFilledHasNoLag: how far it is behind is known once it has the source's data. Valkey can fill a replica
// on a second connection, and then lists both of them.
func TestAReplicaThatIsBeingFilledHasNoLag(t *testing.T) {
	t.Parallel()
	source, replica := ownRedis(t), ownRedis(t)
	at, follower := redisClient(t, &redis.Options{Addr: source.Address()}), redisClient(t, &redis.Options{Addr: replica.Address()})
	lines := 1
	if isValkey(t, source.Address()) {
		lines = 2
		for _, c := range []*redis.Client{at, follower} {
			if err := c.ConfigSet(t.Context(), "dual-channel-replication-enabled", "yes").Err(); err != nil {
				t.Fatal(err)
			}
		}
	}
	for name, value := range map[string]string{"repl-diskless-sync-delay": "0", "rdb-key-save-delay": "10000000"} { // 10 s for a key
		if err := at.ConfigSet(t.Context(), name, value).Err(); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 1000 {
		if err := at.Set(t.Context(), fmt.Sprint("k", i), "x", 0).Err(); err != nil {
			t.Fatal(err)
		}
	}
	host, port, _ := net.SplitHostPort(source.Address())
	if err := follower.Do(t.Context(), "REPLICAOF", host, port).Err(); err != nil {
		t.Fatal(err)
	}
	exportertest.Eventually(t, "the source lists the replica", func() bool {
		_, known := infoOf(t, source.Address())[fmt.Sprintf("slave%d.offset", lines-1)]
		return known
	})
	s := awaitRound(t, start(t, patient+redisConfig(source.Address())), "redis", "cache")
	if listed := cli(t, source.Address(), "INFO", "replication"); strings.Contains(listed, "state=online") {
		t.Fatalf("the replica has been filled already:\n%s", listed)
	}
	if lag, known := s[`consign_redis_replication_lag_bytes{server="cache"}`]; known {
		t.Errorf("a replica that is being filled has a lag of %v bytes", lag)
	}
}

func TestAFailedSaveIsReported(t *testing.T) {
	t.Parallel()
	dir := t.TempDir() + "/redis"
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	server, err := servers.StartRedis(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Kill() })
	c := redisClient(t, &redis.Options{Addr: server.Address()})
	r := start(t, patient+redisConfig(server.Address()))
	begin := float64(time.Now().Unix())
	save := func() {
		t.Helper()
		if err := c.BgSave(t.Context()).Err(); err != nil {
			t.Fatal(err)
		}
	}
	time.Sleep(1100 * time.Millisecond) // later than the start, in whole seconds
	save()
	r.Await(t, "the save is exported", func(s map[string]float64) bool {
		return s[`consign_redis_last_save_success{server="cache"}`] == 1 && s[`consign_redis_last_save_timestamp_seconds{server="cache"}`] > begin
	})
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	save()
	r.Await(t, "the failure is exported", func(s map[string]float64) bool { return s[`consign_redis_last_save_success{server="cache"}`] == 0 })
}

// TestARedisWithoutAUTHDoesNotPutThePasswordIntoTheLog: it repeats the arguments of a command that it does not know.
func TestARedisWithoutAUTHDoesNotPutThePasswordIntoTheLog(t *testing.T) {
	t.Parallel()
	path, err := executable.Find("redis-server")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	server, err := servers.OnFreeAddress(t.Context(), func(ctx context.Context, address string) (*servers.Process, error) {
		_, port, err := net.SplitHostPort(address)
		if err != nil {
			return nil, err
		}
		return servers.Start(ctx, servers.Command{
			Name: "Redis", Path: path, Dir: dir, LogFile: filepath.Join(dir, "redis.log"), Address: address,
			Args: []string{"--bind", "127.0.0.1", "--port", port, "--save", "", "--rename-command", "AUTH", ""},
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Kill() })
	const password = "planted-redis-password"
	r := start(t, fmt.Sprintf("%sredis: [{name: cache, address: '%s', username: reader, password_file: %s}]\n", quick, server.Address(), exportertest.WriteFile(t, "password", password)))
	r.Await(t, "AUTH is refused", func(map[string]float64) bool { return strings.Contains(r.Log(), "unknown command 'AUTH'") })
	if _, page := r.Get(t, "/metrics"); strings.Contains(page+r.Log(), password) {
		t.Errorf("the password is printed:\n%s", r.Log())
	}
}

// TestTheShippedACLSufficesAndIsNotMore connects as the user of deploy/redis/acl.txt, on a server that no other user may use.
func TestTheShippedACLSufficesAndIsNotMore(t *testing.T) {
	t.Parallel()
	server := ownRedis(t)
	const password = "the-password-of-the-exporter"
	admin := redisClient(t, &redis.Options{Addr: server.Address()})
	setUser := []any{"ACL", "SETUSER"}
	for _, a := range deploy.ACL(password) {
		setUser = append(setUser, a)
	}
	if err := admin.Do(t.Context(), setUser...).Err(); err != nil {
		t.Fatal(err)
	}
	file := exportertest.WriteFile(t, "password", password+"\n")
	r := start(t, fmt.Sprintf("%sredis: [{name: cache, address: '%s', username: %s, password_file: %s}]\n", patient, server.Address(), deploy.User, file))
	awaitRound(t, r, "redis", "cache")
	s := awaitRound(t, r, "redis_operations", "cache")
	for _, c := range []string{"redis", "redis_operations"} {
		if s["consignwatch_collector_success"+collected(c, "cache")] != 1 {
			t.Errorf("%s fails with the shipped rights:\n%s", c, r.Log())
		}
	}
	if histogram(t, r, `consign_redis_command_duration_seconds{command="ping",server="cache"}`) == nil {
		t.Error("no histogram with the shipped rights")
	}
	if denied := cli(t, server.Address(), "ACL", "LOG"); strings.TrimSpace(denied) != "" {
		t.Errorf("the server has refused something:\n%s", denied)
	}
	user := redisClient(t, &redis.Options{Addr: server.Address(), Username: deploy.User, Password: password, DisableIdentity: true})
	for _, args := range [][]any{
		{"GET", "client:1:config"}, {"SET", "other", "x"}, {"DEL", "other"}, {"KEYS", "*"}, {"SCAN", "0"}, {"CONFIG", "GET", "*"}, {"FLUSHALL"},
		{"LATENCY", "RESET"}, {"ACL", "LIST"}, {"CLIENT", "LIST"}, {"SHUTDOWN"}, {"EVAL", "return 1", "0"},
	} {
		if err := user.Do(t.Context(), args...).Err(); err == nil || !strings.HasPrefix(err.Error(), "NOPERM") {
			t.Errorf("%v: %v, want that it is refused", args, err)
		}
	}
	if _, page := r.Get(t, "/config"); strings.Contains(page+r.Log(), password) {
		t.Error("the password was printed")
	}
	// Without a right the failure says which.
	if err := admin.Do(t.Context(), "ACL", "SETUSER", deploy.User, "-latency|histogram").Err(); err != nil {
		t.Fatal(err)
	}
	r.Await(t, "a right that is missing is a failure", func(s map[string]float64) bool {
		return s[`consignwatch_collector_failures_total{collector="redis",reason="auth"}`] > 0 && s[`consign_redis_up{essential="true",server="cache"}`] == 1
	})
	if !strings.Contains(r.Log(), "LATENCY HISTOGRAM: NOPERM") {
		t.Errorf("the log does not say which right is missing:\n%s", r.Log())
	}
}
