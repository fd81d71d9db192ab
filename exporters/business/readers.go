package business

import (
	_ "embed"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"

	"github.com/go-sql-driver/mysql"
)

// readersText lists the shipped alerts and panels that read a metric of this exporter, directly or through recording rules: a line
// each, METRIC KIND NAME. TestTheReadersOfMetricsAreCurrent writes it.
//
//go:embed readers.txt
var readersText string

// readersOf lists the alerts, or the panels, that read one of the metrics.
func readersOf(kind string, metrics []string) []string {
	var names []string
	for line := range strings.Lines(readersText) {
		part := strings.SplitN(strings.TrimSpace(line), " ", 3)
		if len(part) == 3 && part[1] == kind && slices.Contains(metrics, part[0]) {
			names = append(names, part[2])
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// missingObjects are the errors for a table or column that does not exist. A user who may read only some columns, as that of grants.sql, is told
// that the right is missing instead.
var missingObjects = []struct {
	number  uint16
	message *regexp.Regexp
	says    string
}{
	{1146, regexp.MustCompile(`^Table '(.+)' doesn't exist`), "the table $1 is missing"},
	{1054, regexp.MustCompile(`^Unknown column '(.+?)' in`), "the column $1 is missing"},
	{1142, regexp.MustCompile(`denied to user .* for table (.+)$`), "the table $1 is missing, or the right to read it"},
	{1143, regexp.MustCompile(`denied to user .* for column '(.+?)' in table '(.+?)'`), "the column $2.$1 is missing, or the right to read it"},
}

// missingObject says which table or column the server does not have, of the error of a query. The server names the first one.
func missingObject(err error) (what string, ok bool) {
	var my *mysql.MySQLError
	if !errors.As(err, &my) {
		return "", false
	}
	for _, m := range missingObjects {
		if at := m.message.FindStringSubmatchIndex(my.Message); my.Number == m.number && at != nil {
			return strings.NewReplacer("'", "", "`", "").Replace(string(m.message.ExpandString(nil, m.says, my.Message, at))), true
		}
	}
	return "", false
}

// printWithoutData says what stays without data because of a query that cannot run.
func printWithoutData(out io.Writer, queries []*Query, name string, err error) {
	why, ok := missingObject(err)
	if !ok {
		why = "it failed"
	}
	fmt.Fprintf(out, "\n%s: %s. Without data:\n", name, why)
	var metrics []string
	for _, q := range queries {
		for i := range q.Metrics {
			metrics = append(metrics, q.Metrics[i].Metric)
		}
	}
	slices.Sort(metrics)
	metrics = slices.Compact(metrics)
	for _, part := range []struct {
		kind  string
		names []string
	}{{"metrics", metrics}, {"alerts", readersOf("alert", metrics)}, {"panels", readersOf("panel", metrics)}} {
		text := "none"
		if len(part.names) > 0 {
			text = strings.Join(part.names, ", ")
		}
		fmt.Fprintf(out, "  %s: %s\n", part.kind, text)
	}
}
