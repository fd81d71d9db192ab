package main

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/consignwatch/consignwatch/pkg/demo/servers"
	"github.com/consignwatch/consignwatch/pkg/demo/servers/serverstest"
	"github.com/consignwatch/consignwatch/pkg/demo/statefile"
	"github.com/consignwatch/consignwatch/pkg/recording"
)

func TestMain(m *testing.M) { os.Exit(serverstest.Main(m)) }

// findIncident returns the incident with the name.
func findIncident(t *testing.T, name string) incident {
	t.Helper()
	for _, i := range incidents() {
		if i.name == name {
			return i
		}
	}
	t.Fatalf("there is no incident %s", name)
	return incident{}
}

// demoState is the state of a demo with this database.
func demoState(t *testing.T, server *servers.MariaDB, database string) statefile.State {
	t.Helper()
	file := filepath.Join(t.TempDir(), "dsn")
	if err := os.WriteFile(file, []byte(server.DSN(database)+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return statefile.State{DSNFile: file}
}

func TestTablesAreLockedWhileTheFaultIsOn(t *testing.T) {
	server := serverstest.OwnMariaDB(t)
	admin := serverstest.Open(t, server.DSN(""))
	for _, s := range []string{"CREATE DATABASE platform", "CREATE TABLE platform.items (id INT)", "CREATE TABLE platform.sales (id INT)", "CREATE TABLE platform.events (id INT)"} {
		if _, err := admin.ExecContext(t.Context(), s); err != nil {
			t.Fatal(err)
		}
	}
	reader := serverstest.Open(t, server.DSN("platform")+"&lock_wait_timeout=1")
	read := func(table string) error {
		var n int
		return reader.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM "+table).Scan(&n)
	}
	locked := findIncident(t, "tables-locked")
	if err := locked.on(t.Context(), demoState(t, server, "platform")); err != nil {
		t.Fatal(err)
	}
	for _, table := range []string{"items", "sales"} {
		if err := read(table); err == nil || !strings.Contains(err.Error(), "1205") {
			t.Errorf("%s: %v, want error 1205: lock wait timeout", table, err)
		}
	}
	if err := read("events"); err != nil {
		t.Errorf("another table: %v", err)
	}
	if err := locked.off(t.Context(), statefile.State{}); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(time.Minute); read("items") != nil; {
		if time.Now().After(deadline) {
			t.Fatal("the table is still locked")
		}
	}
}

func TestNoConnectionIsLeftWhileTheFaultIsOn(t *testing.T) {
	server := serverstest.OwnMariaDB(t, "--max-connections=12")
	connects := func() error {
		db := serverstest.Open(t, server.DSN(""))
		defer db.Close()
		return db.PingContext(t.Context())
	}
	usedUp := findIncident(t, "connections-used-up")
	if err := usedUp.on(t.Context(), demoState(t, server, "")); err != nil {
		t.Fatal(err)
	}
	if err := connects(); err == nil || !strings.Contains(err.Error(), "1040") {
		t.Errorf("%v, want error 1040: too many connections", err)
	}
	if err := usedUp.off(t.Context(), statefile.State{}); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(time.Minute); connects() != nil; {
		if time.Now().After(deadline) {
			t.Fatal("there is no connection yet")
		}
	}
}

func TestASignalGoesToThePartThatIsNamed(t *testing.T) {
	if err := sendSignal("business-exporter", syscall.SIGCONT)(t.Context(), statefile.State{Parts: []statefile.Part{{Name: "business-exporter", PID: os.Getpid()}}}); err != nil {
		t.Error(err)
	}
	if err := sendSignal("business-exporter", syscall.SIGCONT)(t.Context(), statefile.State{}); err == nil || err.Error() != "the demo has no part business-exporter" {
		t.Errorf("without the part: %v", err)
	}
}

// A recording has no names of the machine that it was made on, so that all recordings have the same series.
func TestNamesOfTheMachineAreReplaced(t *testing.T) {
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	names, err := newAnonymizer(statefile.State{Folder: "/tmp/demo-123", Parts: []statefile.Part{{Name: "alertmanager", Address: "127.0.0.1:2421"}, {Name: "node_exporter", Address: "127.0.0.1:24216"}}})
	if err != nil {
		t.Fatal(err)
	}
	got := names.replaceIn(labels.FromStrings("instance", "127.0.0.1:24216", "nodename", host, "rule_group", "/tmp/demo-123/prometheus/rules/a.yml;g", "alertmanager", "http://127.0.0.1:2421/api"))
	if want := labels.FromStrings("instance", "node_exporter:9100", "nodename", "demo", "rule_group", "/srv/demo/prometheus/rules/a.yml;g", "alertmanager", "http://alertmanager:9093/api"); !labels.Equal(got, want) {
		t.Errorf("got %s, want %s", got, want)
	}
	if _, err := newAnonymizer(statefile.State{Parts: []statefile.Part{{Name: "new"}}}); err == nil || !strings.Contains(err.Error(), "the part new") {
		t.Errorf("a part without a usual port: %v", err)
	}
}

func TestRecordNamesWhatThereIs(t *testing.T) {
	err := record(t.Context(), "no-such", t.TempDir(), t.TempDir(), 1)
	if err == nil || !strings.Contains(err.Error(), `no incident is named "no-such"; there are: quiet, database-down`) {
		t.Errorf("the error is %v", err)
	}
	into := t.TempDir()
	for _, i := range incidents() {
		if err := os.WriteFile(filepath.Join(into, i.name+recording.Extension), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := record(t.Context(), "all", into, t.TempDir(), 3); err != nil { // every incident has a recording
		t.Error(err)
	}
}
