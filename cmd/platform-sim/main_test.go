package main

import (
	"bytes"
	"context"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/common/promslog"

	"github.com/consignwatch/consignwatch/pkg/platform"
	"github.com/consignwatch/consignwatch/pkg/servers"
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

func TestItEndsWithAServerThatRuns(t *testing.T) {
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
	ended := make(chan error, 1)
	go func() {
		ended <- simulate(ctx, platform.Config{
			Logger: promslog.NewNopLogger(), Speed: 60, Timeout: time.Second, DatabaseDown: signals(server.PID()),
		}, dsn, address)
	}()
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
