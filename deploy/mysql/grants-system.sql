-- The user of the system-exporter: it reads the server's own state, and no table of the platform.
--
-- Give the two values before you run it; as it stands the file is refused by the server:
--
--   {{password}}  the password, quoted: 'a long random one'
--   {{host}}      where the exporter connects from, quoted: '10.1.2.%', or '%' for anywhere
--
-- Put the same password into the file that dsn_file names. It can be run again. The comments that begin with an exclamation
-- mark are for the servers: MariaDB reads those with an M, MySQL 8 the others.
--
-- Four connections: two exporters (a pair for high availability) with one each, and as many while they reconnect.

CREATE USER IF NOT EXISTS consignwatch_system@{{host}} IDENTIFIED BY {{password}} WITH MAX_USER_CONNECTIONS 4;

-- Replication (SLAVE MONITOR on MariaDB, REPLICATION CLIENT on MySQL). MySQL wants PROCESS for the count of deadlocks.
GRANT /*M! SLAVE MONITOR */ /*!80000 PROCESS, REPLICATION CLIENT */ ON *.* TO consignwatch_system@{{host}};

-- Query latency. On MariaDB everybody can read it, with the plugin query_response_time.
/*!80000 GRANT SELECT ON performance_schema.events_statements_histogram_global TO consignwatch_system@{{host}} */;
/*!80000 GRANT SELECT ON performance_schema.events_statements_summary_global_by_event_name TO consignwatch_system@{{host}} */;
