package bundle

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"github.com/consignwatch/consignwatch/pkg/catalog"
	"github.com/consignwatch/consignwatch/pkg/executable"
)

// shipped is the catalog. Tests must not change it.
var shipped = sync.OnceValue(catalog.Shipped)

// The rows of the list of priorities that the good bundle has alerts for, JobsFail and ApiSlow.
const (
	coveredRow = "AL.P2.disruption: {priority: P2, category: disruption}"
	slowRow    = "AL.P2.slow: {priority: P2, category: slow}"
)

// good is testdata/good, with a coverage list in which everything but coveredRow and slowRow is due. Tests must not change it.
var good = sync.OnceValues(func() (fstest.MapFS, error) {
	root, folder := fstest.MapFS{}, os.DirFS("testdata/good")
	err := fs.WalkDir(folder, ".", func(name string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		text, err := fs.ReadFile(folder, name)
		root[name] = &fstest.MapFile{Data: text}
		return err
	})
	var list strings.Builder
	for _, r := range coverageRows() {
		entry := r.id + ": {due: [reports]}"
		for _, covered := range []string{coveredRow, slowRow} {
			if strings.HasPrefix(covered, r.id+":") {
				entry = covered
			}
		}
		fmt.Fprintln(&list, entry)
	}
	root[coverageFile] = &fstest.MapFile{Data: []byte(list.String())}
	return root, errors.Join(err, renewCoverageDoc(root))
})

// goodBundle is a copy of good. Its files can be replaced.
func goodBundle(t testing.TB) fstest.MapFS {
	t.Helper()
	root, err := good()
	if err != nil {
		t.Fatal(err)
	}
	return maps.Clone(root)
}

// renewCoverageDoc generates docs/coverage.md from the coverage list.
func renewCoverageDoc(root fstest.MapFS) error {
	b, err := Load(root)
	if err != nil {
		return nil // the mistake under test
	}
	var page bytes.Buffer
	err = b.WriteCoverage(&page, shipped())
	root[coverageDoc] = &fstest.MapFile{Data: page.Bytes()}
	return err
}

// problemsOf returns the problems of a bundle, one per line.
func problemsOf(root fs.FS) string {
	b, err := Load(root)
	if err != nil {
		return err.Error()
	}
	var found []error
	for _, p := range b.Check(shipped()) {
		found = append(found, p)
	}
	if len(found) == 0 {
		return ""
	}
	return errors.Join(found...).Error()
}

func TestAGoodBundlePasses(t *testing.T) {
	t.Parallel()
	if found := problemsOf(goodBundle(t)); found != "" {
		t.Errorf("a bundle without a mistake fails:\n%s", found)
	}
}

// promtool runs the tests of the good bundle, and they pass.
func TestTheGoodBundlePassesPromtool(t *testing.T) {
	t.Parallel()
	promtool, err := executable.Find("promtool")
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), promtool, "test", "rules", "testdata/good/rules/tests/sale_test.yml").CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// Files of the good bundle.
const (
	recordings = "rules/recording/sale.yml"
	alerts     = "rules/alerts/sale.yml"
	cases      = "rules/tests/sale_test.yml"
	page       = "docs/runbooks/JobsFail.md"
	panels     = "grafana-dashboards/sale.json"
	panelUIDs  = "grafana-dashboards/uids.yml"
	messages   = "alertmanager/templates/staff.tmpl"
)

// mistake is a change of one file of the good bundle, with the expected problem.
type mistake struct{ file, old, new, want string }

func TestEachKindOfMistakeIsFoundAtItsPlace(t *testing.T) {
	t.Parallel()
	for name, m := range mistakes() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			root := goodBundle(t)
			if m.file != "" {
				text := string(root[m.file].Data)
				if !strings.Contains(text, m.old) {
					t.Fatalf("%s does not contain %q", m.file, m.old)
				}
				root[m.file] = &fstest.MapFile{Data: []byte(strings.Replace(text, m.old, m.new, 1))}
			}
			if m.file == coverageFile {
				if err := renewCoverageDoc(root); err != nil {
					t.Fatal(err)
				}
			}
			found := problemsOf(root)
			for line := range strings.Lines(found) {
				if strings.HasPrefix(line, m.want) {
					return
				}
			}
			t.Errorf("found:\n%s\nwant a line that begins with:\n%s", found, m.want)
		})
	}
}

