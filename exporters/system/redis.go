package system

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/consignwatch/consignwatch/pkg/catalog"
	"github.com/consignwatch/consignwatch/pkg/exporter"
	"github.com/consignwatch/consignwatch/pkg/resp"
)

// redisServer reads the state of one Redis or Valkey server from INFO and LATENCY HISTOGRAM.
type redisServer struct {
	name   string
	conn   *redisConn
	bounds []float64 // of the histograms of commands

	// What lives from one collection to the next.
	started processStart
	keys    map[string]bool // databases that ever held a key
}

func newRedisServer(name string, conn *redisConn, c *catalog.Catalog) *redisServer {
	r := &redisServer{name: name, conn: conn, keys: map[string]bool{"0": true}}
	if m, ok := c.Lookup("consign_redis_command_duration_seconds"); ok {
		r.bounds = m.Buckets
	}
	return r
}

// Name is the name of the target.
func (r *redisServer) Name() string { return r.name }

// Collect queries the state of the server.
func (r *redisServer) Collect(ctx context.Context, sink *exporter.Sink) error {
	up := false
	err := r.conn.use(ctx, func(conn *resp.Conn, _ time.Duration) error {
		up = true
		now := time.Now()
		text, _, err := conn.Text(ctx, "INFO", "all")
		if err != nil {
			return fmt.Errorf("INFO: %w", err)
		}
		latency, err := latencyHistogram(ctx, conn)
		if err != nil {
			return fmt.Errorf("LATENCY HISTOGRAM: %w", err)
		}
		return r.emit(parseInfo(text), latency, now, sink)
	})
	sink.Status().Gauge("consign_redis_up", boolValue(up), r.name)
	return err
}

// latencyHistogram fetches the latencies of commands. Redis before 7 lacks the command: that is no failure, and there is no
// histogram.
func latencyHistogram(ctx context.Context, conn *resp.Conn) (map[string]commandLatency, error) {
	answer, err := conn.Do(ctx, "LATENCY", "HISTOGRAM")
	if err != nil {
		if strings.HasPrefix(strings.ToLower(err.Error()), "err unknown") && errors.As(err, new(resp.Error)) {
			return nil, nil
		}
		return nil, err
	}
	return parseLatency(answer)
}

// emit reports the state of the server. Counters count since its start.
func (r *redisServer) emit(info redisInfo, latency map[string]commandLatency, now time.Time, sink *exporter.Sink) error {
	uptime, ok := info.number("uptime_in_seconds")
	if !ok {
		return parseError("INFO lacks the uptime")
	}
	since, _ := r.started.update(now, uptime)
	gauge := func(metric, key string, labels ...string) {
		if n, ok := info.number(key); ok {
			sink.Gauge(metric, n, append([]string{r.name}, labels...)...)
		}
	}
	counter := func(metric, key string, labels ...string) {
		if n, ok := info.number(key); ok {
			sink.Counter(metric, n, since, append([]string{r.name}, labels...)...)
		}
	}
	counter("consign_redis_keyspace_lookups_total", "keyspace_hits", "hit")
	counter("consign_redis_keyspace_lookups_total", "keyspace_misses", "miss")
	counter("consign_redis_evicted_keys_total", "evicted_keys")
	counter("consign_redis_expired_keys_total", "expired_keys")
	counter("consign_redis_rejected_connections_total", "rejected_connections")
	gauge("consign_redis_memory_bytes", "used_memory", "used")
	gauge("consign_redis_memory_bytes", "used_memory_rss", "rss")
	gauge("consign_redis_memory_bytes", "used_memory_peak", "peak")
	gauge("consign_redis_memory_bytes", "used_memory_dataset", "dataset")
	if limit, ok := info.number("maxmemory"); ok && limit > 0 { // 0 is no limit
		sink.Gauge("consign_redis_memory_max_bytes", limit, r.name)
	}
	gauge("consign_redis_max_clients", "maxclients")
	connected, known := info.number("connected_clients")
	if blocked, ok := info.number("blocked_clients"); ok && known {
		sink.Gauge("consign_redis_clients", blocked, r.name, "blocked")
		sink.Gauge("consign_redis_clients", max(connected-blocked, 0), r.name, "ready")
	}
	gauge("consign_redis_last_save_timestamp_seconds", "rdb_last_save_time")
	if status := info["rdb_last_bgsave_status"]; status != "" {
		appended := info["aof_enabled"] != "1" || info["aof_last_write_status"] != "err"
		sink.Gauge("consign_redis_last_save_success", boolValue(status == "ok" && appended), r.name)
	}
	if lag, ok := info.replicationLag(); ok {
		sink.Gauge("consign_redis_replication_lag_bytes", lag, r.name)
	}
	r.emitKeys(info, sink)
	return r.emitCommands(info, latency, since, sink)
}

