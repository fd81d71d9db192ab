package simulator

import (
	"context"
	"crypto/tls"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/google/go-cmp/cmp"
	"github.com/redis/go-redis/v9"

	"github.com/consignwatch/consignwatch/pkg/demo/servers"
	"github.com/consignwatch/consignwatch/pkg/demo/servers/serverstest"
	"github.com/consignwatch/consignwatch/simulator/faults"
	"github.com/consignwatch/consignwatch/simulator/infra/quota"
	"github.com/consignwatch/consignwatch/simulator/store"
	"github.com/consignwatch/consignwatch/simulator/world"
)

// infraConfig is the configuration of a platform with infrastructure on which enough happens within seconds.
func infraConfig() Config {
	return Config{Clients: 4, Events: 12, Items: 600, Seed: 3, Speed: 2000, Acceleration: 5, Tick: 20 * time.Millisecond}
}

// infraConfigWithServer is infraConfig with a database server that can be stopped, and an administrator's connection to it.
func infraConfigWithServer(t *testing.T) (Config, *servers.MariaDB, *sql.DB) {
	t.Helper()
	server := serverstest.OwnMariaDB(t)
	admin := serverstest.Open(t, server.DSN(""))
	if _, err := admin.ExecContext(t.Context(), "CREATE DATABASE platform"); err != nil {
		t.Fatal(err)
	}
	config := infraConfig()
	config.DSN = server.DSN("platform")
	config.DatabaseDown = func(down bool) error {
		if down {
			return server.Signal(syscall.SIGSTOP)
		}
		return server.Signal(syscall.SIGCONT)
	}
	return config, server, admin
}

// switchTwice switches a fault on or off twice; the second time changes nothing.
func switchTwice(t *testing.T, p *Platform, fault string, on bool) {
	t.Helper()
	do := p.Faults().Off
	if on {
		do = p.Faults().On
	}
	for range 2 {
		if err := do(t.Context(), fault, ""); err != nil {
			t.Fatal(err)
		}
	}
}

func count(p *Platform, name string, labels ...string) func() int {
	return func() int { return streamTruthOf(p, name, labels...) }
}

// grows waits until a number has grown by n.
func grows(t *testing.T, what string, number func() int, n int) {
	t.Helper()
	before := number()
	waitFor(t, what, func() bool { return number() >= before+n })
}

func TestAPIDownRefusesConnectionsAndVisitorsReportErrors(t *testing.T) {
	t.Parallel()
	config := infraConfig()
	config.APILimits = generousLimits()
	p, _ := startWithInfra(t, config)
	livePlatform(t, p)
	c := newAPIClient(t, p)
	c.get("/healthz", "", 200)
	switchTwice(t, p, faults.APIDown, true)
	c.CloseIdleConnections()
	if _, _, err := c.ask("GET", "/healthz", "", ""); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("it answers with %v", err)
	}
	flush(t, p)
	if n := count(p, "consign_app_crashes_total", "component", "api")(); n != 1 {
		t.Errorf("%d crashes told", n)
	}
	grows(t, "visitors who tell", count(p, "consign_errors_total", "kind", "crash", "component", "api"), 3)
	pause(t, p)
	compareStream(t, p)
	books, requests := p.Books(), requestsEmitted(p)
	p.Resume()
	grows(t, "more visitors", count(p, "consign_user_errors_total"), 20)
	pause(t, p)
	// Nobody can make a request. Synthetic ones of what still happens concern items that are transferred.
	for _, i := range p.Books().Items {
		if books.Items.Get(i.ID) == nil {
			requests["POST /api/items 201"]++
		}
	}
	for _, c := range p.Books().EventConsignors {
		if books.EventConsignors.Get(c.ID) == nil {
			requests["POST /api/events/{id}/consignors 201"]++
		}
	}
	if diff := cmp.Diff(requests, requestsEmitted(p)); diff != "" {
		t.Errorf("requests are emitted while nobody can make one (-want +got):\n%s", diff)
	}
	p.Resume()
	switchTwice(t, p, faults.APIDown, false)
	c.get("/healthz", "", 200)
	grows(t, "orders", count(p, "consign_api_requests_total", "route", "/api/orders", "code", "201"), 2)
	pause(t, p)
	compareStream(t, p)
}

