package system

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/redis/go-redis/v9"

	"github.com/consignwatch/consignwatch/pkg/catalog"
	"github.com/consignwatch/consignwatch/pkg/demo/servers"
	"github.com/consignwatch/consignwatch/pkg/demo/servers/serverstest"
	"github.com/consignwatch/consignwatch/pkg/exporter"
	"github.com/consignwatch/consignwatch/pkg/exporter/exportertest"
)

// faultTarget is the target of a fault.
type faultTarget struct {
	collector, target string
	up                string // series
	value             string // a series of its last good values
	own               string // a histogram that lives in the exporter
}

var (
	mysqlSubject = faultTarget{"mysql", "main", `consign_mysql_up{role="primary",server="main"}`, `consign_mysql_uptime_seconds{server="main"}`, `consign_mysql_ping_duration_seconds{server="main"}`}
	redisSubject = faultTarget{"redis", "cache", `consign_redis_up{essential="true",server="cache"}`, `consign_redis_max_clients{server="cache"}`, `consign_redis_operation_duration_seconds{operation="get",server="cache"}`}
)

func (f faultTarget) isUp(s map[string]float64) bool {
	_, value := s[f.value]
	return s[f.up] == 1 && value && s["consignwatch_collector_success"+collected(f.collector, f.target)] == 1
}

// runFault injects a fault and expects: up is 0 at once, the reason, values that vanish, status samples that stay, scrapes that
// never wait, and recovery without help.
func (f faultTarget) runFault(t *testing.T, r *exportertest.Running, reason string, begin, end func()) {
	t.Helper()
	failures := fmt.Sprintf(`consignwatch_collector_failures_total{collector=%q,reason=%q}`, f.collector, reason)
	before := r.Await(t, "everything is up before the fault", f.isUp)
	measured := histogram(t, r, f.own).GetSampleCount()
	begin()
	r.Await(t, "down, for the reason "+reason, func(s map[string]float64) bool {
		up, ok := s[f.up]
		return ok && up == 0 && s[failures] > before[failures] && s["consignwatch_collector_success"+collected(f.collector, f.target)] == 0
	})
	r.Await(t, "values vanish after max_age", func(s map[string]float64) bool { _, ok := s[f.value]; return !ok })
	if s := r.Series(t); s[f.up] != 0 {
		t.Errorf("up is %v during the fault", s[f.up])
	}
	// The samples of a late collection are missing for a moment; those of one that was lost stay missing while there is nothing to measure.
	r.Await(t, "what the exporter has measured itself is still there", func(map[string]float64) bool {
		return histogram(t, r, f.own).GetSampleCount() >= measured
	})
	answers(t, r) // before the fault ends
	end()
	r.Await(t, "everything is up again", f.isUp)
}

// answers scrapes the exporter.
func answers(t testing.TB, r *exportertest.Running) {
	t.Helper()
	if status, _ := r.Get(t, "/metrics"); status != 200 {
		t.Fatalf("/metrics answered %d", status)
	}
}

func signal(t *testing.T, p *servers.Process, s syscall.Signal) func() {
	return func() {
		t.Helper()
		if err := p.Signal(s); err != nil {
			t.Fatal(err)
		}
	}
}

func (f faultTarget) processFaults(t *testing.T, r *exportertest.Running, p *servers.Process) {
	t.Helper()
	f.runFault(t, r, "connection",
		func() {
			if err := p.Kill(); err != nil {
				t.Fatal(err)
			}
		},
		func() {
			if err := p.Restart(t.Context()); err != nil {
				t.Fatal(err)
			}
		})
	f.runFault(t, r, "timeout", signal(t, p, syscall.SIGSTOP), signal(t, p, syscall.SIGCONT))
}

func (f faultTarget) networkFaults(t *testing.T, r *exportertest.Running, w *exportertest.FaultProxy) {
	t.Helper()
	mode := func(m int32, cut bool) func() {
		return func() {
			w.Set(m)
			if cut {
				w.Cut()
			}
		}
	}
	f.runFault(t, r, "timeout", mode(exportertest.Blackhole, false), mode(exportertest.Forward, true)) // on the connection that is kept
	f.runFault(t, r, "timeout", mode(exportertest.Blackhole, true), mode(exportertest.Forward, true))  // on new ones
	f.runFault(t, r, "parse", mode(exportertest.Garbage, true), mode(exportertest.Forward, true))
	f.runFault(t, r, "connection", mode(exportertest.HangUp, true), mode(exportertest.Forward, true))
}

