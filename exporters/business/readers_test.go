package business

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/go-sql-driver/mysql"
	"go.yaml.in/yaml/v3"

	"github.com/consignwatch/consignwatch/pkg/catalog"
	"github.com/consignwatch/consignwatch/pkg/demo/servers/serverstest"
	"github.com/consignwatch/consignwatch/pkg/exporter/exportertest"
	"github.com/consignwatch/consignwatch/rules"
)

var updateReaders = flag.Bool("update", false, "write readers.txt")

// expression is what an alert, a panel or a recording rule computes.
type expression struct{ kind, name, text string }

// shippedExpressions are those of the rules and dashboards.
func shippedExpressions(t *testing.T) []expression {
	t.Helper()
	var all []expression
	names, err := fs.Glob(rules.Files, "*/*.yml")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		text, err := fs.ReadFile(rules.Files, name)
		if err != nil {
			t.Fatal(err)
		}
		var file struct {
			Groups []struct {
				Rules []struct{ Record, Alert, Expr string }
			}
		}
		if err := yaml.Unmarshal(text, &file); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for _, g := range file.Groups {
			for _, r := range g.Rules {
				if r.Record != "" {
					all = append(all, expression{"record", r.Record, r.Expr})
				} else {
					all = append(all, expression{"alert", r.Alert, r.Expr})
				}
			}
		}
	}
	err = filepath.WalkDir("../../grafana-dashboards", func(path string, _ fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(path) != ".json" {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		var d struct {
			UID    string
			Panels []dashboardPanel
		}
		if err := json.Unmarshal(text, &d); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		for _, p := range d.Panels {
			all = append(all, p.expressions(d.UID)...)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

type dashboardPanel struct {
	Title   string
	Targets []struct{ Expr string }
	Panels  []dashboardPanel // of a row that is folded
}

func (p *dashboardPanel) expressions(uid string) []expression {
	var all []expression
	for _, t := range p.Targets {
		all = append(all, expression{"panel", uid + "/" + p.Title, t.Expr})
	}
	for i := range p.Panels {
		all = append(all, p.Panels[i].expressions(uid)...)
	}
	return all
}

var words = regexp.MustCompile(`[a-zA-Z_:][a-zA-Z0-9_:]*`)

// TestTheReadersOfMetricsAreCurrent holds readers.txt to the rules and dashboards.
func TestTheReadersOfMetricsAreCurrent(t *testing.T) {
	all := shippedExpressions(t)
	var lines []string
	for _, m := range shipped().Of(catalog.Business) {
		names := map[string]bool{m.Name: true} // the metric, and what is recorded of it
		reads := func(e expression) bool {
			return slices.ContainsFunc(words.FindAllString(e.text, -1), func(w string) bool { return names[w] })
		}
		for grew := true; grew; {
			grew = false
			for _, e := range all {
				if e.kind == "record" && !names[e.name] && reads(e) {
					names[e.name], grew = true, true
				}
			}
		}
		for _, e := range all {
			if e.kind != "record" && reads(e) {
				lines = append(lines, m.Name+" "+e.kind+" "+e.name)
			}
		}
	}
	slices.Sort(lines)
	want := []byte(strings.Join(slices.Compact(lines), "\n") + "\n")
	if *updateReaders {
		if err := os.WriteFile("readers.txt", want, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if !bytes.Equal(want, []byte(readersText)) {
		t.Error("readers.txt is not what the rules and dashboards say; run go test ./exporters/business -run TestTheReadersOfMetricsAreCurrent -update")
	}
}

func TestTheMissingObjectIsNamed(t *testing.T) {
	for _, c := range []struct {
		number        uint16
		message, want string
	}{
		{1146, "Table 'shop.cellar' doesn't exist", "the table shop.cellar is missing"},
		{1054, "Unknown column 's.late' in 'field list'", "the column s.late is missing"},
		{1054, "Unknown column 'late' in 'SELECT'", "the column late is missing"},
		{1142, "SELECT command denied to user 'u'@'10.0.0.1' for table `shop`.`cellar`", "the table shop.cellar is missing, or the right to read it"},
		{1142, "SELECT command denied to user 'u'@'10.0.0.1' for table 'cellar'", "the table cellar is missing, or the right to read it"},
		{1143, "SELECT command denied to user 'u'@'10.0.0.1' for column 'late' in table 'goods'", "the column goods.late is missing, or the right to read it"},
		{1064, "You have an error in your SQL syntax", ""},
	} {
		got, ok := missingObject(fmt.Errorf("goods: %w", &mysql.MySQLError{Number: c.number, Message: c.message}))
		if got != c.want || ok != (c.want != "") {
			t.Errorf("%d %s: %q, want %q", c.number, c.message, got, c.want)
		}
	}
}

// TestExplainNamesWhatIsMissingAndWhatIsWithoutData: a platform without one table and one column.
func TestExplainNamesWhatIsMissingAndWhatIsWithoutData(t *testing.T) {
	t.Parallel()
	dsn := serverstest.MariaDB(t)
	db := serverstest.Open(t, dsn)
	fillFairs(t, dsn)
	const pack = `
clients: {interval: 1m, timeout: 1s, sql: "SELECT id AS client_id, slug AS client FROM owners"}
sale_events: {interval: 1m, timeout: 1s, sql: "SELECT id AS event_id, owner AS client_id, slug AS event, NOT done AS changing, TRUE AS exposed FROM fairs"}
refresh_ended: 24h
queries:
  - {name: no-table, interval: 1m, timeout: 1s, sql: "SELECT target, at FROM backups", metrics: [{metric: consign_backup_last_success_timestamp_seconds, value: at}]}
  - name: no-column
    per: event
    interval: 1m
    timeout: 1s
    sql: SELECT fair AS event_id, late AS n FROM goods WHERE fair IN ({{events}})
    metrics: [{metric: consign_unsynced_items, value: n}]
`
	check := func(pack string, want ...string) {
		t.Helper()
		code, out, _ := explained(t, dsn, "--queries-file", exportertest.WriteFile(t, "pack.yml", pack))
		if code != 1 {
			t.Errorf("exit code %d, want 1", code)
		}
		for _, w := range want {
			if !regexp.MustCompile(w).MatchString(out) {
				t.Errorf("nothing matches %s in:\n%s", w, out)
			}
		}
	}
	const backupsLost = `(?m)^no-table: the table \S*backups is missing. Without data:\n  metrics: consign_backup_last_success_timestamp_seconds\n  alerts: .*Backup.*\n  panels: \S+/`
	check(pack, backupsLost, `(?m)^no-column: the column late is missing. Without data:\n  metrics: consign_unsynced_items\n  alerts: .+\n  panels: \S+/`)
	execute(t, db, "ALTER TABLE fairs RENAME COLUMN done TO finished")
	check(pack, `(?m)^list of sale events: the column done is missing. Without data:\n  metrics: consign_backup_last_success_timestamp_seconds, consign_unsynced_items\n`)
}

var groupings = regexp.MustCompile(`\bby \(([^)]*)\)|\b(?:without|ignoring) \(([^)]*)\)`)

// TestCurrenciesAreNeverAdded: whatever the rules and dashboards compute from money keeps the label currency.
func TestCurrenciesAreNeverAdded(t *testing.T) {
	all := shippedExpressions(t)
	money := map[string]bool{}
	for _, e := range shipped().Exporters() {
		for _, m := range shipped().Of(e) {
			if m.Unit == catalog.Money {
				for _, part := range []string{"", "_sum", "_bucket"} {
					money[m.Name+part] = true
				}
			}
		}
	}
	read := 0
	for grew := true; grew; {
		grew = false
		for _, e := range all {
			if e.kind == "record" && !money[e.name] && slices.ContainsFunc(words.FindAllString(e.text, -1), func(w string) bool { return money[w] }) {
				money[e.name], grew = true, true
			}
		}
	}
	for _, e := range all {
		if !slices.ContainsFunc(words.FindAllString(e.text, -1), func(w string) bool { return money[w] }) {
			continue
		}
		read++
		found := groupings.FindAllStringSubmatch(e.text, -1)
		for _, g := range found {
			if g[1] != "" && !strings.Contains(g[1], "currency") || strings.Contains(g[2], "currency") {
				t.Errorf("%s %s adds currencies: %s", e.kind, e.name, e.text)
			}
		}
		if len(found) == 0 && strings.Contains(e.text, "sum(") {
			t.Errorf("%s %s adds currencies: %s", e.kind, e.name, e.text)
		}
	}
	if read < 5 {
		t.Errorf("%d expressions read money: the test does not find them", read)
	}
}
