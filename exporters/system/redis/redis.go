// Package redis reads the state of Redis and Valkey servers, and measures the operations that applications use, on a key of
// its own. It touches no other key.
package redis

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	commonconfig "github.com/prometheus/common/config"

	"github.com/consignwatch/consignwatch/exporters/system/uptime"
	"github.com/consignwatch/consignwatch/pkg/catalog"
	"github.com/consignwatch/consignwatch/pkg/exporter"
	"github.com/consignwatch/consignwatch/pkg/resp"
	"github.com/consignwatch/consignwatch/pkg/yamlfile"
)

// Config says how to reach a server, and what to do there.
type Config struct {
	Address string `yaml:"address"`
	// Username is the name of an ACL user; empty for the default one.
	Username string `yaml:"username,omitempty"`
	// PasswordFile is read again on reload. Empty: no password.
	PasswordFile string                  `yaml:"password_file,omitempty"`
	TLS          *commonconfig.TLSConfig `yaml:"tls,omitempty"`
	// Operations says whether the exporter writes, reads and deletes a key of its own; true unless set.
	Operations *bool `yaml:"operations,omitempty"`
	// KeyPrefix is the prefix of the key of the operations, which no other program may use.
	KeyPrefix string `yaml:"key_prefix,omitempty"`
}

// Fill sets the defaults of what is not set.
func (c *Config) Fill() {
	if c.KeyPrefix == "" {
		c.KeyPrefix = "consignwatch:probe:"
	}
	if c.Operations == nil {
		on := true
		c.Operations = &on
	}
}

// Check reports the first mistake, in f below the key.
func (c *Config) Check(f *yamlfile.File, key string) error {
	host, port, err := net.SplitHostPort(c.Address)
	switch {
	case c.Address == "":
		return f.Errorf(key+".address", "is missing: host:port")
	case err != nil || host == "" || port == "":
		return f.Errorf(key+".address", "is not of the form host:port")
	case c.Username != "" && c.PasswordFile == "":
		return f.Errorf(key+".username", "a user needs a password_file")
	}
	return nil
}

// SetDirectory makes paths relative to a folder.
func (c *Config) SetDirectory(dir string) {
	c.PasswordFile = commonconfig.JoinDir(dir, c.PasswordFile)
	c.TLS.SetDirectory(dir)
}

// Server reads the state of one Redis or Valkey server from INFO and LATENCY HISTOGRAM.
type Server struct {
	name      string
	essential bool
	conn      *Conn
	bounds    []float64 // of the histograms of commands

	// What lives from one collection to the next.
	started uptime.Start
	keys    map[string]bool // databases that ever held a key
}

// NewServer makes the collector of a server's state. While an essential server is down, the platform is.
func NewServer(name string, essential bool, conn *Conn, c *catalog.Catalog) *Server {
	r := &Server{name: name, essential: essential, conn: conn, keys: map[string]bool{"0": true}}
	if m, ok := c.Lookup("consign_redis_command_duration_seconds"); ok {
		r.bounds = m.Buckets
	}
	return r
}

// Name is the name of the target.
func (r *Server) Name() string { return r.name }

// Collect queries the state of the server.
func (r *Server) Collect(ctx context.Context, sink *exporter.Sink) error {
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
	sink.Status().Gauge("consign_redis_up", exporter.Bool(up), r.name, strconv.FormatBool(r.essential))
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
func (r *Server) emit(info info, latency map[string]commandLatency, now time.Time, sink *exporter.Sink) error {
	seconds, ok := info.number("uptime_in_seconds")
	if !ok {
		return parseError("INFO lacks the uptime")
	}
	since, _ := r.started.Update(now, seconds)
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
		sink.Gauge("consign_redis_last_save_success", exporter.Bool(status == "ok" && appended), r.name)
	}
	if lag, ok := info.replicationLag(); ok {
		sink.Gauge("consign_redis_replication_lag_bytes", lag, r.name)
	}
	if up, ok := info.replicaLink(); ok {
		sink.Gauge("consign_redis_replica_link_up", exporter.Bool(up), r.name)
	}
	r.emitKeys(info, sink)
	return r.emitCommands(info, latency, since, sink)
}

// emitKeys reports a database that has lost its last key as empty: the server does not list it any more.
func (r *Server) emitKeys(info info, sink *exporter.Sink) {
	keys := info.keys()
	for db := range keys {
		r.keys[db] = true
	}
	for db := range r.keys {
		sink.Gauge("consign_redis_keys", keys[db], r.name, db)
	}
}

func (r *Server) emitCommands(info info, latency map[string]commandLatency, since time.Time, sink *exporter.Sink) error {
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

// Operations runs the operations that the platform uses, on a key of its own, and measures their durations. It is a
// collector of its own, so that a server that rejects writes is still monitored.
type Operations struct {
	name     string
	conn     *Conn
	key      string
	recorder *exporter.Recorder
}

// operationLife is how long the key lives when it is not deleted.
const operationLife = 30 * time.Second

// NewOperations makes the collector of the operations, with all series at 0.
func NewOperations(name string, conn *Conn, keyPrefix string, c *catalog.Catalog) *Operations {
	// Of two exporters that watch one server each has a key of its own.
	o := &Operations{name: name, conn: conn, key: keyPrefix + rand.Text(), recorder: exporter.NewRecorder(c)}
	for _, operation := range catalog.CacheOperations() {
		o.recorder.Init("consign_redis_operation_duration_seconds", name, operation)
	}
	return o
}

// Name is the name of the target.
func (o *Operations) Name() string { return o.name }

// Collect does each operation once.
func (o *Operations) Collect(ctx context.Context, sink *exporter.Sink) error {
	err := o.conn.use(ctx, func(conn *resp.Conn, ping time.Duration) error {
		o.observe("ping", ping)
		return o.operate(ctx, conn)
	})
	o.recorder.Collect(sink.Status())
	return err
}

func (o *Operations) operate(ctx context.Context, conn *resp.Conn) error {
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

func (o *Operations) observe(operation string, took time.Duration) {
	o.recorder.Observe("consign_redis_operation_duration_seconds", took.Seconds(), o.name, operation)
}