// mistakes are grouped as docs/checks.md explains them.
func mistakes() map[string]mistake {
	const (
		jobs  = "rules/alerts/sale.yml:6: JobsFail: "
		items = "client:consign_items_sold:max: "
		rates = "rules/recording/sale.yml:6: client:consign_jobs_failed:rate5m: "
		p95   = "rules/recording/sale.yml:15: platform:consign_api_request_duration_seconds:p95_5m: "
	)
	return map[string]mistake{
		// Files that cannot be read.
		"not PromQL in a rule":       {alerts, `"(.+)")`, `"(.+)"`, alerts + `:7:15: group "sale", rule 1, "JobsFail": could not parse expression`},
		"unknown key in a rule":      {alerts, "annotations:", "annotation:", "rules/alerts/sale.yml:15:"},
		"not PromQL in a runbook":    {page, "topk(5,", "topk(5", page + ":16: "},
		"a block that is not closed": {page, "journalctl -u worker\n   ```\n", "", page + ":25: the block is never closed"},
		"not PromQL in a dashboard":  {panels, "topk(", "topkk(", panels + ":35: Sold: "},
		"not JSON":                   {panels, `"uid":`, `"uid"`, panels + ":2: "},
		"not PromQL in a test":       {cases, "expr: client", "expr: (client", cases + ":25: "},
		"not a series in a test":     {cases, "values: 5x120", "values: 5*120", cases + ":10: "},
		"unknown key in coverage":    {coverageFile, "{due", "{do", coverageFile + `:1: unknown key "do"`},

		// Words.
		"a private word in a title":                {panels, `"title": "Jobs by outcome"`, `"title": "Jobs, 95 of 100"`, panels + `:21: Jobs, 95 of 100: "95 of 100" is no word of the field: say p50, p90, p95, p99`},
		"a private word in an annotation":          {alerts, "Jobs fail during a sale.", "Jobs fail, and nobody has taken it.", alerts + `:16: JobsFail: "nobody has taken it" is no word of the field: say acknowledged`},
		"a private word in a template":             {messages, "Notified: {{ .Receiver }}.", "{{ .Receiver }} is\ntold.", messages + `:5: "is told" is no word of the field: say notified`},
		"a private word in a runbook":              {page, "Jobs of a client fail.", "The books are wrong.", page + `:5: "The books" is no word of the field: say the database, integrity violations`},
		"a private word in the runbooks' overview": {"docs/runbooks/README.md", "# ", "# Is it well? ", `docs/runbooks/README.md:1: "Is it well" is no word of the field: say OK`},

		// Names.
		"unknown metric in a rule":           {recordings, "consign_items{", "consign_itms{", recordings + ":11: " + items + `metric "consign_itms" is neither in the catalog nor recorded`},
		"unknown metric in an alert":         {alerts, "client:consign_items_sold:max", "client:consign_items_sold:sum", alerts + `:10: JobsFail: metric "client:consign_items_sold:sum"`},
		"unknown metric in a runbook":        {page, "consign_items{", "consign_itms{", page + `:19: metric "consign_itms"`},
		"unknown metric in a dashboard":      {panels, "consign_client_jobs_total", "consign_client_jobs", panels + `:25: Jobs by outcome: metric "consign_client_jobs"`},
		"unknown metric in a variable":       {panels, "consign_client_info", "consign_client", panels + `:8: Sale: metric "consign_client"`},
		"unknown metric in test input":       {cases, "series: consign_items{", "series: consign_itms{", cases + `:10: metric "consign_itms"`},
		"unknown metric in a test":           {cases, "expr: client:consign_items_sold", "expr: client:consign_items", cases + `:25: metric "client:consign_items:max"`},
		"unknown foreign metric":             {page, "topk(5, client:consign_jobs_failed:rate5m)", "node_load2", page + `:16: metric "node_load2"`},
		"no metric at all":                   {recordings, "consign_items{", "{", recordings + ":11: " + items + "a selector without a metric name reads everything"},
		"a histogram without its part":       {recordings, "seconds_bucket", "seconds", p95 + "consign_api_request_duration_seconds is a histogram: its series are"},
		"a part of what is no histogram":     {recordings, "consign_items{", "consign_items_sum{", recordings + ":11: " + items + "consign_items is a gauge: there is no series consign_items_sum"},
		"unknown label in a matcher":         {recordings, `state="sold"`, `status="sold"`, recordings + ":11: " + items + `metric consign_items has no label "status", only category, client, event, instance, job, state`},
		"unknown label of a recording":       {page, "client:consign_jobs_failed:rate5m", `client:consign_jobs_failed:rate5m{event="a"}`, page + `:16: metric client:consign_jobs_failed:rate5m has no label "event", only client`},
		"unknown label in test input":        {cases, `outcome="failed"`, `result="failed"`, cases + `:8: metric consign_client_jobs_total has no label "result"`},
		"unknown label in by":                {recordings, "sum by (client) (rate", "sum by (client, event) (rate", rates + `sum groups by the label "event", but what it aggregates has only client, instance, job, outcome`},
		"unknown label in without":           {recordings, "without (instance)", "without (instanz)", recordings + ":10: " + items + `max groups by the label "instanz"`},
		"unknown label in on":                {alerts, "on (client)", "on (event)", alerts + `:9: JobsFail: on(event): the left side of and has no label "event", only client`},
		"unknown label in ignoring":          {alerts, "on (client)", "ignoring (event)", alerts + `:9: JobsFail: ignoring(event): the left side of and has no label "event"`},
		"unknown label in group_left":        {page, "topk(5, client:consign_jobs_failed:rate5m)", "client:consign_jobs_failed:rate5m * on (client) group_left (plan) client:consign_items_sold:max", page + `:16: group_left or group_right takes over the label "plan"`},
		"unknown label read by a function":   {alerts, `"client", "(.+)"`, `"event", "(.+)"`, alerts + `:8: JobsFail: label_replace reads the label "event", but its input has only client`},
		"unknown label read by label_join":   {page, "topk(5, client:consign_jobs_failed:rate5m)", `label_join(up, "x", "/", "job", "jab")`, page + `:16: label_join reads the label "jab"`},
		"unknown label in a variable":        {panels, "info, client)", "info, event)", panels + `:8: Sale: group groups by the label "event"`},
		"a value that a label never has":     {recordings, `outcome="failed"`, `outcome="failure"`, rates + `the label outcome of consign_client_jobs_total is never "failure", only succeeded, failed, retried, dead`},
		"a list with such a value":           {recordings, `outcome="failed"`, `outcome=~"failed|died"`, rates + `the label outcome of consign_client_jobs_total is never "died"`},
		"a pattern that no value matches":    {recordings, `outcome="failed"`, `outcome=~"fault.*"`, rates + `no value of the label outcome of consign_client_jobs_total matches "fault.*"`},
		"a value that is no slug":            {recordings, `outcome="failed"`, `client="North"`, rates + `the label client of consign_client_jobs_total is never "North", only what matches`},
		"a bound as Prometheus 2 wrote it":   {recordings, "seconds_bucket[", `seconds_bucket{le="1"}[`, p95 + `le="1" matches nothing: Prometheus writes bounds like`},
		"a bound that no bucket has":         {cases, `le="2.0"`, `le="3.0"`, cases + `:35: consign_api_request_duration_seconds has no bucket le="3.0"`},
		"sides that can never match":         {alerts, "and on (client) client:consign_items_sold:max > 0", "and consign_client_info > 0", alerts + `:9: JobsFail: the sides of and can never match: only the right one has the label "instance"`},
		"sides with different fixed values":  {page, "topk(5, client:consign_jobs_failed:rate5m)", `consign_items{state="sold"} / consign_items{state="draft"}`, page + `:16: the sides of / can never match: the label state is sold on the left and draft on the right`},
		"a value that a recording never has": {page, "topk(5, client:consign_jobs_failed:rate5m)", `label_replace(client:consign_items_sold:max, "a", "b", "", "") > on (client, a) label_replace(client:consign_items_sold:max, "a", "c", "", "")`, page + ":16: the sides of > can never match: the label a is b on the left and c on the right"},
		"a side with several series":         {page, "topk(5, client:consign_jobs_failed:rate5m)", "client:consign_items_sold:max / on (client) max by (client, event) (consign_items)", page + `:16: a side of / can have several series for one of the other: they differ in the label "event"`},
		"a recording that is named freely":   {recordings, "client:consign_items_sold:max", "client:consign_items_sold", recordings + ":7: client:consign_items_sold: a recording is named level:metric:operations"},
		"a recording without a level":        {recordings, "client:consign_items_sold:max", "items_sold", recordings + ":7: items_sold: a recording is named level:metric:operations"},
		"a recording named like a metric":    {recordings, "client:consign_items_sold:max", "consign_items", recordings + ":7: consign_items: an exporter has a metric of this name already"},
		"a recording without its level":      {recordings, "sum by (client) (rate", "sum by (outcome) (rate", "rules/recording/sale.yml:5: client:consign_jobs_failed:rate5m: its level is client, but its series do not all have the label client"},
		"a label that a template cannot see": {alerts, "{{ $labels.client }}: {{ printf", "{{ $labels.component }}: {{ printf", jobs + `description reads the label "component", but the series of the expression have only client, subject`},
		"a label that is overwritten":        {alerts, "component: jobs,", "component: jobs, client: _platform,", jobs + `the label client of the series is overwritten with "_platform"`},

		// Alerts.
		"unknown priority":                {alerts, "P2", "P5", jobs + `the label priority is "P5", not one of P0, P1, P2, P3`},
		"severity of another":             {alerts, "warning", "critical", jobs + `the label severity is "critical"; priority P2 has severity warning`},
		"unknown team":                    {alerts, "support", "sales", jobs + `the label team is "sales", not one of`},
		"no priority":                     {alerts, "priority: P2, ", "", jobs + "the label priority is missing"},
		"no component":                    {alerts, "component: jobs, ", "", jobs + "the label component is missing: set it in labels"},
		"no category":                     {alerts, ", category: disruption", "", jobs + "the label category is missing"},
		"no client":                       {alerts, `"client", "_platform", ""`, `"place", "_platform", ""`, alerts + ":24: ApiSlow: the label client is missing: it is lost here"},
		"a subject that may be missing":   {alerts, `"(.+)"`, `"(no.+)"`, jobs + "the label subject may be missing: not every series of the expression has it"},
		"client lost by an aggregation":   {alerts, "            client:consign_jobs_failed:rate5m\n              and on (client) client:consign_items_sold:max > 0,\n            \"subject\", \"$1\", \"client\", \"(.+)\")", "            sum(client:consign_jobs_failed:rate5m),\n            \"subject\", \"jobs\", \"\", \"\")", alerts + ":9: JobsFail: the label client is missing: it is lost here"},
		"summary that is no sentence":     {alerts, "during a sale.", "during a sale", jobs + "the annotation summary must be there and end with a period"},
		"summary that varies":             {alerts, "Jobs fail", "X{{ $labels.client }} fails", jobs + "the annotation summary must be the same"},
		"no description":                  {alerts, "description", "text", jobs + "the annotation description must be there"},
		"runbook of another":              {alerts, "runbooks/JobsFail", "runbooks/ApiSlow", jobs + "the annotation runbook_url must lead to docs/runbooks/JobsFail.md"},
		"no dashboard":                    {alerts, "/d/sale?", "/s/sale?", jobs + "the annotation dashboard_url must lead to a dashboard, /d/UID"},
		"a dashboard that does not exist": {alerts, "/d/sale?", "/d/sales?", jobs + `the annotation dashboard_url leads to "sales", but no dashboard has this uid`},
		"an alert of two rules":           {alerts, "alert: ApiSlow", "alert: JobsFail", alerts + ":21: JobsFail: rules/tests has no case in which the alert fires"},

		// Thresholds, and what the text of an alert asks.
		"an unknown threshold":                       {alerts, `name="api_latency_seconds"`, `name="api_slowness_seconds"`, alerts + `:25: ApiSlow: no series of consign_threshold matches name="api_slowness_seconds"`},
		"an unknown level":                           {alerts, `level="warning"`, `level="warn"`, alerts + `:25: ApiSlow: no series of consign_threshold matches level="warn": the label is critical or goal or sla or warning`},
		"a threshold of the platform for a client":   {alerts, `level="warning",client="_platform"`, `level="warning",client="north"`, alerts + `:25: ApiSlow: no rule records a series consign_threshold{`},
		"a threshold of each client for one":         {alerts, `name="api_latency_seconds",level="warning",client="_platform"`, `name="shop_latency_seconds",level="warning"`, alerts + `:24: ApiSlow: a side of > can have several series for one of the other: they differ in the label "client"`},
		"an unknown threshold in a text":             {alerts, `name='api_latency_seconds'`, `name='api_slowness_seconds'`, alerts + `:31: ApiSlow: no series of consign_threshold matches name="api_slowness_seconds"`},
		"a text with another limit":                  {alerts, `level='warning'`, `level='critical'`, alerts + ":21: ApiSlow: an annotation shows the threshold api_latency_seconds, level critical, with which the alert does not compare"},
		"a text without the limit":                   {alerts, `{{ with query "consign_threshold{name='api_latency_seconds',level='warning',client='_platform'}" }}{{ . | first | value | humanizeDuration }}{{ end }}`, "2s", alerts + ":21: ApiSlow: it compares with the threshold api_latency_seconds, level warning, but no annotation shows it"},
		"not PromQL in a text":                       {alerts, `client='_platform'}"`, `client='_platform'"`, alerts + ":31: ApiSlow: description: query "},
		"an unknown metric in a text":                {alerts, `with query "consign_threshold{name=`, `with query "consign_limit{name=`, alerts + `:31: ApiSlow: metric "consign_limit" is neither in the catalog`},
		"an unknown metric in a text made by printf": {alerts, `{{ $labels.client }}: {{ printf`, `{{ printf \"consign_itms{client='%s'}\" $labels.client | query | first | value }}: {{ printf`, alerts + `:17: JobsFail: metric "consign_itms"`},
		"a query that is put together":               {alerts, `{{ $labels.client }}: {{ printf`, `{{ $labels.client | query | first | value }}: {{ printf`, alerts + ":17: JobsFail: description: the argument of query cannot be checked"},
		"a query deep in a text":                     {alerts, `{{ $labels.client }}: {{ printf`, `{{ if gt $value 1.0 }}{{ range (query \"consign_itms\") }}{{ .Value }}{{ end }}{{ end }}{{ printf`, alerts + `:17: JobsFail: metric "consign_itms"`},
		"a counter in a text":                        {alerts, `with query "consign_threshold{name='api_latency_seconds',level='warning',client='_platform'}`, `with query "consign_client_jobs_total`, alerts + ":31: ApiSlow: a counter is used without rate"},

		// Runbooks.
		"a runbook of no alert":          {alerts, "alert: JobsFail", "alert: JobFails", page + ":1: there is no alert JobsFail"},
		"an alert without a runbook":     {alerts, "alert: JobsFail", "alert: JobFails", "rules/alerts/sale.yml:6: JobFails: the runbook docs/runbooks/JobFails.md is missing"},
		"a runbook under another name":   {page, "# JobsFail", "# Jobs fail", page + `:1: the first heading must be "# JobsFail"`},
		"a runbook without a section":    {page, "## Impact", "### Impact", page + `:1: the section "## Impact" is missing`},
		"a runbook with an empty one":    {page, "Labels are not printed.", "", page + ":7: the section Impact is empty"},
		"a runbook in another order":     {page, "## Impact\n\nLabels are not printed.\n\n## Diagnosis", "## Diagnosis\n\nLook.\n\n## Impact\n\nLabels are not printed.\n\n## More", page + ":7: the section Diagnosis is out of order"},
		"replicas combined in a runbook": {page, "max by (client)", "sum by (client)", page + ":18: sum drops the label instance of consign_items, whose replicas combine by max"},

		// Counters.
		"rate of a gauge":                           {recordings, `consign_items{state="sold"}`, `rate(consign_items{state="sold"}[5m])`, recordings + ":11: " + items + "rate needs a counter"},
		"rate of a gauge in a panel":                {panels, "consign_client_jobs_total", "consign_items", panels + ":25: Jobs by outcome: rate needs a counter, and consign_items"},
		"rate of a recording":                       {page, "client:consign_jobs_failed:rate5m", "rate(client:consign_jobs_failed:rate5m[5m])", page + ":16: rate needs a counter"},
		"delta of a counter":                        {recordings, "(rate(", "(delta(", rates + "delta of a counter: use rate or increase"},
		"a counter without rate":                    {recordings, `rate(consign_client_jobs_total{outcome="failed"}[5m])`, "consign_client_jobs_total", rates + "a counter is used without rate or increase"},
		"a counter without rate, shown":             {page, "client:consign_jobs_failed:rate5m", "consign_client_jobs_total", page + ":16: a counter is used without rate or increase"},
		"counters that are divided":                 {page, "client:consign_jobs_failed:rate5m", "consign_client_jobs_total / consign_client_jobs_total", page + ":16: a counter is used without rate or increase: consign_client"},
		"an alert that never ends":                  {alerts, "            platform:consign_api_request_duration_seconds:p95_5m\n              > on () group_left () consign_threshold{name=\"api_latency_seconds\",level=\"warning\",client=\"_platform\"}", "            sum(consign_client_jobs_total) > 0", alerts + ":23: ApiSlow: a counter is used without rate or increase: once it has counted something it is above 0 for good"},
		"a label lost by matching":                  {alerts, "          label_replace(\n" + "            platform:consign_api_request_duration_seconds:p95_5m\n              > on () group_left () consign_threshold{name=\"api_latency_seconds\",level=\"warning\",client=\"_platform\"}" + ",\n            \"client\", \"_platform\", \"\", \"\")", "          client:consign_items_sold:max > on () platform:consign_api_request_duration_seconds:p95_5m", alerts + ":23: ApiSlow: the label client is missing: it is lost here"},
		"a counter in a recording that is compared": {recordings, "sum by (client) (rate(consign_client_jobs_total{outcome=\"failed\"}[5m]))", "sum by (client) (consign_client_jobs_total) > 0", rates + "a counter is used without rate or increase"},
		"two documents in a dashboard":              {panels, `{`, "{}\n{", panels + ":2: the file holds more than one JSON document"},
		"rate of a sum":                             {page, "client:consign_jobs_failed:rate5m", "rate(sum by (client) (consign_client_jobs_total)[5m:15s])", page + ":16: rate of a sum of counters takes the restart of one for a jump of all"},
		"a quantile without le":                     {recordings, "sum by (le)", "sum by (route)", p95 + "histogram_quantile needs the label le"},
		"buckets that lose le":                      {recordings, "sum by (le)", "sum by (route)", p95 + "sum drops the label le of the buckets of a histogram"},
		"a quantile over all time":                  {recordings, "rate(consign_api_request_duration_seconds_bucket[5m])", "consign_api_request_duration_seconds_bucket", p95 + "histogram_quantile of buckets without rate"},
		"a function of a counter":                   {page, "client:consign_jobs_failed:rate5m", "sum_over_time(consign_client_jobs_total[5m])", page + ":16: sum_over_time of a counter: use rate or increase"},
		"a counter that is compared":                {page, "client:consign_jobs_failed:rate5m", "consign_client_jobs_total > 5", page + ":16: a counter is used without rate or increase: consign_client_jobs_total > 5"},
		"a foreign gauge with rate":                 {page, "client:consign_jobs_failed:rate5m", "rate(node_load1[5m])", page + ":16: rate needs a counter, and node_load1"},
		"a foreign counter without rate":            {page, "client:consign_jobs_failed:rate5m", "node_cpu_seconds_total", page + ":16: a counter is used without rate"},

		// Replicas.
		"a sum of what each replica reads":   {recordings, "max without (instance)", "sum without (instance)", recordings + ":10: " + items + "sum drops the label instance of consign_items, whose replicas combine by max: aggregate them by max first"},
		"a maximum of what is shared":        {recordings, "sum by (client) (rate", "max by (client) (rate", rates + "max drops the label instance of consign_client_jobs_total, whose replicas combine by sum"},
		"replicas that are counted":          {page, "max by (client)", "count by (client)", page + ":18: count drops the label instance of consign_items"},
		"an instance in an alert":            {alerts, "            platform:consign_api_request_duration_seconds:p95_5m\n", "            node_load1\n", alerts + ":23: ApiSlow: the label instance is left: each replica would alert"},
		"an instance in a recording":         {recordings, "sum by (client) (rate", "sum by (client, instance) (rate", rates + "the label instance is left: whoever reads the recording meets each replica"},
		"replicas that are matched together": {page, "client:consign_jobs_failed:rate5m", "client:consign_items_sold:max / on (client) consign_client_stored_bytes", page + ":16: the two sides of / match without the label instance"},

		// Times.
		"a window of three scrapes":        {recordings, "[5m]))\n      - record: client:consign_items", "[45s]))\n      - record: client:consign_items", rates + "the window [45s] is shorter than four scrapes (1m)"},
		"a window that is computed":        {page, "client:consign_jobs_failed:rate5m", "max_over_time(client:consign_jobs_failed:rate5m[5m * 2])", page + ":16: write the duration (5m * 2) out: it cannot be checked"},
		"an offset that is computed":       {page, "client:consign_jobs_failed:rate5m", "client:consign_jobs_failed:rate5m offset (5m + 1m)", page + ":16: write the duration ("},
		"a short subquery":                 {page, "client:consign_jobs_failed:rate5m", "max_over_time(client:consign_jobs_failed:rate5m[30s:15s])", page + ":16: the window [30s] is shorter"},
		"a subquery with one step":         {page, "client:consign_jobs_failed:rate5m", "max_over_time(client:consign_jobs_failed:rate5m[5m:5m])", page + ":16: the subquery [5m:5m] has fewer than two steps"},
		"a window longer than is kept":     {page, "client:consign_jobs_failed:rate5m", "max_over_time(client:consign_jobs_failed:rate5m[60d])", page + ":16: the window [60d] is longer than what Prometheus keeps (5w)"},
		"a look into the future":           {page, "client:consign_jobs_failed:rate5m", "client:consign_jobs_failed:rate5m offset -5m", page + ":16: the offset -5m0s looks into the future"},
		"an offset longer than is kept":    {page, "client:consign_jobs_failed:rate5m", "client:consign_jobs_failed:rate5m offset 90d", page + ":16: the offset 90d is longer"},
		"a rule about one moment":          {alerts, "client:consign_jobs_failed:rate5m", "client:consign_jobs_failed:rate5m @ 0", alerts + ":9: JobsFail: a rule with @ yields the same at all times"},
		"a wait of one evaluation":         {alerts, "for: 1m", "for: 15s", jobs + "for: 15s is shorter than two evaluations (one each 15s)"},
		"a hold of one evaluation":         {alerts, "for: 1m", "keep_firing_for: 20s", jobs + "keep_firing_for: 20s is shorter than two evaluations"},
		"a P1 that a gap ends":             {alerts, "labels: {priority: P2, component: jobs", "labels: {priority: P1, component: jobs", jobs + "keep_firing_for is 0s: at least 2m, which is policy.resolve_grace"},
		"a P0 that a longer gap ends":      {alerts, "labels: {priority: P2, component: jobs", "keep_firing_for: 1m\n        labels: {priority: P0, component: jobs", jobs + "keep_firing_for is 1m: at least 2m"},
		"a group that is evaluated rarely": {alerts, "interval: 15s", "interval: 10m", jobs + "its group is evaluated every 10m: what it records is stale after 5m"},

		// Dashboards.
		"a uid that is none":               {panels, `"uid": "sale"`, `"uid": "Sale"`, panels + `:1: the uid "Sale" is not one of 4 to 40 small letters`},
		"no uid":                           {panels, `  "uid": "sale",`, "", panels + `:1: the uid "" is not one of 4 to 40 small letters`},
		"a uid that changed":               {panels, `"uid": "sale"`, `"uid": "sale-2"`, panels + `:2: the uid is "sale-2", but was "sale" (grafana-dashboards/uids.yml:1)`},
		"a dashboard that is not listed":   {panelUIDs, "sale.json", "sales.json", panelUIDs + ":1: sale.json is missing: add it with its uid, sale"},
		"a dashboard that is gone":         {panelUIDs, "sale.json: sale", "sale.json: sale\nold.json: old", panelUIDs + ":2: there is no dashboard old.json"},
		"a dashboard without a title":      {panels, `"title": "Sale",`, "", panels + ":1: the dashboard has no title"},
		"a dashboard with an id":           {panels, `"id": null`, `"id": 7`, panels + ":4: the id is Grafana's to give"},
		"an old schema":                    {panels, `"schemaVersion": 42`, `"schemaVersion": 39`, panels + ":4: schemaVersion is not 42"},
		"a dashboard that can be edited":   {panels, `"editable": false`, `"editable": true`, panels + ":4: the dashboard can be edited"},
		"no variable for the data source":  {panels, `"type": "datasource"`, `"type": "custom"`, panels + `:10: datasource: the variable has the type "custom"`},
		"another variable for it":          {panels, `"name": "datasource"`, `"name": "source"`, panels + ":1: the variable datasource is missing"},
		"another label for it":             {panels, `"label": "Data Source"`, `"label": "Source"`, panels + ":10: datasource: the variable for the data source is named datasource"},
		"a variable without a label":       {panels, `"label": "Client", `, "", panels + ":6: client: the variable has no label"},
		"a variable with one value":        {panels, `"multi": true`, `"multi": false`, panels + ":7: client: multi of the variable is not true"},
		"a variable without All":           {panels, `"includeAll": true, `, "", panels + ":6: client: includeAll of the variable is not true"},
		"a variable with another All":      {panels, `"[^_].*"`, `".+"`, panels + `:7: client: allValue of the variable is not "[^_].*"`},
		"a variable that is never renewed": {panels, `"refresh": 2`, `"refresh": 1`, panels + ":7: client: refresh of the variable is not 2"},
		"a variable that asks otherwise":   {panels, "label_values(consign_client_info, client)", "consign_client_info", panels + ":6: client: the variable does not ask label_values"},
		"not PromQL in a variable":         {panels, "label_values(consign_client_info, client)", "label_values(consign_client_info{, client)", panels + ":8: Sale: "},
		"a variable that nothing reads": {panels, `    {"name": "datasource"`, `    {"name": "plan", "label": "Plan", "type": "query", "datasource": {"uid": "${datasource}"}, "query": "label_values(consign_client_info, plan)"},
    {"name": "datasource"`, panels + ":10: plan: nothing reads the variable"},
		"a variable that does not exist":    {panels, "Items that sold.", "Items of $event that sold.", panels + `:32: Sold: there is no variable "event"`},
		"another data source of a variable": {panels, `"datasource": {"uid": "${datasource}"}, "multi"`, `"datasource": {"uid": "prometheus"}, "multi"`, panels + `:6: client: the data source is "prometheus", not ${datasource}`},
		"another one of an annotation":      {panels, `"Alerts", "datasource": {"uid": "${datasource}"}`, `"Alerts", "datasource": {"uid": "-- Grafana --"}`, panels + `:14: Alerts: the data source is "-- Grafana --"`},
		"another one of a panel":            {panels, `"interval": "1m", "datasource": {"uid": "${datasource}"}`, `"interval": "1m"`, panels + `:20: Jobs by outcome: the data source is ""`},
		"another one of a query":            {panels, `"refId": "B", "datasource": {"uid": "${datasource}"}`, `"refId": "B", "datasource": {"uid": "b"}`, panels + `:26: Jobs by outcome: the data source is "b"`},
		"a panel of Angular":                {panels, `"type": "timeseries"`, `"type": "graph"`, panels + `:21: Jobs by outcome: the panel type "graph" is not one that Grafana 12 and 13 have`},
		"a panel without a title":           {panels, `"title": "Sold", `, "", panels + ":31: the panel has no title"},
		"a panel without a description":     {panels, `"description": "Items that sold.", `, "", panels + ":31: Sold: the panel has no description"},
		"a panel without a unit":            {panels, `"unit": "cps", `, "", panels + ":20: Jobs by outcome: the panel has no unit"},
		"a panel without any format":        {panels, `"fieldConfig": {"defaults": {"unit"`, `"config": {"defaults": {"unit"`, panels + ":20: Jobs by outcome: the panel has no unit"},
		"a unit that does not exist":        {panels, `"unit": "cps"`, `"unit": "req/s"`, panels + `:23: Jobs by outcome: Grafana has no unit "req/s"`},
		"a unit of a column that does not":  {panels, `"value": "none"`, `"value": "nothing"`, panels + `:33: Sold: Grafana has no unit "nothing"`},
		"a panel that asks nothing": {panels, `"targets": [
        {"refId"`, `"target": [
        {"refId"`, panels + ":31: Sold: the panel has no query"},
		"a query that is empty":            {panels, `"expr": "topk(3, client:consign_items_sold:max{client=~\"${client:regex}\"})"`, `"expr": " "`, panels + ":35: Sold: the query is empty"},
		"two queries of one name":          {panels, `"refId": "B"`, `"refId": "A"`, panels + `:26: Jobs by outcome: the refId "A" of the query`},
		"two panels of one title":          {panels, `"title": "Help"`, `"title": "Sold"`, panels + ":38: Sold: another panel has this title"},
		"two panels of one id":             {panels, `"id": 4`, `"id": 3`, panels + ":39: Help: another panel has the id 3"},
		"panels on each other":             {panels, `"x": 12, "y": 9`, `"x": 11, "y": 9`, panels + `:38: Help: the panel lies on "Sold"`},
		"a panel beyond the grid":          {panels, `"x": 12, "y": 9`, `"x": 13, "y": 9`, panels + ":38: Help: the panel is not within the 24 columns"},
		"a query of all clients":           {panels, `rate(consign_client_jobs_total{client=~\"$client\"}`, "rate(consign_client_jobs_total", panels + `:25: Jobs by outcome: consign_client_jobs_total has the label client: show only what is chosen, client=~"$client"`},
		"a query of all clients but one":   {panels, `rate(consign_client_jobs_total{client=~\"$client\"}`, `rate(consign_client_jobs_total{client!~\"$client\"}`, panels + ":25: Jobs by outcome: consign_client_jobs_total has the label client"},
		"a query of any client":            {panels, `rate(consign_client_jobs_total{client=~\"$client\"}`, `rate(consign_client_jobs_total{client=~\".+\"}`, panels + ":25: Jobs by outcome: consign_client_jobs_total has the label client"},
		"an annotation of all clients":     {panels, `,client=~\"$client|_platform\"`, "", panels + ":14: Sale: ALERTS has the label client"},
		"a graph with a window of its own": {panels, "$__rate_interval", "10m", panels + ":25: Jobs by outcome: rate of a graph takes $__rate_interval"},
		"a graph over its period":          {panels, "$__rate_interval", "$__range", panels + ":25: Jobs by outcome: rate of a graph takes $__rate_interval"},
		"a moment with a graph's window":   {panels, "$__range", "$__rate_interval", panels + ":26: Jobs by outcome: increase over $__rate_interval in a query for one moment"},
		"points that are too close":        {panels, `"interval": "1m"`, `"interval": "15s"`, panels + ":22: Jobs by outcome: interval of the panel is not 1m or more"},
		"points of any distance":           {panels, `"interval": "1m", `, "", panels + ":25: Jobs by outcome: interval of the panel is not 1m or more"},
		"a counter in a panel":             {panels, "rate(consign_client_jobs_total{client=~\\\"$client\\\"}[$__rate_interval])", "consign_client_jobs_total{client=~\\\"$client\\\"}", panels + ":25: Jobs by outcome: a counter is used without rate"},
		"a link to no dashboard":           {panels, "/d/sale?", "/d/sales?", panels + `:23: Jobs by outcome: the link leads to the dashboard "sales", which does not exist`},
		"a link to no runbook":             {panels, "runbooks/JobsFail.md", "runbooks/JobsFall.md", panels + `:40: Help: the link leads to the runbook of "JobsFall", which does not exist`},
		"a link to anywhere":               {panels, `"/d/sale?${__url_time_range}"`, `"sale.html"`, panels + `:23: Jobs by outcome: the link "sale.html" is neither`},

		// Coverage.
		"a missing row":                   {coverageFile, "BM.U.active: {due: [reports]}\n", "", coverageFile + ":1: BM.U.active: the row is missing: Business Metrics / System usage: Active users"},
		"an unknown row":                  {coverageFile, "BM.U.active:", "BM.U.actives:", coverageFile + ":37: BM.U.actives: there is no such row"},
		"a row that nothing serves":       {coverageFile, "BM.U.active: {due: [reports]}", "BM.U.active: {}", coverageFile + ":37: BM.U.active: nothing serves the row"},
		"a row due with something":        {coverageFile, "BM.U.active: {due: [reports]}", "BM.U.active: {due: [later]}", coverageFile + `:37: BM.U.active: due "later" is not one of reports`},
		"a row with an unknown metric":    {coverageFile, "BM.U.active: {due: [reports]}", "BM.U.active: {metrics: [consign_users]}", coverageFile + `:37: BM.U.active: there is no metric "consign_users"`},
		"a row with an unknown rule":      {coverageFile, "BM.U.active: {due: [reports]}", "BM.U.active: {rules: [a]}", coverageFile + `:37: BM.U.active: no rule records "a"`},
		"a row with an unknown alert":     {coverageFile, "BM.U.active: {due: [reports]}", "BM.U.active: {alerts: [A]}", coverageFile + `:37: BM.U.active: there is no alert "A"`},
		"a row with an unknown panel":     {coverageFile, "BM.U.active: {due: [reports]}", "BM.U.active: {panels: [sale/Users]}", coverageFile + `:37: BM.U.active: there is no panel "sale/Users"`},
		"a priority without an alert":     {coverageFile, slowRow, "AL.P2.slow: {metrics: [consign_items]}", coverageFile + ":70: AL.P2.slow: a row of the list of priorities has a priority and a category, from which its alerts follow"},
		"a priority of another alert":     {coverageFile, "AL.P1.delay: {due: [reports]}", "AL.P1.delay: {alerts: [ApiSlow]}", coverageFile + ":68: AL.P1.delay: the alert ApiSlow never has priority P1"},
		"a row without a category":        {coverageFile, coveredRow, "AL.P2.disruption: {priority: P2, alerts: [JobsFail]}", coverageFile + ":69: AL.P2.disruption: a row of the list of priorities has a priority and a category"},
		"a row without a priority":        {coverageFile, coveredRow, "AL.P2.disruption: {category: disruption}", coverageFile + ":69: AL.P2.disruption: a row of the list of priorities has a priority and a category"},
		"a row of another priority":       {coverageFile, coveredRow, "AL.P2.disruption: {priority: P1, category: disruption}", coverageFile + `:69: AL.P2.disruption: the priority is "P1", but the row is about P2`},
		"a category that no alert has":    {coverageFile, coveredRow, "AL.P2.disruption: {priority: P2, category: outage}", coverageFile + `:69: AL.P2.disruption: no alert has priority P2 and category "outage"`},
		"a priority without the category": {coverageFile, "AL.P1.delay: {due: [reports]}", "AL.P1.delay: {priority: P1, category: slow}", coverageFile + `:68: AL.P1.delay: no alert has priority P1 and category "slow"`},
		"an alert of the category":        {coverageFile, coveredRow, "AL.P2.disruption: {priority: P2, category: disruption, alerts: [JobsFail]}", coverageFile + ":69: AL.P2.disruption: the alert JobsFail follows from priority and category"},
		"two rows of a category":          {coverageFile, slowRow, "AL.P2.slow: {priority: P2, category: disruption}", coverageFile + ":70: AL.P2.slow: AL.P2.disruption has the same priority and category"},
		"a category of another row":       {coverageFile, "BM.U.active: {due: [reports]}", "BM.U.active: {priority: P2, category: slow}", coverageFile + ":37: BM.U.active: only a row of the list of priorities"},
		"a category of no row":            {coverageFile, slowRow, "AL.P2.slow: {due: [reports]}", alerts + `:21: ApiSlow: the label category is "slow", not one of disruption, heartbeat, monitoring, resolution, routing`},
		"a rule of another category":      {alerts, "category: disruption", "category: disruptions", coverageFile + `:69: AL.P2.disruption: no alert has priority P2 and category "disruption"`},

		// Tests.
		"a test of no alert":             {cases, "alertname: JobsFail", "alertname: JobsFall", cases + `:13: tests the alert "JobsFall", which does not exist`},
		"no case that fires":             {cases, "exp_alerts:\n          - exp_labels: {severity: warning, team: support, priority: P2, component: api", "exp_alert:\n          - exp_labels: {severity: warning, team: support, priority: P2, component: api", alerts + ":21: ApiSlow: rules/tests has no case in which the alert fires"},
		"no case that does not":          {cases, "      - {eval_time: 5m, alertname: ApiSlow}\n", "", alerts + ":21: ApiSlow: rules/tests has no case, before it fires, in which the alert does not fire"},
		"no case that resolves":          {cases, "      - {eval_time: 28m, alertname: ApiSlow}\n", "", alerts + ":21: ApiSlow: rules/tests has no case in which the alert has fired and resolves"},
		"a silent case without series":   {cases, "values: 0x20 0+15x40 600x60\n      - series: consign_items{client=\"north\",event=\"fall\",category=\"toys\",state=\"sold\"", "values: _x30 0+15x40 600x60\n      - series: consign_items{client=\"north\",event=\"fall\",category=\"toys\",state=\"draft\"", cases + ":13: JobsFail: at 5m the test has no sample that the alert reads"},
		"test input that lacks a label":  {cases, `category="toys",`, "", cases + `:10: the series lacks the label "category", which every series of consign_items has`},
		"a case with labels of no rule":  {cases, "component: jobs, category: disruption, client", "component: job, category: disruption, client", cases + ":14: JobsFail: no rule of this name makes an alert with these exp_labels"},
		"a case without a static label":  {cases, "component: jobs, category: disruption, client", "component: jobs, client", cases + ":14: JobsFail: no rule of this name makes"},
		"a case without a label":         {cases, "subject: north}", "}", cases + ":14: JobsFail: exp_labels lacks the label subject"},
		"a case without all annotations": {cases, "              summary: Jobs fail during a sale.\n", "", cases + ":14: JobsFail: exp_annotations lacks the annotation summary"},
	}
}