// requestsEmitted counts the emitted requests by method, route and code.
func requestsEmitted(p *Platform) map[string]int {
	emitted := map[string]int{}
	for _, s := range p.StreamTruth() {
		if s.Name == "consign_api_requests_total" {
			emitted[s.Labels["method"]+" "+s.Labels["route"]+" "+s.Labels["code"]] += int(s.Value)
		}
	}
	return emitted
}

// The latency itself is tested in virtual time (simulator/infra/api). Here it exceeds every timeout.
func TestAPISlowDelaysEachRequest(t *testing.T) {
	t.Parallel()
	config := infraConfig()
	config.APILimits = generousLimits()
	config.APILimits.Delay = time.Hour
	p, _ := startWithInfra(t, config)
	c := newAPIClient(t, p)
	c.get("/healthz", "", 200)
	switchTwice(t, p, faults.APISlow, true)
	c.Timeout = time.Second
	if status, body, err := c.ask("GET", "/healthz", "", ""); err == nil {
		t.Errorf("a slow request is answered within %s: %d %s", c.Timeout, status, body)
	}
	c.Timeout = patience
	switchTwice(t, p, faults.APISlow, false)
	c.get("/healthz", "", 200)
}

func TestPoolExhaustionAnswers503AndRecovers(t *testing.T) {
	t.Parallel()
	p, _ := startWithInfra(t, infraConfig())
	livePlatform(t, p)
	c := newAPIClient(t, p)
	slug := p.State().Clients[0]
	c.healthy()
	switchTwice(t, p, faults.PoolExhausted, true)
	stats := p.infra.API().Pool().Stats()
	if stats.MaxOpenConnections == 0 || stats.InUse != stats.MaxOpenConnections {
		t.Errorf("%d of %d connections are in use", stats.InUse, stats.MaxOpenConnections)
	}
	begun := time.Now()
	if body := string(c.get("/healthz", "", 503)); !strings.Contains(body, "no connection within 1s") {
		t.Errorf("it answers %s", body)
	}
	if d := time.Since(begun); d < 900*time.Millisecond {
		t.Errorf("the request waited for %s only", d)
	}
	c.get("/api/tickets", slug, 503)
	waitFor(t, "waits", func() bool { return p.infra.API().Pool().Stats().WaitCount > stats.WaitCount+5 })
	grows(t, "visitors who get a 503", count(p, "consign_errors_total", "kind", "database", "component", "api"), 3)
	p.emitter.EmitGauges()
	pause(t, p)
	found := false
	for _, r := range compareStream(t, p) {
		e, err := parseEvent(r)
		if err != nil {
			t.Fatal(err)
		}
		if e.Type == "consign.db.pool" && e.Data["pool"] == "api" {
			if e.Source != "/api/1" {
				t.Errorf("%s tells of the API's pool", e.Source)
			}
			waits, _ := strconv.Atoi(fmt.Sprint(e.Data["waits"]))
			found = found || fmt.Sprintf("%v %v %v", e.Data["in_use"], e.Data["idle"], e.Data["max"]) == "10 0 10" && waits > 0
		}
	}
	if !found {
		t.Error("nobody tells that the pool is exhausted")
	}
	p.Resume()
	switchTwice(t, p, faults.PoolExhausted, false)
	c.healthy()
	waitFor(t, "connections that are given back", func() bool {
		stats := p.infra.API().Pool().Stats()
		return stats.InUse < stats.MaxOpenConnections
	})
}

// status returns a number of SHOW GLOBAL STATUS.
func status(t *testing.T, db *sql.DB, name string) func() int {
	return func() int {
		t.Helper()
		var n int
		if err := db.QueryRowContext(t.Context(), "SHOW GLOBAL STATUS LIKE '"+name+"'").Scan(new(string), &n); err != nil {
			t.Fatal(err)
		}
		return n
	}
}

