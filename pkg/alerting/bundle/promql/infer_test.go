package promql

import (
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/prometheus/promql/parser"

	"github.com/consignwatch/consignwatch/pkg/catalog"
)

// newTestChecker returns a checker with the catalog and one recording: client:stock:max{client,state}, with state="sold". The problems
// that it finds are errors of the test.
func newTestChecker(t *testing.T) *Checker {
	t.Helper()
	stock := &Rule{Query: newTestQuery(t, `max by (client, state) (consign_items{state="sold"})`)}
	stock.Record = "client:stock:max"
	return New(Config{
		Catalog: shipped(), Rules: []*Rule{stock},
		AlertLabels: []string{"priority", "severity", "team", "client", "component", "subject", "category"},
		Identity:    []string{"alertname", "client", "component", "subject"},
		Report:      func(_ string, _ int, name, text string) { t.Errorf("%s: %s", name, text) },
	})
}

// shipped is the catalog. Tests must not change it.
var shipped = sync.OnceValue(catalog.Shipped)

func newTestQuery(t *testing.T, text string) *Query {
	t.Helper()
	expr, err := parser.NewParser(parser.Options{}).ParseExpr(text)
	if err != nil {
		t.Fatal(err)
	}
	return &Query{Use: ForRunbook, Name: text, File: "page.md", Line: 1, Text: text, Expr: expr}
}

// describe formats labels: name if all series have it, name? if some have it, with =value or =a|b if the values are known.
func describe(r Result) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(r.labels)) {
		l := r.labels[name]
		if !l.always {
			name += "?"
		}
		if len(l.values) > 0 {
			name += "=" + strings.Join(l.values, "|")
		}
		parts = append(parts, name)
	}
	return strings.Join(parts, " ")
}

// labelsOf has expressions, and the labels of their series in the format of describe.
func labelsOf() map[string]string {
	return map[string]string{
		// Selectors.
		`consign_event_start_timestamp_seconds`:                                "client event instance job",
		`node_load1{instance="a"}`:                                             "instance=a job",
		`consign_processes_total{outcome=~"failed|violated",process="intake"}`: "client instance job outcome=failed|violated process=intake",
		`consign_processes_total{outcome!="started",process!~".*e.*"}`:         "client instance job outcome=succeeded|failed|violated|other process=pickup",
		`consign_probe_duration_seconds_bucket{phase="total"}`:                 "instance job le phase=total probe",
		`client:stock:max`: "client state=sold",
		`max by (client, alertstate) (ALERTS{alertstate="firing"})`: "alertstate=firing client",
		`1`:                                    "",
		`vector(1)`:                            "",
		`time() - consign_client_stored_bytes`: "client instance job",
		`absent(up{job="a",instance=~".+"})`:   "job=a",
		`absent_over_time(up{job="a"}[5m])`:    "job=a",
		`hour()`:                               "",
		`rate(consign_sync_conflicts_total{kind="orders"}[5m])`:                 "client instance job kind=orders",
		`max_over_time(client:stock:max[1h:1m])`:                                "client state=sold",
		`predict_linear(node_filesystem_avail_bytes{mountpoint="/"}[6h], 3600)`: "device device_error fstype instance job mountpoint=/",

		// Aggregations.
		`max by (client) (consign_items)`:                           "client",
		`max without (instance, job) (consign_client_stored_bytes)`: "client",
		`max(consign_items)`:                                        "",
		`topk(3, client:stock:max)`:                                 "client state=sold",
		`count_values by (client) ("n", client:stock:max)`:          "client n",
		`histogram_quantile(0.9, max by (le, probe) (rate(consign_probe_duration_seconds_bucket{phase="total"}[5m])))`: "probe",

		// Operators.
		`client:stock:max > 5`: "client state=sold",
		`5 < client:stock:max`: "client state=sold",
		`client:stock:max + on (client) max by (client) (consign_client_stored_bytes)`:                  "client",
		`client:stock:max + ignoring (state) max by (client) (consign_client_stored_bytes)`:             "client",
		`client:stock:max * on (client) group_left (plan) max by (client, plan) (consign_client_info)`:  "client plan state=sold",
		`max by (client, plan) (consign_client_info) * on (client) group_right (plan) client:stock:max`: "client plan state=sold",
		`client:stock:max and on (client) consign_client_info`:                                          "client state=sold",
		`client:stock:max unless on (client) consign_client_info`:                                       "client state=sold",
		`client:stock:max or max by (client) (consign_client_stored_bytes)`:                             "client state?=sold",
		`client:stock:max or max by (client, state) (consign_items{state="draft"})`:                     "client state=draft|sold",
		`(client:stock:max or vector(0)) and on (client) max by (client) (consign_client_stored_bytes)`: "client state?=sold",
		`-client:stock:max`: "client state=sold",

		// Functions that write labels.
		`label_replace(vector(1), "client", "_platform", "", "")`:                                   "client=_platform",
		`label_replace(client:stock:max, "subject", "$1", "client", "(.+)")`:                        "client state=sold subject",
		`label_replace(client:stock:max, "subject", "is-$1", "state", "(.+)")`:                      "client state=sold subject=is-sold",
		`label_replace(client:stock:max, "subject", "$1", "state", "(draft)")`:                      "client state=sold",
		`label_replace(client:stock:max, "state", "", "", "")`:                                      "client",
		`label_replace(client:stock:max, "subject", "$1", "client", "(no.+)")`:                      "client state=sold subject?",
		`label_replace(client:stock:max, "subject", "$1", "client", "(?:.*/)?(.+)")`:                "client state=sold subject",
		`label_replace(client:stock:max or vector(0), "subject", "$1", "client", "(.+)")`:           "client? state?=sold subject?",
		`label_replace(consign_processes_total{outcome=~"f.+|v.+"}, "x", "$1", "outcome", "(.).+")`: "client instance job outcome=failed|violated process=intake|checkout|reconciliation|settlement|pickup|other x=f|v",
		`label_join(client:stock:max, "subject", "/", "client", "state")`:                           "client state=sold subject",
		`label_join(vector(1) or client:stock:max, "subject", "", "client")`:                        "client? state?=sold subject?",
	}
}