func TestTheDatabaseDiesHangsAndComesBack(t *testing.T) {
	t.Parallel()
	server := serverstest.OwnMariaDB(t)
	r := start(t, quick+mysqlConfig(t, server.DSN("")))
	r.Await(t, "everything is up", mysqlSubject.isUp)
	first := sample(t, r, `consign_mysql_queries_total{server="main"}`).Counter.GetCreatedTimestamp().AsTime()
	time.Sleep(2 * time.Second) // an uptime that differs from the next one's
	mysqlSubject.processFaults(t, r, server.Process)
	second := sample(t, r, `consign_mysql_queries_total{server="main"}`).Counter.GetCreatedTimestamp().AsTime()
	if second.Sub(first) < time.Second {
		t.Errorf("the counters begin at %v, as before the restart at %v", second, first)
	}
	startedIn(t, "start timestamp after the restart", second, func() float64 { return globalStatus(t, server.DSN(""))["Uptime"] })
}

func TestTheWireToTheDatabaseIsTroubled(t *testing.T) {
	t.Parallel()
	dsn := serverstest.MariaDB(t)
	c, err := mysql.ParseDSN(dsn)
	if err != nil {
		t.Fatal(err)
	}
	w := exportertest.NewFaultProxy(t, c.Addr)
	c.Addr = w.Address()
	r := start(t, quick+mysqlConfig(t, c.FormatDSN()))
	mysqlSubject.networkFaults(t, r, w)

	admin := serverstest.Open(t, dsn)
	execute(t, admin, "CREATE USER wire@'%' IDENTIFIED BY 'old-password'")
	t.Cleanup(func() { _, _ = admin.ExecContext(context.Background(), "DROP USER wire@'%'") })
	c.User, c.Passwd, c.DBName = "wire", "old-password", ""
	r = start(t, quick+mysqlConfig(t, c.FormatDSN()))
	mysqlSubject.runFault(t, r, "auth",
		func() {
			execute(t, admin, "ALTER USER wire@'%' IDENTIFIED BY 'new-password'")
			serverstest.DialectOf(t, admin).KillUser(t, "wire")
		},
		func() { execute(t, admin, "ALTER USER wire@'%' IDENTIFIED BY 'old-password'") })
	if _, page := r.Get(t, "/metrics"); strings.Contains(page+r.Log(), "old-password") {
		t.Error("the password was printed")
	}
}

// A server that was restarted between two collections has cut the connection that was kept. That is no failure.
func TestAConnectionThatWasCutIsReplacedWithoutAFailure(t *testing.T) {
	t.Parallel()
	dsn := serverstest.MariaDB(t)
	c, err := mysql.ParseDSN(dsn)
	if err != nil {
		t.Fatal(err)
	}
	cache := ownRedis(t)
	database, caches := exportertest.NewFaultProxy(t, c.Addr), exportertest.NewFaultProxy(t, cache.Address())
	c.Addr = database.Address()
	setup, err := load(exportertest.WriteFile(t, "config.yml", quick+mysqlConfig(t, c.FormatDSN())+redisConfig(caches.Address())), nil, silentLog())
	if err != nil {
		t.Fatal(err)
	}
	defer setup.Close()
	for range 5 { // without a schedule, so that no cut comes in the middle of a collection
		for _, c := range setup.Collectors {
			if err := collect(t, c.Targets()[0]); err != nil {
				t.Errorf("%s: %v", c.Name(), err)
			}
			database.Cut()
			caches.Cut()
		}
	}
}

func TestTheCacheDiesHangsAndComesBack(t *testing.T) {
	t.Parallel()
	server := ownRedis(t)
	r := start(t, quick+redisConfig(server.Address()))
	redisSubject.processFaults(t, r, server)
}

func TestTheWireToTheCacheIsTroubled(t *testing.T) {
	t.Parallel()
	server := ownRedis(t)
	w := exportertest.NewFaultProxy(t, server.Address())
	r := start(t, quick+redisConfig(w.Address()))
	redisSubject.networkFaults(t, r, w)

	admin := redisClient(t, &redis.Options{Addr: server.Address()})
	acl := func(args ...any) {
		t.Helper()
		if err := admin.Do(t.Context(), args...).Err(); err != nil {
			t.Fatal(err)
		}
	}
	acl("ACL", "SETUSER", "wire", "on", ">old-password", "~*", "+@all")
	r = start(t, fmt.Sprintf("%sredis: [{name: cache, address: '%s', username: wire, password_file: %s}]\n", quick, w.Address(), exportertest.WriteFile(t, "password", "old-password")))
	redisSubject.runFault(t, r, "auth",
		func() {
			acl("ACL", "SETUSER", "wire", "resetpass", ">new-password")
			acl("CLIENT", "KILL", "USER", "wire")
		},
		func() { acl("ACL", "SETUSER", "wire", ">old-password") })
	if _, page := r.Get(t, "/metrics"); strings.Contains(page+r.Log(), "old-password") {
		t.Error("the password was printed")
	}
}

