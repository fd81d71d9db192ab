package bundle

import (
	"errors"
	"os"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/consignwatch/consignwatch/pkg/catalog"
)

func TestTheShippedBundleIsWhole(t *testing.T) {
	b, err := Load(os.DirFS("../.."))
	if err != nil {
		t.Fatal(err)
	}
	for _, problem := range b.Check(catalog.Shipped()) {
		t.Error(problem)
	}
}

const (
	goodRecording = `groups:
  - name: sums
    rules:
      - record: client:consign_items:sum
        expr: sum by (client) (max without (instance) (consign_items{state="sold"}))
`
	goodAlert = `groups:
  - name: stock
    labels:
      component: stock
    rules:
      - alert: StockEmpty
        expr: client:consign_items:sum < 1
        labels: {priority: P2, severity: warning, team: support, category: warning}
        annotations:
          summary: There is nothing to sell.
          description: "{{ $labels.client }} has no items."
          runbook_url: https://example.com/docs/runbooks/StockEmpty.md
`
	goodTest = `tests:
  - alert_rule_test:
      - {eval_time: 1m, alertname: StockEmpty, exp_alerts: []}
      - {eval_time: 2m, alertname: StockEmpty, exp_alerts: [{exp_labels: {client: north}}]}
`
)

// write makes a bundle without a mistake, with one replacement.
func write(file, old, new string) fstest.MapFS {
	files := map[string]string{
		"rules/recording/stock.yml":      goodRecording,
		"rules/alerts/stock.yml":         goodAlert,
		"rules/tests/stock_test.yml":     goodTest,
		"docs/runbooks/StockEmpty.md":    "# StockEmpty",
		"docs/runbooks/README.md":        "# Runbooks",
		"docs/runbooks/unused-image.png": "",
	}
	if file != "" {
		files[file] = strings.ReplaceAll(files[file], old, new)
	}
	root := fstest.MapFS{}
	for name, text := range files {
		root[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return root
}

func TestAGoodBundlePasses(t *testing.T) {
	b, err := Load(write("", "", ""))
	if err != nil {
		t.Fatal(err)
	}
	if problems := b.Check(catalog.Shipped()); len(problems) > 0 {
		t.Errorf("a bundle without a mistake fails: %v", problems)
	}
}

func TestEachKindOfMistakeIsFoundAtItsPlace(t *testing.T) {
	const recording, alert, test = "rules/recording/stock.yml", "rules/alerts/stock.yml", "rules/tests/stock_test.yml"
	for name, c := range map[string]struct{ file, old, new, want string }{
		"unknown metric":         {recording, "(consign_items{", "(consign_itms{", recording + `:4: client:consign_items:sum: metric "consign_itms" is neither in the catalog nor recorded`},
		"unknown label":          {recording, `state="sold"`, `status="sold"`, recording + `:4: client:consign_items:sum: metric consign_items has no label "status", only client, event, category, state`},
		"no metric name":         {recording, "consign_items{", "{", "a selector without a metric name"},
		"not recorded":           {alert, "client:consign_items:sum <", "client:consign_items:max <", alert + `:6: StockEmpty: metric "client:consign_items:max" is neither`},
		"not PromQL":             {alert, "sum < 1", "sum < ", alert + ": 7:15: group \"stock\", rule 1, \"StockEmpty\": could not parse expression"},
		"unknown key":            {alert, "annotations:", "annotation:", "field annotation not found"},
		"unknown priority":       {alert, "P2", "P5", alert + `:6: StockEmpty: label priority is "P5", not one of P0, P1, P2, P3`},
		"severity of another":    {alert, "warning,", "critical,", `label severity is "critical"; priority P2 has severity warning`},
		"unknown team":           {alert, "support", "sales", `label team is "sales"`},
		"no component":           {alert, "component", "part", "label component is missing"},
		"no category":            {alert, "category", "kind", "label category is missing"},
		"summary not a sentence": {alert, "to sell.", "to sell", "annotation summary must be there and end with a period"},
		"summary that varies":    {alert, "There is nothing", "X{{ $labels.client }} has nothing", "annotation summary must be the same"},
		"no description":         {alert, "description", "text", "annotation description must be there"},
		"wrong runbook":          {alert, "runbooks/StockEmpty", "runbooks/StockFull", "annotation runbook_url must lead to docs/runbooks/StockEmpty.md"},
		"no case that fires":     {test, "[{exp_labels: {client: north}}]", "[]", alert + ":6: StockEmpty: rules/tests needs a case in which the alert fires"},
		"no case that does not":  {test, "exp_alerts: []", "exp_alerts: [{}]", "one in which it does not"},
		"test of no alert":       {test, "alertname: StockEmpty, exp_alerts: []", "alertname: StockGone, exp_alerts: []", test + `: tests the alert "StockGone", which does not exist`},
	} {
		t.Run(name, func(t *testing.T) {
			b, err := Load(write(c.file, c.old, c.new))
			if err == nil {
				err = errors.Join(b.Check(catalog.Shipped())...)
			}
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("problems:\n%v\nwant among them: %s", err, c.want)
			}
		})
	}

	t.Run("no runbook", func(t *testing.T) {
		root := write("", "", "")
		delete(root, "docs/runbooks/StockEmpty.md")
		wantProblem(t, root, "the runbook docs/runbooks/StockEmpty.md is missing")
	})
	t.Run("orphan runbook", func(t *testing.T) {
		root := write("", "", "")
		root["docs/runbooks/StockGone.md"] = &fstest.MapFile{}
		wantProblem(t, root, "docs/runbooks/StockGone.md: there is no alert of this name")
	})
}

func wantProblem(t *testing.T, root fstest.MapFS, want string) {
	t.Helper()
	b, err := Load(root)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(b.Check(catalog.Shipped())...); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("problems:\n%v\nwant among them: %s", err, want)
	}
}

func TestAFolderWithoutRulesIsNoBundle(t *testing.T) {
	if _, err := Load(fstest.MapFS{}); err == nil || !strings.Contains(err.Error(), "rules/alerts: no rule file; run in the project's folder") {
		t.Errorf("Load = %v", err)
	}
}