func TestSlowQueriesAreSlowOnTheServer(t *testing.T) {
	t.Parallel()
	config, _, db := infraConfigWithServer(t) // the server's status is global
	config.APILimits = generousLimits()
	p, cache := startWithInfra(t, config)
	c := newAPIClient(t, p)
	slow := status(t, db, "Slow_queries")
	c.get("/api/sync", p.State().Clients[0], 200)
	fine := c.get("/api/tickets", p.State().Clients[1], 200)
	before := slow()
	switchTwice(t, p, faults.SlowQueries, true)
	for range 3 {
		c.get("/healthz", "", 200)
	}
	if n := slow() - before; n != 3 {
		t.Errorf("the server counts %d slow queries", n)
	}
	flush(t, p)
	if sum := streamSum(p, "consign_db_query_duration_seconds_sum", "table", "clients"); sum < 0.9 {
		t.Errorf("three queries took %g seconds", sum)
	}
	p.infra.API().Pool().SetMaxIdleConns(1) // the slow connection is the one that is reused
	switchTwice(t, p, faults.SlowQueries, false)
	before = slow()
	for range 3 {
		c.get("/healthz", "", 200)
	}
	if n := slow() - before; n != 0 {
		t.Errorf("the server counts %d slow queries afterwards", n)
	}
	switchTwice(t, p, faults.SlowQueries, true)
	if err := cache.FlushAll(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(fine), string(c.get("/api/tickets", p.State().Clients[1], 200))); diff != "" {
		t.Errorf("a slow query finds something else (-fast +slow):\n%s", diff)
	}
}

func streamSum(p *Platform, name string, labels ...string) float64 {
	for _, s := range p.StreamTruth() {
		if s.Name == name && s.Labels[labels[0]] == labels[1] {
			return s.Value
		}
	}
	return 0
}