func TestACacheBehindTLS(t *testing.T) {
	t.Parallel()
	server, ca := ownRedis(t), newAuthority(t)
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{ca.serve(t, time.Now().Add(time.Hour))}})
	if err != nil {
		t.Fatal(err)
	}
	w := exportertest.NewFaultProxyOn(t, l, server.Address())
	entry := func(name, tls string) string {
		return fmt.Sprintf("{name: %s, essential: true, address: '%s', tls: %s}", name, w.Address(), tls)
	}
	r := start(t, quick+"redis:\n - "+entry("cache", fmt.Sprintf("{ca_file: %s}", ca.file))+"\n - "+entry("stranger", "{}")+"\n")
	r.Await(t, "the one who knows the authority is well, the other one is not", func(s map[string]float64) bool {
		return redisSubject.isUp(s) && s[`consign_redis_up{essential="true",server="stranger"}`] == 0 && s[`consignwatch_collector_failures_total{collector="redis",reason="connection"}`] > 0
	})
}

// TestEverythingStartsWhileNothingIsThere is a whole platform that is down.
func TestEverythingStartsWhileNothingIsThere(t *testing.T) {
	t.Parallel()
	address := closedAddress(t)
	r := start(t, patient+mysqlConfig(t, "root@tcp("+address+")/")+redisConfig(address)+"probes: [{name: p, url: 'http://"+address+"/'}]\n")
	r.AwaitReady(t)
	s := r.Series(t)
	for _, up := range []string{mysqlSubject.up, redisSubject.up, `consign_probe_up{essential="true",probe="p"}`} {
		if v, ok := s[up]; !ok || v != 0 {
			t.Errorf("%s = %v, in the scrape response: %v; want 0", up, v, ok)
		}
	}
	for _, value := range []string{mysqlSubject.value, redisSubject.value} {
		if v, ok := s[value]; ok {
			t.Errorf("%s = %v of a server that never answered", value, v)
		}
	}
	answers(t, r)
}

// everythingHangs runs an exporter all of whose targets have received a request, and never respond.
func everythingHangs(t testing.TB) *exportertest.Running {
	t.Helper()
	hang := exportertest.NewFaultProxy(t, closedAddress(t)) // the server is never reached
	hang.Set(exportertest.Blackhole)
	r := start(t, "interval: 1h\ntimeout: 1h\n"+mysqlConfig(t, "root@tcp("+hang.Address()+")/?timeout=1h")+redisConfig(hang.Address())+
		"kafka: [{name: main, brokers: ['"+hang.Address()+"']}]\nprobes: [{name: p, url: 'http://"+hang.Address()+"/'}]\n")
	exportertest.Eventually(t, "all four are asked", func() bool { return hang.OpenConnections() == 4 }) // the cache on one connection
	return r
}

// TestAScrapeNeverWaits hangs every target for an hour: a scrape that waits for one of them never ends. (BenchmarkScrapeWhileEverythingHangs measures it.)
func TestAScrapeNeverWaits(t *testing.T) {
	t.Parallel()
	r := everythingHangs(t)
	for range 20 {
		answers(t, r)
	}
	for name := range r.Series(t) {
		if strings.HasPrefix(name, "consignwatch_collector_success") {
			t.Errorf("a collection has ended: %s", name)
		}
	}
}

// BenchmarkScrapeWhileEverythingHangs measures what is promised to take less than 50 ms.
func BenchmarkScrapeWhileEverythingHangs(b *testing.B) {
	r := everythingHangs(b)
	for b.Loop() {
		answers(b, r)
	}
}

