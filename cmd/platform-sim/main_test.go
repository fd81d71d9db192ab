package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/common/promslog"
	"github.com/redis/go-redis/v9"

	"github.com/consignwatch/consignwatch/pkg/demo/servers"
	"github.com/consignwatch/consignwatch/pkg/demo/servers/kafka"
	"github.com/consignwatch/consignwatch/pkg/demo/servers/serverstest"
	"github.com/consignwatch/consignwatch/simulator"
	"github.com/consignwatch/consignwatch/simulator/infra/quota"
	"github.com/consignwatch/consignwatch/simulator/jobs"
	"github.com/consignwatch/consignwatch/simulator/oracle"
)

func TestBadFlagsAreReportedAndEndTheProgram(t *testing.T) {
	t.Parallel()
	dsn := filepath.Join(t.TempDir(), "dsn")
	if err := os.WriteFile(dsn, []byte("user:secret@tcp(127.0.0.1:1)/platform\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for message, args := range map[string][]string{
		"required flag(s) '--dsn-file' not provided": nil,
		"read secret /no/such/file":                  {"--dsn-file=/no/such/file"},
		"it must be on the loopback interface":       {"--dsn-file=" + dsn, "--control-address=0.0.0.0:0"},
		"address of the external services":           {"--dsn-file=" + dsn, "--external-services-address=0.0.0.0:0"},
		"speed 1e+09":                                {"--dsn-file=" + dsn, "--speed=1e9"},
		"connection refused":                         {"--dsn-file=" + dsn, "--control-address=127.0.0.1:0"},
		"it must be on 127.0.0.1":                    {"--dsn-file=" + dsn, "--kafka-listen=0.0.0.0:0"},
		"host:port, or http://host:port":             {"--dsn-file=" + dsn, "--api-address=nonsense"},
		"a quota of 5 bytes":                         {"--dsn-file=" + dsn, "--disk-dir=" + t.TempDir(), "--disk-quota=5"},
		"--create-topics needs the brokers":          {"--dsn-file=" + dsn, "--create-topics"},
		"the platform has no API":                    {"--dsn-file=" + dsn, "--stream=127.0.0.1:1", "--api-address="},
		"there are no external services":             {"--dsn-file=" + dsn, "--kafka-listen=127.0.0.1:0", "--external-services-address="},
		"either --stream or --kafka-listen":          {"--dsn-file=" + dsn, "--kafka-listen=127.0.0.1:0", "--stream=127.0.0.1:1"},
	} {
		var out, errs bytes.Buffer
		if status := run(args, &out, &errs); status != 1 || !strings.Contains(errs.String(), message) {
			t.Errorf("%v: status %d, %q; want %q", args, status, errs.String(), message)
		}
		if strings.Contains(errs.String(), "secret@") {
			t.Errorf("%v: it prints the password", args)
		}
	}
}

func TestServersRunWhenTheSimulatorHasEnded(t *testing.T) {
	t.Parallel()
	server := serverstest.OwnMariaDB(t)
	admin := serverstest.Open(t, server.DSN(""))
	if _, err := admin.ExecContext(t.Context(), "CREATE DATABASE platform"); err != nil {
		t.Fatal(err)
	}
	cache, err := servers.StartRedis(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cache.Kill() })
	dsn := filepath.Join(t.TempDir(), "dsn")
	if err := os.WriteFile(dsn, []byte(server.DSN("platform")), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	address, err := servers.FreeAddress()
	if err != nil {
		t.Fatal(err)
	}
	ended, data, images := make(chan error, 1), t.TempDir(), t.TempDir()
	infra := simulator.Infra{
		API: "127.0.0.1:0", APICertificates: t.TempDir(), Cache: cache.Address(), CacheDown: signals("cache", cache.PID()),
		Disk: quota.Config{Dir: images, Quota: 4 << 20},
	}
	go func() {
		config := simulator.Config{
			Logger: promslog.NewNopLogger(), Speed: 60, Timeout: time.Minute, DatabaseDown: signals("database", server.PID()), Infra: infra, ExternalServices: "127.0.0.1:0",
		}
		ended <- withBroker(ctx, config, kafka.Config{Address: "127.0.0.1:0", Dir: data}, func(config simulator.Config) error {
			return simulate(ctx, config, dsn, address)
		})
	}()
	get := func(path string, into any) {
		t.Helper()
		response, err := http.Get("http://" + address + path)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		if err := json.NewDecoder(response.Body).Decode(into); err != nil {
			t.Fatal(err)
		}
	}
	call := func(method, path string) int {
		request, err := http.NewRequestWithContext(t.Context(), method, "http://"+address+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			return 0
		}
		defer response.Body.Close()
		return response.StatusCode
	}
	var state simulator.State
	lives := func() bool { // and has published events
		if call("GET", "/-/ready") != 200 {
			return false
		}
		get("/state", &state)
		return state.Stream != nil && state.Stream.Acknowledged > 0
	}
	for deadline := time.Now().Add(2 * time.Minute); !lives(); time.Sleep(20 * time.Millisecond) {
		select {
		case err := <-ended:
			t.Fatalf("it ended: %v", err)
		default:
		}
		if time.Now().After(deadline) {
			t.Fatal("not ready")
		}
	}
	for deadline := time.Now().Add(2 * time.Minute); state.Jobs == nil || state.Jobs.Queues[jobs.Sync].Finished == 0; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("nobody works at the jobs: %+v", state.Jobs)
		}
		get("/state", &state)
	}
	if status := call("POST", "/pause"); status != 204 {
		t.Fatalf("pause: %d", status)
	}
	get("/state", &state)
	if len(state.Stream.Brokers) != 1 || state.Stream.Waiting != 0 {
		t.Errorf("state of the stream: %+v", state.Stream)
	}
	if state.Cache != cache.Address() || state.Disk != images || !strings.HasPrefix(state.API, "https://127.0.0.1:") || filepath.Base(state.APICA) != "ca.pem" {
		t.Errorf("state of the machinery: %+v", state.State)
	}
	var expected []oracle.Sample
	get("/expected-stream-samples", &expected)
	records := 0.0
	for _, s := range expected {
		if s.Name == "consignwatch_records_total" {
			records += s.Value
		}
	}
	if records == 0 || int64(records) != state.Stream.Acknowledged {
		t.Errorf("%g records are expected, the state is %+v", records, state.Stream)
	}
	for _, fault := range []string{
		"pool-exhausted", "deadlocks", "database-read-only", "cache-evicting", "disk-filling", "api-down", "cache-down", "broker-restart", "database-down",
	} {
		if status := call("POST", "/faults/"+fault+"/on"); status != 204 {
			t.Fatalf("%s: %d", fault, status)
		}
	}
	cancel()
	select {
	case err := <-ended:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(2 * time.Minute):
		_ = server.Signal(syscall.SIGCONT)
		t.Fatal("it does not end")
	}
	if err := admin.PingContext(t.Context()); err != nil {
		t.Errorf("the database was left stopped: %v", err)
	}
	var readOnly, users int
	if err := admin.QueryRowContext(t.Context(), "SELECT @@GLOBAL.read_only, (SELECT COUNT(*) FROM mysql.user WHERE User LIKE 'platform_sim%')").Scan(&readOnly, &users); err != nil {
		t.Fatal(err)
	}
	if readOnly != 0 || users != 0 {
		t.Errorf("the database was left with read_only = %d and %d users", readOnly, users)
	}
	redis := redis.NewClient(&redis.Options{Addr: cache.Address()})
	defer redis.Close()
	if settings, err := redis.ConfigGet(t.Context(), "maxmemory*").Result(); err != nil || settings["maxmemory"] != "0" || settings["maxmemory-policy"] != "noeviction" {
		t.Errorf("the cache was left with %v, %v", settings, err)
	}
	if ballast, err := os.ReadDir(filepath.Join(images, "ballast")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("ballast was left: %v, %v", ballast, err)
	}
}
