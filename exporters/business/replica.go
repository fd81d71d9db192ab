package business

import (
	"context"
	"fmt"
	"time"

	"github.com/consignwatch/consignwatch/pkg/database"
	"github.com/consignwatch/consignwatch/pkg/exporter"
)

const replicaCollectorName = "replica"

// replicaCollector collects the replication lag of the database. It is the one collector that is about the database and not
// about the business, and so is not in the pack: the statement differs between servers, and an unknown lag is a failure.
type replicaCollector struct{ db *reader }

func (replicaCollector) Name() string { return replicaCollectorName }

// Schedule keeps no old value longer than it must: a lag that is not known any more is not reported.
func (replicaCollector) Schedule() exporter.Schedule {
	return exporter.Schedule{Interval: 5 * time.Second, Timeout: 5 * time.Second}
}

func (r replicaCollector) Targets() []exporter.Target { return []exporter.Target{lagTarget(r)} }

// lagTarget is the target of replicaCollector.
type lagTarget struct{ db *reader }

func (lagTarget) Name() string { return "database" }

func (r lagTarget) Collect(ctx context.Context, sink *exporter.Sink) error {
	worst, channels := 0.0, 0
	err := r.db.query(ctx, statement{
		name:    replicaCollectorName,
		text:    "SHOW ALL SLAVES STATUS", // every MariaDB; SHOW REPLICA STATUS has one channel only
		onMySQL: "SHOW REPLICA STATUS",    // 8.0.22 and later
		limit:   3 * time.Second,
	}, func(row *row) error {
		behind, err := lagOf(row)
		worst, channels = max(worst, behind), channels+1
		return err
	})
	if database.Lacks(err) {
		return exporter.Failure(exporter.ReasonCapability, fmt.Errorf(
			"the database's user may not read the replication status: GRANT SLAVE MONITOR ON *.* (MariaDB) or REPLICATION CLIENT (MySQL): %w", err))
	}
	if err != nil {
		return err
	}
	if channels > 0 {
		sink.Gauge("consign_replica_lag_seconds", worst)
	}
	return nil
}

// lagOf reads the lag of one channel, or why it is unknown. The server's error message is left out, because it quotes rows.
func lagOf(r *row) (float64, error) {
	text := map[string]string{}
	for name, column := range map[string]string{
		"channel": columnName(r, "Connection_name", "Channel_Name"),
		"reads":   columnName(r, "Slave_IO_Running", "Replica_IO_Running"),
		"applies": columnName(r, "Slave_SQL_Running", "Replica_SQL_Running"),
		"reading": "Last_IO_Errno", "applying": "Last_SQL_Errno",
	} {
		var err error
		if text[name], err = r.label(column); err != nil {
			return 0, err
		}
	}
	lag, known, err := r.number64(columnName(r, "Seconds_Behind_Master", "Seconds_Behind_Source"))
	if err != nil {
		return 0, err
	}
	if !known || text["reads"] != "Yes" || text["applies"] != "Yes" {
		return 0, exporter.Failure(exporter.ReasonConnection, fmt.Errorf(
			"replication is stopped, its lag is unknown: channel %q, IO thread running: %s (error %s), SQL thread running: %s (error %s)",
			text["channel"], text["reads"], text["reading"], text["applies"], text["applying"]))
	}
	return lag, nil
}

// columnName is the name of a column that MySQL has renamed.
func columnName(r *row, mariadb, mysql string) string {
	if _, ok := r.columns[mysql]; ok {
		return mysql
	}
	return mariadb
}
