package catalog

// System is the exporter of the platform's own servers: database, cache, queues, and of probes from outside.
const System Exporter = "system-exporter"

// MaxServers is how many servers of one kind, and MaxProbes how many probes, a system-exporter may have: the estimate of its
// series depends on it, and a configuration with more is rejected.
const (
	MaxServers = 16
	MaxProbes  = 50
)

// server is the configuration's name of a MySQL, Redis or Kafka target. The kinds share the names' limit.
func server() Label {
	return Label{Name: "server", Pattern: slug, MaxLength: slugLength, Limit: 4 * MaxServers, Present: MaxServers, Typical: 2}
}

func probe() Label {
	return Label{Name: "probe", Pattern: slug, MaxLength: slugLength, Limit: MaxProbes, Typical: 6}
}

// DatabaseRoles is the closed set of what a database server is for: what the platform writes to, or a copy of it.
func DatabaseRoles() []string { return []string{"primary", "replica"} }

// databaseRole says what a database server is for. The configuration says so, not the server.
func databaseRole() Label { return one(oneOf("role", DatabaseRoles()...)) }

// essential says whether the platform is down while the target is. The configuration says so.
func essential() Label { return one(oneOf("essential", "true", "false")) }

// probedClient is whose domain a probe requests. A probe of what all clients share lacks it.
func probedClient() Label {
	l := one(client())
	l.Optional = true
	return l
}

// channel is a source that a replica follows. Most have one, without a name: `default`.
func channel() Label {
	return Label{Name: "channel", Pattern: `[A-Za-z0-9_.:-]+`, MaxLength: 64, Limit: 8, Within: "server", Present: 4, Typical: 1}
}

// command is a command of Redis: get, or config|get.
func command() Label {
	return Label{Name: "command", Pattern: `[a-z0-9][a-z0-9_.|:-]*`, MaxLength: 63, Limit: 40, Within: "server", Typical: 20}
}

// ConnectionErrors is the closed set of errors with which a database rejects or loses a connection.
func ConnectionErrors() []string {
	return []string{"accept", "internal", "max_connections", "peer_address", "select", "tcpwrap", "aborted_connect", "aborted_client"}
}

// DatabaseCapabilities is the closed set of capabilities that a database server may lack.
func DatabaseCapabilities() []string {
	return []string{"statement_histogram", "deadlock_counter", "replication_status"}
}

// CacheOperations is the closed set of operations that the exporter itself does on a cache.
func CacheOperations() []string { return []string{"ping", "set", "get", "del"} }

// ProbeOutcomes is the closed set of outcomes of a probe.
func ProbeOutcomes() []string {
	return []string{"ok", "timeout", "dns", "connection", "tls", "redirect", "status", "body", "too_large", "invalid_response"}
}

// ProbePhases is the closed set of the parts of a probe, and the whole.
func ProbePhases() []string {
	return []string{"dns", "connect", "tls", "first_byte", "transfer", "total"}
}

// roundTripBuckets are for a request that a healthy server answers immediately.
func roundTripBuckets() []float64 {
	return []float64{0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5}
}

// statementBuckets hold the powers of ten, which MariaDB and MySQL both know exactly. What is between, only MySQL knows.
func statementBuckets() []float64 {
	return []float64{0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 100}
}

// commandBuckets are every second one of those that Redis has: 1024 ns doubled again and again, and a 128th more.
func commandBuckets() []float64 {
	return []float64{4e-6, 16e-6, 66e-6, 264e-6, 1056e-6, 4227e-6, 16908e-6, 67633e-6, 270532e-6, 1082130e-6}
}

func probeBuckets() []float64 {
	return []float64{0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 1, 2, 5, 10}
}