// TestNothingIsLeftBehind goes through all faults twenty times, and counts goroutines and open files before and after.
func TestNothingIsLeftBehind(t *testing.T) {
	dsn := serverstest.MariaDB(t)
	c, err := mysql.ParseDSN(dsn)
	if err != nil {
		t.Fatal(err)
	}
	cache := ownRedis(t)
	site := newSite(t, okHandler, newAuthority(t).serve(t, time.Now().Add(time.Hour)))
	wires := []*exportertest.FaultProxy{exportertest.NewFaultProxy(t, c.Addr), exportertest.NewFaultProxy(t, cache.Address()), exportertest.NewFaultProxy(t, site.Listener.Addr().String())}
	c.Addr = wires[0].Address()
	config := fmt.Sprintf("interval: 1s\ntimeout: 100ms\nmysql: [{name: main, dsn_file: %s}]\nredis: [{name: cache, address: '%s'}]\nprobes: [{name: p, url: 'https://%s/', tls: {insecure_skip_verify: true}}]\n",
		exportertest.WriteFile(t, "dsn", c.FormatDSN()), wires[1].Address(), wires[2].Address())
	setup, err := load(exportertest.WriteFile(t, "config.yml", config), (&net.Dialer{}).DialContext, silentLog())
	if err != nil {
		t.Fatal(err)
	}
	closed := sync.OnceFunc(func() {
		if err := setup.Close(); err != nil {
			t.Error(err)
		}
	})
	defer closed()
	round := func(mode int32) (failures int) {
		for _, w := range wires {
			w.Set(mode)
			if mode != exportertest.Blackhole {
				w.Cut()
			}
		}
		var n atomic.Int64
		var all sync.WaitGroup
		for _, c := range setup.Collectors {
			for _, target := range c.Targets() {
				all.Go(func() {
					ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
					if mode != exportertest.Forward {
						ctx, cancel = context.WithTimeout(ctx, 100*time.Millisecond)
					}
					defer cancel()
					if _, err := exporter.DryRun(ctx, catalog.Shipped(), catalog.SizesFor(10), target); err != nil {
						n.Add(1)
					}
				})
			}
		}
		all.Wait()
		return int(n.Load())
	}
	cycle := func() {
		for _, mode := range []int32{exportertest.Blackhole, exportertest.Garbage, exportertest.HangUp} {
			if n := round(mode); n != 3 { // a probe does not fail: it finds
				t.Fatalf("%d of 3 collections failed in mode %d", n, mode)
			}
		}
		if n := round(exportertest.Forward); n != 0 {
			t.Fatalf("%d collections failed although everything is up", n)
		}
	}
	cycle()
	before := leftovers(t, 2*time.Second, 0, 0) // of what ends by itself, most has ended then
	for range 20 {
		cycle()
	}
	after := leftovers(t, time.Minute, before.goroutines, before.files)
	t.Logf("%+v before and %+v after 20 rounds of faults", before, after)
	if after.goroutines > before.goroutines || after.files > before.files {
		stacks := make([]byte, 1<<20)
		t.Errorf("before %+v, after %+v\n%s", before, after, stacks[:runtime.Stack(stacks, true)])
	}
	// Without the exporter, its two connections and what belongs to them are gone too.
	closed()
	if end := leftovers(t, time.Minute, before.goroutines-2, before.files-2); end.goroutines >= before.goroutines || end.files >= before.files {
		t.Errorf("before the end %+v, after it %+v", before, end)
	}
}

type leftover struct{ goroutines, files int }

// leftovers waits so long for at most so many to be left, and counts.
func leftovers(t *testing.T, patience time.Duration, goroutines, files int) leftover {
	t.Helper()
	var l leftover
	for range patience / (50 * time.Millisecond) {
		fds, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		l = leftover{runtime.NumGoroutine(), len(fds)}
		if l.goroutines <= goroutines && l.files <= files {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	return l
}

// TestGarbageDoesNotEatMemory answers with lengths that no answer has.
func TestGarbageDoesNotEatMemory(t *testing.T) {
	for _, answer := range []string{"*2147483647\r\n", "*99999999999999\r\n", "$2147483647\r\n", "%1073741823\r\n", strings.Repeat("*1\r\n", 100_000), "+" + strings.Repeat("x", 1<<20)} {
		address := listen(t, func(c net.Conn) { io.WriteString(c, answer) })
		setup, err := load(exportertest.WriteFile(t, "config.yml", redisConfig(address)), nil, silentLog())
		if err != nil {
			t.Fatal(err)
		}
		defer setup.Close()
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		err = collect(t, setup.Collectors[0].Targets()[0])
		runtime.ReadMemStats(&after)
		if err == nil {
			t.Errorf("%.20q was taken for an answer", answer)
		}
		if mb := (after.TotalAlloc - before.TotalAlloc) >> 20; mb > 50 {
			t.Errorf("%.20q took %d MB: %v", answer, mb, err)
		}
	}
}
