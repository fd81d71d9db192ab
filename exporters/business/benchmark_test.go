package business

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	deploy "github.com/consignwatch/consignwatch/deploy/mysql"
	"github.com/consignwatch/consignwatch/pkg/demo/servers"
	"github.com/consignwatch/consignwatch/pkg/demo/servers/serverstest"
	"github.com/consignwatch/consignwatch/pkg/executable"
	"github.com/consignwatch/consignwatch/pkg/exporter/exportertest"
	"github.com/consignwatch/consignwatch/pkg/secret"
	"github.com/consignwatch/consignwatch/simulator"
	"github.com/consignwatch/consignwatch/simulator/seed"
)

// itemsVariable says how many items the platforms of the benchmark have: 1000000,5000000,10000000.
const itemsVariable = "CONSIGNWATCH_BENCH_ITEMS"

// BenchmarkRound reads one round of the whole pack: as the exporter does, the sale events that are live; and, for comparison, the
// same totals of everything, as plain GROUP BY over the tables would. rows/op is what the server read (Handler_read%).
//
// The platform has 200 sale events of 100 clients, 10 of them live, and the indexes of deploy/mysql.
func BenchmarkRound(b *testing.B) {
	for text := range strings.SplitSeq(cmp.Or(os.Getenv(itemsVariable), "1000000"), ",") {
		items, err := strconv.Atoi(strings.TrimSpace(text))
		if err != nil || items < 1 {
			b.Fatalf("%s: %q is not a number of items", itemsVariable, text)
		}
		b.Run(fmt.Sprintf("items=%d", items), func(b *testing.B) { benchmarkSize(b, items) })
	}
}

func benchmarkSize(b *testing.B, items int) {
	dsn := historyOf(b, items)
	db, err := openReader(secret.New(dsn), nil, 1)
	if err != nil {
		b.Fatal(err)
	}
	defer db.close()
	patient := func(p *Pack) *Pack {
		for i := range p.Queries {
			p.Queries[i].Timeout = p.RefreshEnded
		}
		return p
	}
	b.Run("live", func(b *testing.B) { benchmarkPack(b, db, embedded(b)) })
	b.Run("everything", func(b *testing.B) { benchmarkPack(b, db, patient(everything(embedded(b)))) })
	b.Run("exporter", func(b *testing.B) { benchmarkExporter(b, dsn) })
}

func benchmarkPack(b *testing.B, db *reader, p *Pack) {
	var costs map[string]cost
	sum, rounds := cost{}, 0
	for b.Loop() {
		var err error
		if costs, err = round(b.Context(), db, p); err != nil {
			b.Fatal(err)
		}
		sum, rounds = add(sum, total(costs)), rounds+1
	}
	names := make([]string, 0, len(costs))
	for name := range costs {
		names = append(names, name)
	}
	slices.SortFunc(names, func(x, y string) int { return cmp.Compare(costs[y].read, costs[x].read) })
	for _, name := range names[:6] {
		b.Logf("%-20s %10d rows read in %s", name, costs[name].read, short(costs[name].took))
	}
	b.ReportMetric(float64(sum.read)/float64(rounds), "rows/op")
	b.ReportMetric(float64(sum.took)/float64(rounds), "ns/op") // of the statements; measuring takes time, too
}

// historyOf makes a server with a platform.
func historyOf(b *testing.B, items int) string {
	server := serverstest.OwnMariaDB(b, "--innodb-buffer-pool-size=6G", "--innodb-log-file-size=1G", "--innodb-flush-log-at-trx-commit=0", "--tmp-table-size=256M", "--max-heap-table-size=256M")
	admin := serverstest.Open(b, server.DSN(""))
	run := func(db *sql.DB, statements ...string) {
		for _, s := range statements {
			if _, err := db.ExecContext(b.Context(), s); err != nil {
				b.Fatalf("%.60s: %v", s, err)
			}
		}
	}
	run(admin, "CREATE DATABASE platform")
	dsn := server.DSN("platform")
	p, err := simulator.New(simulator.Config{
		DSN: dsn, Clients: 100, Events: 200, LiveEvents: 10, Items: items, Bulk: true, Seed: 1,
		Progress: seed.LogProgress(slog.New(slog.NewTextHandler(os.Stderr, nil)), 15*time.Second),
	})
	if err != nil {
		b.Fatal(err)
	}
	defer p.Close()
	begin := time.Now()
	if err := p.Fill(b.Context()); err != nil {
		b.Fatal(err)
	}
	filled := time.Now()
	db := serverstest.Open(b, dsn)
	run(db, deploy.Indexes()...)
	indexed := time.Now()
	run(db, "ANALYZE TABLE items, sales, sessions, event_consignors, consignors, dropoff_slots, dropoff_bookings, volunteer_shifts, volunteer_bookings, settlements, sync_runs, support_tickets, events")
	b.Logf("filled in %s, indexed in %s", short(filled.Sub(begin)), short(indexed.Sub(filled)))
	for _, index := range []string{"items/PRIMARY", "items/items_exporter", "sales/PRIMARY", "sales/sales_exporter"} {
		table, name, _ := strings.Cut(index, "/")
		var size int64
		if err := db.QueryRowContext(b.Context(), `SELECT stat_value * @@innodb_page_size FROM mysql.innodb_index_stats
			WHERE database_name = 'platform' AND table_name = ? AND index_name = ? AND stat_name = 'size'`, table, name).Scan(&size); err != nil {
			b.Fatal(err)
		}
		b.Logf("%-24s %6d MB", index, size>>20)
	}
	return dsn
}

