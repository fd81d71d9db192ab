package main

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/common/promslog"

	"github.com/consignwatch/consignwatch/pkg/platform"
	"github.com/consignwatch/consignwatch/pkg/platform/jobs"
	"github.com/consignwatch/consignwatch/pkg/servers"
	"github.com/consignwatch/consignwatch/pkg/servers/kafka"
	"github.com/consignwatch/consignwatch/pkg/servers/serverstest"
)

func TestBadFlagsAreToldAndEndIt(t *testing.T) {
	dsn := filepath.Join(t.TempDir(), "dsn")
	if err := os.WriteFile(dsn, []byte("user:secret@tcp(127.0.0.1:1)/platform\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for message, args := range map[string][]string{
		"required flag(s) '--dsn-file' not provided": nil,
		"read secret /no/such/file":                  {"--dsn-file=/no/such/file"},
		"it must be on the loopback interface":       {"--dsn-file=" + dsn, "--control-address=0.0.0.0:0"},
		"speed 1e+09":                                {"--dsn-file=" + dsn, "--speed=1e9"},
		"connection refused":                         {"--dsn-file=" + dsn, "--control-address=127.0.0.1:0"},
		"it must be on 127.0.0.1":                    {"--dsn-file=" + dsn, "--kafka-listen=0.0.0.0:0"},
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

func TestItEndsWithServersThatRun(t *testing.T) {
	server := serverstest.OwnMariaDB(t)
	admin := serverstest.Open(t, server.DSN(""))
	if _, err := admin.ExecContext(t.Context(), "CREATE DATABASE platform"); err != nil {
		t.Fatal(err)
	}
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
	ended, data := make(chan error, 1), t.TempDir()
	go func() {
		config := platform.Config{Logger: promslog.NewNopLogger(), Speed: 60, Timeout: time.Second, DatabaseDown: signals(server.PID())}
		ended <- withBroker(ctx, config, kafka.Config{Address: "127.0.0.1:0", Dir: data}, func(config platform.Config) error {
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
	for deadline := time.Now().Add(30 * time.Second); call("GET", "/-/ready") != 200; time.Sleep(20 * time.Millisecond) {
		select {
		case err := <-ended:
			t.Fatalf("it ended: %v", err)
		default:
		}
		if time.Now().After(deadline) {
			t.Fatal("not ready")
		}
	}
	var state platform.State
	for deadline := time.Now().Add(30 * time.Second); state.Jobs == nil || state.Jobs.Queues[jobs.Sync].Finished == 0; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("nobody works at the jobs: %+v", state.Jobs)
		}
		get("/state", &state)
	}
	if status := call("POST", "/pause"); status != 204 {
		t.Fatalf("pause: %d", status)
	}
	get("/state", &state)
	if state.Stream == nil || len(state.Stream.Brokers) != 1 || state.Stream.Acknowledged == 0 || state.Stream.Waiting != 0 {
		t.Errorf("state of the stream: %+v", state.Stream)
	}
	var books []platform.Sample
	get("/stream-books", &books)
	records := 0.0
	for _, s := range books {
		if s.Name == "consignwatch_records_total" {
			records += s.Value
		}
	}
	if records == 0 || state.Stream != nil && int64(records) != state.Stream.Acknowledged {
		t.Errorf("the books know of %g records, the state is %+v", records, state.Stream)
	}
	if status := call("POST", "/faults/broker-restart/on"); status != 204 {
		t.Fatalf("broker-restart: %d", status)
	}
	if status := call("POST", "/faults/database-down/on"); status != 204 {
		t.Fatalf("database-down: %d", status)
	}
	cancel()
	select {
	case err := <-ended:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(20 * time.Second):
		_ = server.Signal(syscall.SIGCONT)
		t.Fatal("it does not end")
	}
	if err := admin.PingContext(t.Context()); err != nil {
		t.Errorf("the database was left stopped: %v", err)
	}
}