// emitKeys reports a database that has lost its last key as empty: the server does not list it any more.
func (r *redisServer) emitKeys(info redisInfo, sink *exporter.Sink) {
	keys := info.keys()
	for db := range keys {
		r.keys[db] = true
	}
	for db := range r.keys {
		sink.Gauge("consign_redis_keys", keys[db], r.name, db)
	}
}

func (r *redisServer) emitCommands(info redisInfo, latency map[string]commandLatency, since time.Time, sink *exporter.Sink) error {
	commands, err := info.commands()
	if err != nil {
		return err
	}
	for name, c := range commands {
		sink.Counter("consign_redis_commands_total", c.calls-c.failed, since, r.name, name, "ok")
		sink.Counter("consign_redis_commands_total", c.failed, since, r.name, name, "failed")
		sink.Counter("consign_redis_commands_total", c.rejected, since, r.name, name, "rejected")
		if l, ok := latency[name]; ok {
			h := l.histogram(r.bounds)
			h.Sum = c.seconds
			sink.Histogram("consign_redis_command_duration_seconds", h, since, r.name, name)
		}
	}
	return nil
}

// redisOperations runs the operations that the platform uses, on a key of its own, and measures their durations. It is a
// collector of its own, so that a server that rejects writes is still monitored.
type redisOperations struct {
	name     string
	conn     *redisConn
	key      string
	recorder *exporter.Recorder
}

// operationLife is how long the key lives when it is not deleted.
const operationLife = 30 * time.Second

func newRedisOperations(name string, conn *redisConn, keyPrefix string, c *catalog.Catalog) *redisOperations {
	// Of two exporters that watch one server each has a key of its own.
	o := &redisOperations{name: name, conn: conn, key: keyPrefix + rand.Text(), recorder: exporter.NewRecorder(c)}
	for _, operation := range catalog.CacheOperations() {
		o.recorder.Init("consign_redis_operation_duration_seconds", name, operation)
	}
	return o
}

// Name is the name of the target.
func (o *redisOperations) Name() string { return o.name }

// Collect does each operation once.
func (o *redisOperations) Collect(ctx context.Context, sink *exporter.Sink) error {
	err := o.conn.use(ctx, func(conn *resp.Conn, ping time.Duration) error {
		o.observe("ping", ping)
		return o.operate(ctx, conn)
	})
	o.recorder.Collect(sink.Status())
	return err
}

func (o *redisOperations) operate(ctx context.Context, conn *resp.Conn) error {
	text, _, err := conn.Text(ctx, "INFO", "replication")
	if err != nil {
		return fmt.Errorf("INFO: %w", err)
	}
	replica := parseInfo(text)["role"] == "slave"
	value := rand.Text()
	if !replica {
		begin := time.Now()
		if _, err := conn.Do(ctx, "SET", o.key, value, "EX", strconv.Itoa(int(operationLife.Seconds()))); err != nil {
			return fmt.Errorf("SET: %w", err)
		}
		o.observe("set", time.Since(begin))
	}

	begin := time.Now()
	got, ok, err := conn.Text(ctx, "GET", o.key)
	switch {
	case err != nil:
		return fmt.Errorf("GET: %w", err)
	case ok && got != value: // without one the server has answered too: on a replica, or when it was evicted at once
		return parseError("GET of the key that was set brings another value")
	}
	o.observe("get", time.Since(begin))
	if replica {
		return nil
	}

	begin = time.Now()
	if _, err := conn.Do(ctx, "DEL", o.key); err != nil {
		return fmt.Errorf("DEL: %w", err)
	}
	o.observe("del", time.Since(begin))
	return nil
}

func (o *redisOperations) observe(operation string, took time.Duration) {
	o.recorder.Observe("consign_redis_operation_duration_seconds", took.Seconds(), o.name, operation)
}