func TestLabelsFollowFromTheExpression(t *testing.T) {
	t.Parallel()
	for expr, want := range labelsOf() {
		k, q := newTestChecker(t), newTestQuery(t, expr)
		got := describe(k.infer(q, q.Expr))
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", expr, diff)
		}
	}
}

// Queries that look like a mistake, but are correct.
func TestGoodQueriesPass(t *testing.T) {
	t.Parallel()
	for _, expr := range []string{
		// Counters that nobody reads the number of.
		`absent(consign_client_jobs_total)`,
		`consign_client_jobs_total > 0`,
		`0 == consign_client_jobs_total`,
		`timestamp(consign_client_jobs_total) < time() - 60`,
		`changes(consign_client_jobs_total[5m])`,
		`client:stock:max unless on (client) consign_client_jobs_total`,
		`client:stock:max * 0 + 1 or on (client) (sum by (client) (consign_client_jobs_total) * 0)`,
		`count_over_time(consign_client_jobs_total[5m])`,
		`group by (client) (consign_client_jobs_total)`,
		// Rates of what may be a counter.
		`rate(node_vmstat_oom_kill[5m])`,
		`rate(go_gc_duration_seconds_sum[5m])`,
		`go_gc_duration_seconds{quantile="1"}`,
		// Replicas.
		`max by (client) (consign_items) > 3`,
		`max by (client) (consign_client_stored_bytes - consign_client_stored_bytes offset 1d)`,
		`sum by (client) (max without (instance) (consign_items))`,
		`sum by (route) (rate(consign_api_requests_total[5m]))`,
		`topk(3, consign_items)`,
		`consign_items{instance="a"}`,
		`sum by (client) (consign_items{instance="a"})`,
		`group by (client) (consign_items)`,
		`count by (job) (up)`,
		`min by (job) (consignwatch_config_last_reload_successful)`,
		// Buckets.
		`max by (probe) (rate(consign_probe_duration_seconds_bucket{le="0.5"}[5m]))`,
		`histogram_quantile(0.5, rate(consign_api_request_duration_seconds_bucket[5m]))`,
		// Matching.
		`client:stock:max * on (client) group_left (name, plan) max without (instance) (consign_client_info)`,
		`client:stock:max * on (client) group_left (name) max by (client, name) (consign_client_info)`,
		`client:stock:max * on (client) group_left (x) (label_replace(max by (client) (consign_client_stored_bytes), "x", "a", "", "") or on (client) label_replace(max by (client) (consign_client_stored_bytes), "x", "b", "", ""))`,
		`client:stock:max{state=~"sold|draft"}`,
		`client:stock:max / on (client) group_left max by (client) (consign_client_stored_bytes)`,
		`up == 0 or on () vector(1)`,
		`consign_items{state=~"sold|other"}`,
		`consign_items{event="EVENT"}`,
	} {
		k, q := newTestChecker(t), newTestQuery(t, expr)
		k.Check(q)
	}
}
