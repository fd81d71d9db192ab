package business

import (
	"maps"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/consignwatch/consignwatch/pkg/demo/servers/serverstest"
)

const exampleFolder = "testdata/example/"

func exampleFile(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestThePackOfTheDocumentationReadsOtherTables runs the worked example of docs/business-exporter.md as it stands there.
func TestThePackOfTheDocumentationReadsOtherTables(t *testing.T) {
	t.Parallel()
	dsn := serverstest.MariaDB(t)
	db := serverstest.Open(t, dsn)
	for statement := range strings.SplitSeq(exampleFile(t, exampleFolder+"schema.sql"), ";\n") {
		if strings.TrimSpace(statement) != "" {
			execute(t, db, statement)
		}
	}
	execute(t, db,
		"INSERT INTO organiser VALUES (7, 'old-town', 'Old Town Market e.V.', 'basic', NULL), (8, 'gone', 'Gone', 'basic', '2020-01-01')",
		`INSERT INTO market VALUES (70, 7, 'may', 'May Market', 'O', 1777600000, 1777700000, NULL, 'EUR'),
			(71, 7, 'april', 'April Market', 'X', 1775000000, 1775100000, UNIX_TIMESTAMP() - 86400, 'EUR'),
			(72, 7, 'march', 'March Market', 'X', 1772000000, 1772100000, UNIX_TIMESTAMP() - 40 * 86400, 'EUR'),
			(80, 8, 'last', 'Last Market', 'O', 1777600000, 1777700000, NULL, 'EUR')`,
		`INSERT INTO good VALUES (1, 70, 'toys', 'O', 1.10, NULL, 'Jane'), (2, 70, 'toys', 'O', 2.20, NULL, 'Jane'), (3, 70, 'books', 'S', 5, 4.95, 'Jim'),
			(4, 70, 'books', 'O', 0, NULL, 'Jim'), (5, 70, 'toys', 'W', 9, NULL, 'Jo'), (6, 71, 'toys', 'S', 3, 3, 'Jo'), (7, 72, 'toys', 'S', 3, 3, 'Jo')`,
		"INSERT INTO parking VALUES (70, 120, 117)")
	pack := exampleFile(t, exampleFolder+"queries.yml")

	code, out, errors := explained(t, dsn, "--queries-file", exampleFolder+"queries.yml")
	if code != 0 {
		t.Errorf("queries --explain: exit code %d\n%s%s", code, out, errors)
	}
	quick := strings.NewReplacer("interval: 30s", "interval: 1s", "interval: 1m", "interval: 1s", "interval: 15s", "interval: 1s", "timeout: 5s", "timeout: 1s", "timeout: 10s", "timeout: 1s").Replace(pack)
	r := startPatiently(t, dsn, quick)
	want := map[string]float64{
		`consign_client_info{client="old-town",name="Old Town Market e.V.",plan="basic"}`:           1,
		`consign_event_info{client="old-town",event="may",name="May Market",status="active"}`:       1,
		`consign_event_info{client="old-town",event="april",name="April Market",status="complete"}`: 1,
		`consign_event_start_timestamp_seconds{client="old-town",event="may"}`:                      1777600000,
		`consign_event_start_timestamp_seconds{client="old-town",event="april"}`:                    1775000000,
		`consign_event_end_timestamp_seconds{client="old-town",event="may"}`:                        1777700000,
		`consign_event_end_timestamp_seconds{client="old-town",event="april"}`:                      1775100000,
		`consign_items{category="toys",client="old-town",event="may",state="active"}`:               2,
		`consign_items{category="toys",client="old-town",event="may",state="returned"}`:             1,
		`consign_items{category="books",client="old-town",event="may",state="active"}`:              1,
		`consign_items{category="books",client="old-town",event="may",state="sold"}`:                1,
		`consign_items{category="toys",client="old-town",event="april",state="sold"}`:               1,
		`consign_items_value{client="old-town",currency="EUR",event="may",state="active"}`:          3.30,
		`consign_items_value{client="old-town",currency="EUR",event="may",state="sold"}`:            4.95,
		`consign_items_value{client="old-town",currency="EUR",event="may",state="returned"}`:        9,
		`consign_items_value{client="old-town",currency="EUR",event="april",state="sold"}`:          3,
		`consign_integrity_violations{check="price_not_positive",client="old-town"}`:                1,
		`market_parking_spaces{client="old-town",event="may",state="taken"}`:                        117,
		`market_parking_spaces{client="old-town",event="may",state="free"}`:                         3,
	}
	shop := func(s map[string]float64) map[string]float64 {
		s = maps.Clone(s)
		maps.DeleteFunc(s, func(name string, _ float64) bool {
			return !strings.HasPrefix(name, "consign_") && !strings.HasPrefix(name, "market_")
		})
		return s
	}
	s := r.Await(t, "what stands in the tables", func(s map[string]float64) bool { return len(shop(s)) >= len(want) })
	if diff := cmp.Diff(want, shop(s)); diff != "" {
		t.Errorf("the scrape response (-want +got):\n%s", diff)
	}
	if n := rejectedCount(s); n != 0 {
		t.Errorf("%v values and series were refused", n)
	}
}

func TestTheDocumentationShowsTheExampleAsItRuns(t *testing.T) {
	t.Parallel()
	doc := exampleFile(t, "../../docs/business-exporter.md")
	for _, file := range []struct{ name, language string }{{"schema.sql", "sql"}, {"queries.yml", "yaml"}} {
		if quoted := "```" + file.language + "\n" + exampleFile(t, exampleFolder+file.name) + "```\n"; !strings.Contains(doc, quoted) {
			t.Errorf("docs/business-exporter.md does not quote %s%s as it is", exampleFolder, file.name)
		}
	}
	for _, q := range embedded(t).Queries {
		if !strings.Contains(doc, "`"+q.Name+"`") {
			t.Errorf("docs/business-exporter.md does not mention the query %s", q.Name)
		}
	}
}
