package system

import (
	"context"
	"database/sql"
	"flag"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
	dto "github.com/prometheus/client_model/go"
	"github.com/redis/go-redis/v9"

	"github.com/consignwatch/consignwatch/pkg/catalog"
	"github.com/consignwatch/consignwatch/pkg/demo/servers"
	"github.com/consignwatch/consignwatch/pkg/demo/servers/serverstest"
	"github.com/consignwatch/consignwatch/pkg/executable"
	"github.com/consignwatch/consignwatch/pkg/exporter"
	"github.com/consignwatch/consignwatch/pkg/exporter/exportertest"
)

func TestMain(m *testing.M) {
	flag.Parse()
	if err := flag.Set("test.parallel", "6"); err != nil { // most tests wait most of the time, whatever the number of cores
		panic(err)
	}
	os.Exit(serverstest.Main(m))
}

// Timings for tests: quick is for faults, with values that vanish soon; with patient they stay, so that a collection which a busy
// machine has made late removes none.
const (
	quick   = "interval: 400ms\ntimeout: 400ms\nmax_age: 1s\n"
	patient = "interval: 1s\ntimeout: 1s\nmax_age: 1m\n"
)

func start(t testing.TB, config string, flags ...string) *exportertest.Running {
	t.Helper()
	return exportertest.Start(t, App(), config, flags...)
}

func silentLog() *slog.Logger { return slog.New(slog.DiscardHandler) }

func discardLogger() *log.Logger { return log.New(io.Discard, "", 0) }

// listen answers each connection with a function, and closes it.
func listen(t *testing.T, answer func(net.Conn)) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				_ = c.SetDeadline(time.Now().Add(time.Minute))
				_, _ = c.Read(make([]byte, 1024))
				answer(c)
			}()
		}
	}()
	return l.Addr().String()
}

// closedAddress is one without a listener.
func closedAddress(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// mysqlConfig is the section of one server.
func mysqlConfig(t testing.TB, dsn string) string {
	t.Helper()
	return fmt.Sprintf("mysql: [{name: main, dsn_file: %s}]\n", exportertest.WriteFile(t, "dsn", dsn))
}

func redisConfig(address string) string {
	return fmt.Sprintf("redis: [{name: cache, address: '%s'}]\n", address)
}

func ownRedis(t *testing.T) *servers.Process {
	t.Helper()
	p, err := servers.StartRedis(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Kill() })
	return p
}

func redisClient(t *testing.T, o *redis.Options) *redis.Client {
	t.Helper()
	c := redis.NewClient(o)
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func execute(t *testing.T, db *sql.DB, statements ...string) {
	t.Helper()
	for _, s := range statements {
		if _, err := db.ExecContext(t.Context(), s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
}

// command runs a program and returns what it prints.
func command(t *testing.T, env []string, name string, args ...string) string {
	t.Helper()
	path, err := executable.Find(name)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), path, args...)
	cmd.Env = append(os.Environ(), env...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", name, err, out)
	}
	return string(out)
}

// client runs statements with the server's own client program, and returns what it prints.
func client(t *testing.T, dsn, statements string) string {
	t.Helper()
	c, err := mysql.ParseDSN(dsn)
	if err != nil {
		t.Fatal(err)
	}
	host, port, err := net.SplitHostPort(c.Addr)
	if err != nil {
		t.Fatal(err)
	}
	return command(t, []string{"MYSQL_PWD=" + c.Passwd}, "mariadb", "--no-defaults", "--host", host, "--port", port, "--user", c.User,
		"--batch", "--execute", statements)
}

func globalStatus(t *testing.T, dsn string) map[string]float64 {
	t.Helper()
	out := client(t, dsn, "SHOW GLOBAL STATUS; SHOW GLOBAL VARIABLES")
	status := map[string]float64{}
	for line := range strings.Lines(out) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), "\t")
		if v, err := strconv.ParseFloat(value, 64); err == nil {
			status[name] = v
		}
	}
	if status["Uptime"] == 0 && len(status) < 100 {
		t.Fatalf("the client program answered:\n%s", out)
	}
	return status
}

const lastSuccess = "consignwatch_collector_last_success_timestamp_seconds"

func collected(collector, target string) string {
	return fmt.Sprintf(`{collector=%q,target=%q}`, collector, target)
}

// awaitRound waits for a collection that has begun from now on: for two that have ended.
func awaitRound(t *testing.T, r *exportertest.Running, collector, target string) map[string]float64 {
	t.Helper()
	name := lastSuccess + collected(collector, target)
	series := r.Series(t)
	for range 2 {
		last := series[name]
		series = r.Await(t, "the next collection of "+name, func(s map[string]float64) bool { return s[name] > last })
	}
	return series
}

// histogram scrapes a histogram: nil when it is absent.
func histogram(t *testing.T, r *exportertest.Running, name string) *dto.Histogram {
	t.Helper()
	if m := sample(t, r, name); m != nil {
		return m.Histogram
	}
	return nil
}

func sample(t *testing.T, r *exportertest.Running, name string) *dto.Metric {
	t.Helper()
	return find(r.Families(t), name)
}

func find(families []*dto.MetricFamily, name string) *dto.Metric {
	for _, mf := range families {
		for _, m := range mf.Metric {
			if exportertest.Name(mf.GetName(), m) == name {
				return m
			}
		}
	}
	return nil
}

// upTo is the cumulative count of a bound; ok is false when the bound is not there.
func upTo(h *dto.Histogram, bound float64) (n uint64, ok bool) {
	for _, b := range h.GetBucket() {
		if b.GetUpperBound() == bound {
			return b.GetCumulativeCount(), true
		}
	}
	return 0, false
}

// between fails when a value is not between two readings of the server, one before and one after.
func between(t *testing.T, what string, got, before, after float64) {
	t.Helper()
	if got < before || got > after {
		t.Errorf("%s = %v, want from %v to %v", what, got, before, after)
	}
}

// startedIn fails when a start timestamp is not that of the server with this uptime. The server reports whole seconds, to the exporter and to the test.
func startedIn(t *testing.T, what string, created time.Time, uptime func() float64) {
	t.Helper()
	before := seconds(time.Now())
	up := uptime()
	between(t, what, seconds(created), before-up-2, seconds(time.Now())-up+1)
}

func within(t *testing.T, what string, got, want, tolerance float64) {
	t.Helper()
	between(t, what, got, want-tolerance, want+tolerance)
}

func seconds(at time.Time) float64 { return float64(at.UnixNano()) / 1e9 }

// collect collects a target once, without an exporter around it.
func collect(t *testing.T, target exporter.Target) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	_, err := exporter.DryRun(ctx, catalog.Shipped(), catalog.SizesFor(10), target)
	return err
}

func okHandler(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "ok") }