// systemMetrics are the state of the platform's servers: contract section 3, except for the queues.
func systemMetrics() []Metric {
	return section("3", System, Max, []Metric{
		// The database.
		{Name: "consign_mysql_up", Type: Gauge, Unit: Bool, Labels: []Label{server(), databaseRole()},
			Help: "Whether the database accepted the exporter's connection and answered its ping (1) or not (0). The role is the configuration's."},
		{Name: "consign_mysql_ping_duration_seconds", Type: Histogram, Unit: Seconds, Labels: []Label{server()}, Buckets: roundTripBuckets(),
			Help: "Round-trip time of the exporter's pings to the database on an open connection, network included."},
		{Name: "consign_mysql_connections", Type: Gauge, Unit: Count, Labels: []Label{server(), oneOf("state", "active", "idle")},
			Help: "Open client connections, by whether they run a statement. The exporter's own is among the active ones; the event scheduler is none."},
		{Name: "consign_mysql_max_connections", Type: Gauge, Unit: Count, Labels: []Label{server()},
			Help: "Maximum number of client connections (max_connections)."},
		{Name: "consign_mysql_threads", Type: Gauge, Unit: Count, Labels: []Label{server(), oneOf("state", "running", "cached")},
			Help: "Threads of the database that run a statement, the server's own included (Threads_running), and those kept for the next connection (Threads_cached)."},
		{Name: "consign_mysql_connection_errors_total", Type: Counter, Unit: Count, Labels: []Label{server(), oneOf("error", ConnectionErrors()...)},
			Help: "Refused and aborted connections (Connection_errors_*, Aborted_connects, Aborted_clients). A refused one may count under two errors."},
		{Name: "consign_mysql_queries_total", Type: Counter, Unit: Count, Labels: []Label{server()},
			Help: "Statements executed by the database, those inside stored programs included (Queries)."},
		{Name: "consign_mysql_statement_duration_seconds", Type: Histogram, Unit: Seconds, Labels: []Label{server()}, Buckets: statementBuckets(),
			Help: "Duration of statements on the server (MySQL: performance_schema; MariaDB: plugin query_response_time), the exporter's own included. Only the server's own bucket bounds exist; on MySQL the sum comes from another table, may include a few statements more or less, and leaves out the dumps of the binary log to replicas."},
		{Name: "consign_mysql_slow_queries_total", Type: Counter, Unit: Count, Labels: []Label{server()},
			Help: "Statements that took longer than long_query_time (Slow_queries)."},
		{Name: "consign_mysql_row_lock_waits_total", Type: Counter, Unit: Count, Labels: []Label{server()},
			Help: "Waits of statements for a row lock (Innodb_row_lock_waits)."},
		{Name: "consign_mysql_row_lock_wait_seconds_total", Type: Counter, Unit: Seconds, Labels: []Label{server()},
			Help: "Total time that statements have waited for row locks (Innodb_row_lock_time)."},
		{Name: "consign_mysql_deadlocks_total", Type: Counter, Unit: Count, Labels: []Label{server()},
			Help: "Deadlocks, each with one transaction rolled back. Absent when the server does not count them: see consign_mysql_capability."},
		{Name: "consign_mysql_buffer_pool_bytes", Type: Gauge, Unit: Bytes, Labels: []Label{server(), oneOf("state", "clean", "dirty", "free", "misc")},
			Help: "The InnoDB buffer pool by what its pages hold: data as on disk, changed data, nothing, or the pool's own administration."},
		{Name: "consign_mysql_buffer_pool_reads_total", Type: Counter, Unit: Count, Labels: []Label{server(), oneOf("source", "memory", "disk")},
			Help: "Logical reads of InnoDB by where the page was found. The share of disk is the miss ratio of the buffer pool."},
		{Name: "consign_mysql_replication_lag_seconds", Type: Gauge, Unit: Seconds, Labels: []Label{server(), channel()},
			Help: "Replication lag as the replica reports it. Absent while a thread of replication is not running, and so while the replica has not reached its source."},
		{Name: "consign_mysql_replication_running", Type: Gauge, Unit: Bool, Labels: []Label{server(), channel(), oneOf("thread", "io", "sql")},
			Help: "Whether the replication thread is running and, for io, connected. Absent on a server that is not a replica."},
		{Name: "consign_mysql_read_only", Type: Gauge, Unit: Bool, Labels: []Label{server()},
			Help: "Whether the database refuses writes of ordinary users (read_only, or innodb_read_only)."},
		{Name: "consign_mysql_uptime_seconds", Type: Gauge, Unit: Seconds, Labels: []Label{server()},
			Help: "Uptime of the database."},
		{Name: "consign_mysql_capability", Type: Gauge, Unit: Bool, Labels: []Label{server(), oneOf("name", DatabaseCapabilities()...)},
			Help: "Whether the server has the feature and the exporter the privilege to read it. Metrics that need a missing one are absent."},

		// The cache.
		{Name: "consign_redis_up", Type: Gauge, Unit: Bool, Labels: []Label{server(), essential()},
			Help: "Whether the cache accepted the exporter's connection and answered its ping (1) or not (0). While an essential one is down, the platform is."},
		{Name: "consign_redis_operation_duration_seconds", Type: Histogram, Unit: Seconds, Labels: []Label{server(), oneOf("operation", CacheOperations()...)}, Buckets: roundTripBuckets(),
			Help: "Duration of the exporter's own operations on a key of its own, network included. Successful ones only; a replica is not written to."},
		{Name: "consign_redis_command_duration_seconds", Type: Histogram, Unit: Seconds, Labels: []Label{server(), command()}, Buckets: commandBuckets(),
			Help: "Duration of commands on the server, without network and queueing, by command (LATENCY HISTOGRAM, Redis 7). Absent in earlier versions."},
		{Name: "consign_redis_commands_total", Type: Counter, Unit: Count, Labels: []Label{server(), command(), oneOf("outcome", "ok", "failed", "rejected")},
			Help: "Commands by outcome: executed, executed with an error, or rejected before execution."},
		{Name: "consign_redis_keyspace_lookups_total", Type: Counter, Unit: Count, Labels: []Label{server(), oneOf("result", "hit", "miss")},
			Help: "Key lookups by whether the key was there."},
		{Name: "consign_redis_evicted_keys_total", Type: Counter, Unit: Count, Labels: []Label{server()},
			Help: "Keys that were evicted because memory was full."},
		{Name: "consign_redis_expired_keys_total", Type: Counter, Unit: Count, Labels: []Label{server()},
			Help: "Keys that were removed because their TTL had expired."},
		{Name: "consign_redis_memory_bytes", Type: Gauge, Unit: Bytes, Labels: []Label{server(), oneOf("kind", "used", "rss", "peak", "dataset")},
			Help: "Memory of the cache: allocated (used), resident (rss), the peak of what was allocated, and the data set alone. The kinds overlap."},
		{Name: "consign_redis_memory_max_bytes", Type: Gauge, Unit: Bytes, Labels: []Label{server()},
			Help: "Memory that the cache may allocate (maxmemory). Absent without a limit."},
		{Name: "consign_redis_clients", Type: Gauge, Unit: Count, Labels: []Label{server(), oneOf("state", "ready", "blocked")},
			Help: "Connected clients, the exporter included and replicas excluded, by whether they wait in a blocking command."},
		{Name: "consign_redis_max_clients", Type: Gauge, Unit: Count, Labels: []Label{server()},
			Help: "Maximum number of connected clients (maxclients)."},
		{Name: "consign_redis_rejected_connections_total", Type: Counter, Unit: Count, Labels: []Label{server()},
			Help: "Connections that were refused because maxclients was reached."},
		{Name: "consign_redis_replication_lag_bytes", Type: Gauge, Unit: Bytes, Labels: []Label{server()},
			Help: "Replication lag: bytes of the replication stream that the slowest connected replica has not acknowledged. Absent on a replica, and without replicas."},
		{Name: "consign_redis_replica_link_up", Type: Gauge, Unit: Bool, Labels: []Label{server()},
			Help: "Whether the replica is connected to its source (1) or not (0). Absent on a server that is not a replica."},
		{Name: "consign_redis_last_save_success", Type: Gauge, Unit: Bool, Labels: []Label{server()},
			Help: "Whether the last write to disk succeeded: the last snapshot and, with an append-only file, the last write to it. 1 when nothing was ever written."},
		{Name: "consign_redis_last_save_timestamp_seconds", Type: Gauge, Unit: Timestamp, Labels: []Label{server()},
			Help: "When the last snapshot was written, in seconds since 1970. The start of the server, when there was none."},
		{Name: "consign_redis_keys", Type: Gauge, Unit: Count, Labels: []Label{server(), {Name: "db", Pattern: `[0-9]+`, MaxLength: 5, Limit: 16, Within: "server", Present: 4, Typical: 1}},
			Help: "Keys by database."},

		// From outside.
		{Name: "consign_probe_up", Type: Gauge, Unit: Bool, Labels: []Label{probe(), probedClient(), essential()},
			Help: "Whether the last probe got the expected response (1) or not (0). While an essential one fails, the platform is down; with a client, that client's part of it."},
		{Name: "consign_probe_requests_total", Type: Counter, Unit: Count, Labels: []Label{probe(), typical(3, oneOf("outcome", ProbeOutcomes()...))},
			Help: "Probes by outcome. Each is a request on a connection of its own; none is retried."},
		{Name: "consign_probe_duration_seconds", Type: Histogram, Unit: Seconds, Labels: []Label{probe(), oneOf("phase", ProbePhases()...)}, Buckets: probeBuckets(),
			Help: "Duration of probes with the outcome ok, by phase. Phase total is the whole probe; a phase that did not take place does not count."},
		{Name: "consign_probe_certificate_expiry_timestamp_seconds", Type: Gauge, Unit: Timestamp, Labels: []Label{probe()},
			Help: "When the first certificate of the served chain expires, in seconds since 1970, even when it is rejected. Absent for plain HTTP."},
	})
}