// benchmarkExporter runs the exporter as it ships until it has read all of the history, and some rounds more.
func benchmarkExporter(b *testing.B, dsn string) {
	folder := b.TempDir()
	program := filepath.Join(folder, "business-exporter")
	if out, err := exec.CommandContext(b.Context(), "go", "build", "-o", program, "../../cmd/business-exporter").CombinedOutput(); err != nil {
		b.Fatalf("%v\n%s", err, out)
	}
	for name, text := range map[string]string{"dsn": dsn, "config.yml": "mysql: {dsn_file: dsn}\n"} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
			b.Fatal(err)
		}
	}
	b.Setenv(executable.FolderVariable, folder)
	process, err := servers.StartHTTP(b.Context(), folder, servers.HTTPServer{
		Name: "business-exporter", Executable: "business-exporter", Ready: "/-/ready", ReadyTimeout: time.Hour,
		Args: func(address string) []string {
			return []string{"--config.file=" + filepath.Join(folder, "config.yml"), "--web.listen-address=" + address}
		},
	})
	if err != nil {
		b.Fatal(err)
	}
	defer process.Kill()

	targets := 0
	for _, c := range collectors(nil, embedded(b), 0) {
		targets += len(c.targets)
	}
	page := await(b, process.URL(), func(page map[string]float64) bool {
		done := 0
		for name, v := range page {
			if strings.HasPrefix(name, "consignwatch_collector_success{") && v == 1 {
				done++
			}
		}
		return done == targets // history is read, too
	})
	cpu, begin := page["process_cpu_seconds_total"], time.Now()
	time.Sleep(90 * time.Second) // as many rounds as it takes for an average
	page = await(b, process.URL(), func(map[string]float64) bool { return true })
	b.ReportMetric(page["process_resident_memory_bytes"]/(1<<20), "MB-rss")
	b.ReportMetric(page["go_memstats_heap_inuse_bytes"]/(1<<20), "MB-heap")
	b.ReportMetric(100*(page["process_cpu_seconds_total"]-cpu)/time.Since(begin).Seconds(), "%cpu")
	b.ReportMetric(float64(len(business(page))), "series")
	b.ReportMetric(0, "ns/op")
}

// await scrapes until the series are as expected, at most an hour.
func await(b *testing.B, address string, done func(map[string]float64) bool) map[string]float64 {
	ctx, cancel := context.WithTimeout(b.Context(), time.Hour)
	defer cancel()
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, address+"/metrics", nil)
		if err != nil {
			b.Fatal(err)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			b.Fatal(err)
		}
		parser := expfmt.NewTextParser(model.UTF8Validation)
		families, err := parser.TextToMetricFamilies(resp.Body)
		resp.Body.Close()
		if err != nil {
			b.Fatal(err)
		}
		page := map[string]float64{}
		for name, mf := range families {
			for _, m := range mf.Metric {
				page[exportertest.Name(name, m)] = value(m)
			}
		}
		if done(page) {
			return page
		}
		time.Sleep(time.Second)
	}
}

func value(m *dto.Metric) float64 {
	switch {
	case m.Gauge != nil:
		return m.Gauge.GetValue()
	case m.Counter != nil:
		return m.Counter.GetValue()
	}
	return m.GetUntyped().GetValue()
}