func TestARecordingMayReadItself(t *testing.T) {
	t.Parallel()
	root := goodBundle(t)
	root["rules/recording/latch.yml"] = &fstest.MapFile{Data: []byte(`groups: [{name: latch, rules: [
  {record: 'client:seen:max', expr: 'max by (client) (consign_client_stored_bytes) or client:seen:max'}]}]`)}
	text := string(root[cases].Data)
	root[cases] = &fstest.MapFile{Data: []byte(strings.Replace(text, "expr: client:consign_items_sold:max", "expr: client:consign_items_sold:max or client:seen:max", 1))}
	if found := problemsOf(root); found != "" {
		t.Error(found)
	}
}

func TestMistakesOfWholeFilesAreFound(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		spoil func(fstest.MapFS)
		want  string
	}{
		"no rules":            {func(root fstest.MapFS) { delete(root, alerts) }, "rules/alerts: no rule file; run in the project's folder"},
		"no list of coverage": {func(root fstest.MapFS) { delete(root, coverageFile) }, coverageFile},
		"a page of coverage that is old": {func(root fstest.MapFS) {
			root[coverageDoc] = &fstest.MapFile{Data: bytes.Replace(root[coverageDoc].Data, []byte("API endpoints"), []byte("Endpoints"), 1)}
		}, coverageDoc + ":10: the file is not what docs/coverage.yml says; run go test ./pkg/alerting/bundle -update"},
		"two dashboards of one uid": {func(root fstest.MapFS) {
			root["grafana-dashboards/sale2.json"] = root[panels]
			root[panelUIDs] = &fstest.MapFile{Data: []byte("sale.json: sale\nsale2.json: sale\n")}
		}, `grafana-dashboards/sale2.json:1: grafana-dashboards/sale.json has the same title, "Sale"` + "\n" + `grafana-dashboards/sale2.json:1: grafana-dashboards/sale.json has the same uid, "sale"`},
		"no list of uids":     {func(root fstest.MapFS) { delete(root, panelUIDs) }, panelUIDs},
		"no page of coverage": {func(root fstest.MapFS) { delete(root, coverageDoc) }, coverageDoc + ":1: the file is not"},
		"a recording without a test": {func(root fstest.MapFS) {
			root["rules/recording/more.yml"] = &fstest.MapFile{Data: []byte("groups: [{name: more, rules: [{record: 'client:x:max', expr: 'max by (client) (consign_client_stored_bytes)'}]}]")}
		}, "rules/recording/more.yml:1: client:x:max: no promql_expr_test in rules/tests and no tested alert reads this recording"},
	} {
		t.Run(name, func(t *testing.T) {
			root := goodBundle(t)
			c.spoil(root)
			if found := problemsOf(root); !strings.Contains(found, c.want) {
				t.Errorf("found:\n%s\nwant among them: %s", found, c.want)
			}
		})
	}
}

func TestDashboardsAreFoundInFolders(t *testing.T) {
	t.Parallel()
	root := goodBundle(t)
	root["grafana-dashboards/business/more.json"] = &fstest.MapFile{Data: []byte(`{"title": "More", "uid": "more", "panels": [{"title": "P", "targets": [{"expr": "nothing"}]}]}`)}
	if found, want := problemsOf(root), path.Join("grafana-dashboards/business/more.json")+`:1: P: metric "nothing"`; !strings.Contains(found, want) {
		t.Errorf("found:\n%s\nwant among them: %s", found, want)
	}
}
