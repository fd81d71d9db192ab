package demo

import (
	"context"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	driver "github.com/go-sql-driver/mysql"

	"github.com/consignwatch/consignwatch/alertmanager"
	"github.com/consignwatch/consignwatch/deploy/mysql"
	"github.com/consignwatch/consignwatch/pkg/demo/servers/serverstest"
	"github.com/consignwatch/consignwatch/pkg/executable"
	"github.com/consignwatch/consignwatch/rules"
	"github.com/consignwatch/consignwatch/simulator/store"
)

// testStack has fakes of the named parts up.
func testStack(t *testing.T, config Config, names ...string) *stack {
	t.Helper()
	config.Out = t.Output()
	s, err := newStack(config, t.TempDir(), allParts())
	if err != nil {
		t.Fatal(err)
	}
	var j journal
	for _, p := range allParts() {
		if slices.Contains(names, p.name) {
			f, _ := j.fake(p.name)
			s.up = append(s.up, startedPart{part: p, running: f})
		}
	}
	return s
}

func TestPrometheusAcceptsTheConfigWithTheShippedRules(t *testing.T) {
	promtool, err := executable.Find("promtool")
	if err != nil {
		t.Fatal(err)
	}
	s := testStack(t, Config{}, "business-exporter", alertmanagerPart)
	text, err := s.prometheusConfig("127.0.0.1:9")
	if err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	if err := os.CopyFS(filepath.Join(folder, "rules"), rules.Files); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(folder, "prometheus.yml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	output, err := exec.CommandContext(t.Context(), promtool, "check", "config", file).CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s", err, output)
	}
	for _, kind := range []string{"recording", "alerts"} {
		shipped, err := fs.Glob(rules.Files, kind+"/*.yml")
		if err != nil || len(shipped) == 0 {
			t.Fatalf("no shipped rules in %s: %v", kind, err)
		}
		for _, name := range shipped {
			if !strings.Contains(string(output), name) {
				t.Errorf("promtool did not read %s:\n%s", name, output)
			}
		}
	}
	for _, part := range []string{"job_name: prometheus", "job_name: alertmanager", "job_name: business-exporter", "127.0.0.1:9", "job_name: event-exporter", "scraper: [main]", "target-event-exporter.json", "job_name: system-exporter", "job_name: node\n"} {
		if !strings.Contains(text, part) {
			t.Errorf("the config lacks %q:\n%s", part, text)
		}
	}
}

func TestAlertmanagerStartsWithTheShippedRouting(t *testing.T) {
	s := testStack(t, Config{Alertmanager: alertmanager.Files, Rules: rules.Files, TimeScale: 10}, receiverPart)
	process, err := startAlertmanagerFor(t.Context(), s, t.TempDir(), []string{"north", "south"})
	if err != nil {
		t.Fatal(err)
	}
	if err := process.Stop(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestTheReaderHasTheShippedRightsAndIndexes(t *testing.T) {
	admin := serverstest.OwnMariaDB(t)
	if err := createDatabase(t.Context(), admin.DSN("")); err != nil {
		t.Fatal(err)
	}
	db := serverstest.Open(t, admin.DSN(databaseName))
	if err := store.CreateSchema(t.Context(), db); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "dsn")
	if err := writeSecret(file, admin.DSN(databaseName)); err != nil {
		t.Fatal(err)
	}
	dsn, err := createBusinessUser(t.Context(), file)
	if err != nil {
		t.Fatal(err)
	}
	config, err := driver.ParseDSN(dsn)
	if err != nil {
		t.Fatal(err)
	}
	if config.User != mysql.User {
		t.Errorf("user %s, want %s", config.User, mysql.User)
	}
	reader := serverstest.Open(t, dsn)
	try := func(query string) error {
		_, err := reader.ExecContext(t.Context(), query)
		return err
	}
	for _, query := range []string{
		"SELECT COUNT(*) FROM items", "SELECT status, price_cents FROM items", "SELECT slug, name, status FROM events", "SELECT event_id FROM sales",
	} {
		if err := try(query); err != nil {
			t.Errorf("%s: %v", query, err)
		}
	}
	for table, columns := range map[string][]string{
		"client_shopify_access": {"access_token", "shop_domain", "client_id"},
		"consignors":            {"email", "name"},
		"items":                 {"title"},
		"sales":                 {"shopper_code"},
	} {
		for _, column := range columns {
			if err := try("SELECT " + column + " FROM " + table); err == nil || !strings.Contains(err.Error(), "denied") {
				t.Errorf("column %s.%s: %v, want that it is denied", table, column, err)
			}
		}
	}
	for _, query := range []string{"DELETE FROM events", "SELECT * FROM mysql.user", "CREATE TABLE t (id INT)"} {
		if err := try(query); err == nil || !strings.Contains(err.Error(), "denied") {
			t.Errorf("%s: %v, want that it is denied", query, err)
		}
	}
	var covering int
	if err := db.QueryRowContext(t.Context(), `SELECT COUNT(DISTINCT index_name) FROM information_schema.statistics
		WHERE table_schema = DATABASE() AND index_name IN ('items_exporter', 'sales_exporter')`).Scan(&covering); err != nil || covering != 2 {
		t.Errorf("%d of the two indexes items_exporter and sales_exporter: %v", covering, err)
	}
}

// controlled is a part with the platform's control interface.
type controlled struct {
	*fake
	address string
}

func (c controlled) Address() string { return c.address }

func TestFaultsAreSwitchedOnByName(t *testing.T) {
	var posted []string
	control := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			posted = append(posted, r.URL.Path)
			return
		}
		_, _ = w.Write([]byte(`[{"name": "sold-twice", "description": "One item is sold to two.", "on": false}]`))
	}))
	defer control.Close()
	stackWith := func(faults ...string) *stack {
		s := testStack(t, Config{Faults: faults})
		f := controlled{fake: &fake{}, address: control.Listener.Addr().String()}
		s.up = append(s.up, startedPart{part: part{name: platformPart}, running: f})
		return s
	}
	if err := stackWith("sold-twice").switchFaultsOn(t.Context()); err != nil {
		t.Error(err)
	}
	if !slices.Equal(posted, []string{"/faults/sold-twice/on"}) {
		t.Errorf("posted to %v", posted)
	}
	err := stackWith("no-such").switchFaultsOn(t.Context())
	if err == nil || !strings.Contains(err.Error(), `unknown fault "no-such"; known faults: sold-twice`) {
		t.Errorf("an unknown fault: %v, want the names that exist", err)
	}
	control.Close()
	if err := stackWith("sold-twice").switchFaultsOn(t.Context()); err == nil {
		t.Error("no error while the platform does not answer")
	}
}

func TestNotificationsReachTheNotificationsFileAndTheScreen(t *testing.T) {
	var out strings.Builder
	s := testStack(t, Config{})
	s.screen.out = &out
	receiver, err := startReceiver(t.Context(), s, "")
	if err != nil {
		t.Fatal(err)
	}
	body := `{"status": "firing", "alerts": [{"status": "firing", "labels": {"alertname": "Trouble", "priority": "P1"}}]}`
	response, err := http.Post("http://"+receiver.Address()+"/", "application/json", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	if err := receiver.Stop(context.WithoutCancel(t.Context())); err != nil {
		t.Fatal(err)
	}
	file, err := os.ReadFile(s.config.NotificationsFile)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out.String(), "Trouble") || !strings.Contains(string(file), `"alertname":"Trouble"`) {
		t.Errorf("screen %q, file %q, want the notification in both", out.String(), file)
	}
}