func TestDeadlocksAreTheServersOwn(t *testing.T) {
	t.Parallel()
	config, _, _ := infraConfigWithServer(t) // the server's status is global
	p, db := filled(t, config)
	dialect := serverstest.DialectOf(t, db)
	deadlocks := func() int { return dialect.Deadlocks(t) }
	tables := func() int {
		var n int
		if err := db.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name = 'platform_sim_deadlocks'").Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	before := deadlocks()
	switchTwice(t, p, faults.Deadlocks, true)
	waitFor(t, "deadlocks", func() bool { return deadlocks() >= before+6 })
	running := p.tasks.Running(faults.Deadlocks)
	switchTwice(t, p, faults.Deadlocks, false)
	checkEnded(t, running) // no further deadlocks
	if tables() != 0 {
		t.Error("the table is left")
	}
}

// checkEnded checks that a task has ended.
func checkEnded(t *testing.T, done <-chan struct{}) {
	t.Helper()
	select {
	case <-done:
	default:
		t.Error("it goes on")
	}
}

func TestAReadOnlyDatabaseLetsLifeWait(t *testing.T) {
	t.Parallel()
	config, server, admin := infraConfigWithServer(t)
	p, db := filled(t, config)
	livePlatform(t, p)
	readOnly := func() (on bool) {
		if err := admin.QueryRowContext(t.Context(), "SELECT @@GLOBAL.read_only").Scan(&on); err != nil {
			t.Fatal(err)
		}
		return on
	}
	users := func() (n int) {
		if err := admin.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM mysql.user WHERE User LIKE 'platform_sim_%'").Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	lives := func() {
		t.Helper()
		changes := p.State().Changes
		waitFor(t, "life to go on", func() bool { return p.State().Changes > changes+5 && p.State().Failing == "" })
	}
	lives()
	switchTwice(t, p, faults.DatabaseReadOnly, true)
	if !readOnly() {
		t.Error("the server takes writes")
	}
	waitFor(t, "life to notice", func() bool { return strings.Contains(p.State().Failing, "read-only") })
	refused := p.State()
	waitFor(t, "life to try again and again", func() bool { return p.State().Failures > refused.Failures+2 })
	if n := p.State().Changes; n != refused.Changes {
		t.Errorf("%d changes of a server that takes none", n-refused.Changes)
	}
	// A restarted server has lost the setting.
	if err := server.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := server.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the server to be read-only again", readOnly)
	switchTwice(t, p, faults.DatabaseReadOnly, false)
	if readOnly() || users() != 0 {
		t.Errorf("afterwards: read-only %t, %d users are left", readOnly(), users())
	}
	lives()
	pause(t, p)
	compareTables(t, p.Books(), db)
	p.Resume()

	// Both switches while the server hangs: the last one wins.
	p.tasks.Timeout = time.Second
	if err := p.Faults().On(t.Context(), faults.DatabaseDown, ""); err != nil {
		t.Fatal(err)
	}
	if err := p.Faults().On(t.Context(), faults.DatabaseReadOnly, ""); err != nil {
		t.Errorf("on while the server hangs: %v", err)
	}
	if err := p.Faults().Off(t.Context(), faults.DatabaseReadOnly, ""); err != nil && !errors.Is(err, faults.ErrStillBroken) {
		t.Errorf("off while the server hangs: %v", err)
	}
	p.tasks.Timeout = patience
	if err := p.Faults().ServersUp(); err != nil {
		t.Fatal(err)
	}
	if readOnly() || users() != 0 || len(p.State().Faults) > 0 {
		t.Errorf("at the end: read-only %t, %d users are left, faults %v", readOnly(), users(), p.State().Faults)
	}
	lives()
}

func TestCacheDownLetsTheDatabaseAnswer(t *testing.T) {
	t.Parallel()
	p, cache := startWithInfra(t, infraConfig())
	livePlatform(t, p)
	c := newAPIClient(t, p)
	slug := p.State().Clients[0]
	c.get("/api/sync", slug, 200)
	switchTwice(t, p, faults.CacheDown, true)
	if body := string(c.get("/healthz", "", 503)); !strings.Contains(body, "cache: ") || !strings.Contains(body, `"database":"ok"`) {
		t.Errorf("it answers %s", body)
	}
	c.get("/api/sync", slug, 200)
	grows(t, "errors of the cache", count(p, "consign_cache_operations_total", "operation", "get", "result", "error"), 3)
	grows(t, "recoveries", count(p, "consign_recoveries_total", "mechanism", "fallback", "component", "cache", "outcome", "succeeded"), 3)
	switchTwice(t, p, faults.CacheDown, false)
	if err := cache.Ping(t.Context()).Err(); err != nil {
		t.Error(err)
	}
	c.healthy()
	grows(t, "hits", count(p, "consign_cache_operations_total", "operation", "get", "result", "hit"), 5)
	pause(t, p)
	compareStream(t, p)
}

func TestACacheThatEvictsIsRepaired(t *testing.T) {
	t.Parallel()
	p, cache := startWithInfra(t, infraConfig())
	if err := cache.ConfigSet(t.Context(), "maxmemory", "104857600").Err(); err != nil {
		t.Fatal(err)
	}
	settings := func() map[string]string {
		t.Helper()
		all, err := cache.ConfigGet(t.Context(), "maxmemory*").Result()
		if err != nil {
			t.Fatal(err)
		}
		return all
	}
	was := settings()
	if err := cache.Set(t.Context(), "api:kept", "x", time.Hour).Err(); err != nil {
		t.Fatal(err)
	}
	switchTwice(t, p, faults.CacheEvicting, true)
	evicted := func() int { return info(t, cache, "stats", "evicted_keys") }
	grows(t, "evicted keys", evicted, 100)
	if s := settings(); s["maxmemory-policy"] != "allkeys-lru" || s["maxmemory"] == was["maxmemory"] {
		t.Errorf("settings: %v", s)
	}
	running := p.tasks.Running(faults.CacheEvicting)
	switchTwice(t, p, faults.CacheEvicting, false)
	checkEnded(t, running) // no further evictions
	if diff := cmp.Diff(was, settings()); diff != "" {
		t.Errorf("settings (-before +after):\n%s", diff)
	}
	if keys, err := cache.Keys(t.Context(), "platform-sim:filler:*").Result(); err != nil || len(keys) > 0 {
		t.Errorf("%d keys are left, %v", len(keys), err)
	}
	// Both switches while Redis hangs: the last one wins.
	p.tasks.Timeout = time.Second
	switchOn(t, p, faults.CacheDown)
	switchOn(t, p, faults.CacheEvicting)
	if err := p.Faults().Off(t.Context(), faults.CacheEvicting, ""); err != nil && !errors.Is(err, faults.ErrStillBroken) {
		t.Errorf("off while Redis hangs: %v", err)
	}
	p.tasks.Timeout = patience
	if err := p.Faults().ServersUp(); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(was, settings()); diff != "" || len(p.State().Faults) > 0 {
		t.Errorf("at the end: faults %v, settings (-before +after):\n%s", p.State().Faults, diff)
	}
}

func TestACertificateThatExpiresIsShown(t *testing.T) {
	t.Parallel()
	p, _ := startWithInfra(t, infraConfig())
	left := func() time.Duration {
		t.Helper()
		conn, err := tls.Dial("tcp", strings.TrimPrefix(p.State().API, "https://"), p.infra.API().Authority().Client())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		return time.Until(conn.ConnectionState().PeerCertificates[0].NotAfter).Round(time.Hour)
	}
	if d := left(); d < 80*24*time.Hour {
		t.Errorf("%s left at the beginning", d)
	}
	switchTwice(t, p, faults.CertificateExpiring, true)
	if d := left(); d != 5*24*time.Hour {
		t.Errorf("%s left", d)
	}
	newAPIClient(t, p).get("/healthz", "", 200)
	switchTwice(t, p, faults.CertificateExpiring, false)
	if d := left(); d < 80*24*time.Hour {
		t.Errorf("%s left afterwards", d)
	}
}

func TestTheDiskFillsAndIsEmptiedAgain(t *testing.T) {
	t.Parallel()
	config := infraConfig()
	config.Disk = quota.Config{Dir: t.TempDir() + "/srv", Quota: 16 << 20}
	p, _ := filled(t, config)
	livePlatform(t, p)
	used := func() float64 {
		t.Helper()
		const block = 4096
		bytes := int64(0)
		if err := filepath.WalkDir(config.Disk.Dir, func(_ string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() {
				return err
			}
			if info, err := entry.Info(); err == nil { // otherwise it was deleted meanwhile
				bytes += (info.Size() + block - 1) / block * block
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		return float64(bytes) / float64(16<<20)
	}
	waitFor(t, "images", func() bool { return used() > 0.02 })
	switchTwice(t, p, faults.DiskFilling, true)
	waitFor(t, "a full disk", func() bool { return used() >= 0.96 })
	if u := used(); u > 1 {
		t.Errorf("%.3f of the quota is used", u)
	}
	switchTwice(t, p, faults.DiskFilling, false)
	waitFor(t, "room again", func() bool { return used() < 0.7 })
	if used() == 0 {
		t.Error("the images are gone, too")
	}
}

func TestFaultsOfAbsentInfrastructureAreRefused(t *testing.T) {
	t.Parallel()
	p, _ := filled(t, Config{})
	for fault, want := range map[string]error{
		faults.APIDown: faults.ErrNoAPI, faults.APISlow: faults.ErrNoAPI, faults.PoolExhausted: faults.ErrNoAPI, faults.SlowQueries: faults.ErrNoAPI, faults.CertificateExpiring: faults.ErrNoAPI,
		faults.CacheDown: faults.ErrNoCache, faults.CacheEvicting: faults.ErrNoCache, faults.DiskFilling: faults.ErrNoDisk,
	} {
		if err := p.Faults().On(t.Context(), fault, ""); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", fault, err, want)
		}
	}
	plain, _ := filled(t, Config{Infra: Infra{API: "http://127.0.0.1:0", Cache: "127.0.0.1:1"}})
	for fault, want := range map[string]error{faults.CertificateExpiring: faults.ErrNoCertificate, faults.CacheDown: faults.ErrNoCacheServer} {
		if err := plain.Faults().On(t.Context(), fault, ""); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", fault, err, want)
		}
	}
	if on := append(p.State().Faults, plain.State().Faults...); len(on) > 0 {
		t.Errorf("faults that are on: %v", on)
	}
}

func TestADatabaseThatRefusesToBeChangedIsReported(t *testing.T) {
	t.Parallel()
	dsn, err := mysql.ParseDSN(serverstest.MariaDB(t))
	if err != nil {
		t.Fatal(err)
	}
	admin := serverstest.Open(t, dsn.FormatDSN())
	for _, statement := range []string{"CREATE USER app@'127.0.0.1' IDENTIFIED BY 'app'", "GRANT ALL ON " + dsn.DBName + ".* TO app@'127.0.0.1'"} {
		if _, err := admin.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() {
		if _, err := admin.ExecContext(context.WithoutCancel(t.Context()), "DROP USER app@'127.0.0.1'"); err != nil {
			t.Error(err)
		}
	})
	dsn.User, dsn.Passwd = "app", "app"
	p, db := filled(t, Config{DSN: dsn.FormatDSN()})
	var refused *mysql.MySQLError
	if err := p.Faults().On(t.Context(), faults.DatabaseReadOnly, ""); !errors.As(err, &refused) {
		t.Errorf("it says %v", err)
	}
	if on := p.State().Faults; len(on) > 0 {
		t.Errorf("faults that are on: %v", on)
	}
	if err := p.Do(t.Context(), "rename", func(b *world.Books, c *store.Change) error {
		client := b.Clients[0]
		client.Name = "Renamed"
		c.Update(client)
		return nil
	}); err != nil {
		t.Errorf("life cannot write any more: %v", err)
	}
	compareTables(t, p.Books(), db)
}

// Faults can be switched on and off while the database hangs.
func TestFaultsCanBeSwitchedWhileTheDatabaseHangs(t *testing.T) {
	t.Parallel()
	config, _, _ := infraConfigWithServer(t)
	config.Timeout = time.Second // the API's, for a query
	p, _ := startWithInfra(t, config)
	c := newAPIClient(t, p)
	switchOn(t, p, faults.DatabaseDown)
	p.tasks.Timeout = time.Second
	names := []string{faults.PoolExhausted, faults.SlowQueries, faults.Deadlocks, faults.CacheEvicting, faults.CertificateExpiring, faults.APISlow, faults.APIDown}
	var all sync.WaitGroup
	for _, fault := range names {
		all.Go(func() {
			if err := p.Faults().On(t.Context(), fault, ""); err != nil {
				t.Errorf("%s on: %v", fault, err)
			}
			if err := p.Faults().Off(t.Context(), fault, ""); err != nil && !errors.Is(err, faults.ErrStillBroken) {
				t.Errorf("%s off: %v", fault, err)
			}
		})
	}
	all.Wait()
	p.tasks.Timeout = patience
	if body := string(c.get("/healthz", "", 503)); !strings.Contains(body, `"cache":"ok"`) || !strings.Contains(body, `"database":"database: `) {
		t.Errorf("it answers %s", body)
	}
	if err := p.Faults().ServersUp(); err != nil {
		t.Error(err)
	}
	if on := p.State().Faults; len(on) > 0 {
		t.Errorf("faults that are on: %v", on)
	}
	c.healthy()
}

// Redis is up and refuses the command: the fault fails immediately.
func TestACacheThatRefusesToBeChangedIsReported(t *testing.T) {
	t.Parallel()
	p, cache := startWithInfra(t, infraConfig())
	if err := cache.Do(t.Context(), "ACL", "SETUSER", "default", "-config").Err(); err != nil {
		t.Fatal(err)
	}
	var refused redis.Error
	if err := p.Faults().On(t.Context(), faults.CacheEvicting, ""); !errors.As(err, &refused) {
		t.Errorf("it says %v", err)
	}
	if on := p.State().Faults; len(on) > 0 {
		t.Errorf("faults that are on: %v", on)
	}
}

// All faults at once, repeatedly: afterwards every server is as before.
func TestManySwitchesAtOnce(t *testing.T) {
	t.Parallel()
	config := infraConfig()
	config.Disk = quota.Config{Dir: t.TempDir(), Quota: 8 << 20}
	p, cache := startWithInfra(t, config)
	livePlatform(t, p)
	var all sync.WaitGroup
	for _, fault := range []string{faults.APIDown, faults.APISlow, faults.PoolExhausted, faults.SlowQueries, faults.Deadlocks, faults.CacheDown, faults.CertificateExpiring, faults.DiskFilling} {
		all.Go(func() {
			for range 2 {
				if err := p.Faults().On(t.Context(), fault, ""); err != nil {
					t.Errorf("%s: %v", fault, err)
				}
				if err := p.Faults().Off(t.Context(), fault, ""); err != nil {
					t.Errorf("%s: %v", fault, err)
				}
			}
		})
	}
	all.Wait()
	if err := p.Faults().AllOff(t.Context()); err != nil || len(p.State().Faults) > 0 {
		t.Errorf("%v, faults that are on: %v", err, p.State().Faults)
	}
	if err := cache.Ping(t.Context()).Err(); err != nil {
		t.Error(err)
	}
	c := newAPIClient(t, p)
	c.healthy()
	pause(t, p)
	compareStream(t, p)
}

func TestTheDocumentationNamesEveryFault(t *testing.T) {
	t.Parallel()
	p, err := New(Config{DSN: "nobody@tcp(127.0.0.1:1)/nothing"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() })
	page, err := os.ReadFile("../docs/demo.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, fault := range p.Faults().Names() {
		if !strings.Contains(string(page), "`"+fault+"`") {
			t.Errorf("docs/demo.md does not name %s", fault)
		}
	}
}
