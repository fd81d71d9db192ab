//go:build acceptance

package acceptance

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/consignwatch/consignwatch/pkg/dashboards"
	"github.com/consignwatch/consignwatch/pkg/demo/statefile"
	"github.com/consignwatch/consignwatch/pkg/yamlfile"
	"github.com/consignwatch/consignwatch/test/stack"
)

// dashboard has the variables and queries of a dashboard.
type dashboard struct {
	UID        string `json:"uid"`
	Templating struct {
		List []struct {
			Name     string `json:"name"`
			Type     string `json:"type"`
			AllValue string `json:"allValue"`
			Query    any    `json:"query"`
		} `json:"list"`
	} `json:"templating"`
	Panels []struct {
		Title    string `json:"title"`
		Interval string `json:"interval"`
		Targets  []struct {
			RefID string `json:"refId"`
			Expr  string `json:"expr"`
		} `json:"targets"`
	} `json:"panels"`
}

func loadDashboards(t *testing.T) []dashboard {
	t.Helper()
	files, err := dashboards.Files()
	if err != nil || len(files) == 0 {
		t.Fatalf("%d dashboards: %v", len(files), err)
	}
	var all []dashboard
	for _, name := range slices.Sorted(maps.Keys(files)) {
		var b dashboard
		if err := json.Unmarshal(files[name], &b); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		all = append(all, b)
	}
	return all
}

// emptyQuery is a panel, or one of its queries, that may have no data in this test, with the reason.
type emptyQuery struct {
	Panel  string `yaml:"panel"` // UID/TITLE
	Query  string `yaml:"query"` // refId; all of the panel's unless set
	Reason string `yaml:"reason"`
}

// variableValues are the selected values of a dashboard's variables, as Grafana interpolates them.
type variableValues map[string]string

// period is a time range, with the scrape interval of the data source.
type period struct {
	from, to time.Time
	scrape   time.Duration // scrape interval of the data source
}

const queryStep = 15 * time.Second

var grafanaVariable = regexp.MustCompile(`\$\{?([A-Za-z_]\w*)\}?`)

// interpolated interpolates variables into a query as Grafana does. $__range is half of the period, so that `offset $__range` selects the
// first half.
func interpolated(t *testing.T, expr, panelInterval string, p period, c variableValues) string {
	t.Helper()
	interval := queryStep
	if panelInterval != "" {
		minimum, err := time.ParseDuration(panelInterval)
		if err != nil {
			t.Fatal(err)
		}
		interval = max(interval, minimum)
	}
	return grafanaVariable.ReplaceAllStringFunc(expr, func(text string) string {
		switch name := grafanaVariable.FindStringSubmatch(text)[1]; name {
		case "__range":
			return fmt.Sprintf("%ds", int(p.to.Sub(p.from).Seconds()/2))
		case "__rate_interval":
			return fmt.Sprintf("%ds", int(max(interval+p.scrape, 4*p.scrape).Seconds()))
		case "__interval":
			return fmt.Sprintf("%ds", int(interval.Seconds()))
		default:
			value, known := c[name]
			if !known {
				t.Errorf("%s: no value for %s", expr, text)
			}
			return value
		}
	})
}

// regexpEscaped escapes a value for a regular expression in a PromQL string.
func regexpEscaped(value string) string {
	return strings.ReplaceAll(regexp.QuoteMeta(value), `\`, `\\`)
}

// panelFaults are the faults that give every panel data, together with those that the test has switched on before.
func panelFaults() []string {
	return []string{"sold-twice", "cross-tenant-access", "crash-loop", "errors-burst", "checkout-failing", "state-conflicts", "recoveries-failing", "cache-evicting", "brute-force", "validation-storm"}
}

// everyPanelHasData runs every query of every panel over the time since the demo's start: with All selected, and with one value of each variable. It
// waits for missing data.
func everyPanelHasData(t *testing.T, state statefile.State) {
	for _, fault := range panelFaults() {
		stack.SwitchFault(t, state, fault, "on")
	}
	begin := time.Now()
	stack.Await(t, "an alert that pages", func() string {
		if len(stack.Values(t, state, `ALERTS{alertstate="firing",priority=~"P0|P1",source_alertname=""}`)) == 0 {
			return "none fires"
		}
		return ""
	})
	alertmanager, _ := state.Part("alertmanager")
	acknowledge := exec.CommandContext(t.Context(), stack.Program(t, "consignwatch"), "ack", "--alertmanager="+alertmanager.URL, "--author=test", "--all")
	if output, err := acknowledge.CombinedOutput(); err != nil {
		t.Errorf("acknowledge an alert: %v\n%s", err, output)
	}
	var missing []string
	for deadline := begin.Add(4 * time.Minute); ; time.Sleep(5 * time.Second) {
		if missing = missingData(t, state); len(missing) == 0 || time.Now().After(deadline) || t.Failed() {
			break
		}
	}
	for _, fault := range panelFaults() {
		stack.SwitchFault(t, state, fault, "off")
	}
	t.Logf("asked every panel for %s", time.Since(begin).Round(time.Second))
	for _, m := range missing {
		t.Error(m)
	}
}

// missingData lists the queries that should have data, and have none.
func missingData(t *testing.T, state statefile.State) (missing []string) {
	p := period{from: state.Started, to: time.Now(), scrape: time.Duration(state.Interval * float64(time.Second))}
	var allowed []emptyQuery
	if _, err := yamlfile.Read("testdata/emptypanels.yml", &allowed); err != nil {
		t.Fatal(err)
	}
	used := make([]bool, len(allowed))
	singleValues := singleClientValues(t, state)
	for _, b := range loadDashboards(t) {
		allValues := variableValues{}
		for _, v := range b.Templating.List {
			if v.Type != "query" {
				continue
			}
			allValues[v.Name] = v.AllValue
			if values := labelValuesOf(t, state, interpolated(t, queryOf(v.Query), "", p, allValues), p); len(values) == 0 {
				missing = append(missing, fmt.Sprintf("%s: the variable %s has no values", b.UID, v.Name))
			}
		}
		for _, panel := range b.Panels {
			for _, target := range panel.Targets {
				name := b.UID + "/" + panel.Title
				isEmpty := slices.IndexFunc(allowed, func(e emptyQuery) bool { return e.Panel == name && (e.Query == "" || e.Query == target.RefID) })
				if isEmpty >= 0 {
					used[isEmpty] = true
				}
				query := func(c variableValues) []map[string]string {
					return querySeries(t, state, interpolated(t, target.Expr, panel.Interval, p, c), p)
				}
				found := len(query(allValues)) > 0
				if !found && isEmpty < 0 {
					missing = append(missing, fmt.Sprintf("%s, query %s: no data with All chosen: %s", name, target.RefID, target.Expr))
				}
				if len(allValues) > 0 && found && !oneClientHasData(t, name, singleValues, query) && isEmpty < 0 {
					missing = append(missing, fmt.Sprintf("%s, query %s: no data for any one client, sale event or host: %s", name, target.RefID, target.Expr))
				}
			}
		}
	}
	for i, e := range allowed {
		if !used[i] {
			t.Errorf("testdata/emptypanels.yml: there is no query %q of a panel %q", e.Query, e.Panel)
		}
		if e.Reason == "" {
			t.Errorf("testdata/emptypanels.yml: %s: say why", e.Panel)
		}
	}
	return missing
}

// oneClientHasData runs a query with one set of values after the other until it has data, and checks that no series is of another client.
func oneClientHasData(t *testing.T, name string, values []variableValues, query func(variableValues) []map[string]string) bool {
	t.Helper()
	for _, c := range values {
		found := query(c)
		for _, labels := range found {
			if client, has := labels["client"]; has && regexpEscaped(client) != c["client"] && client != "_platform" {
				t.Errorf("%s: with the client %s chosen it shows %v", name, c["client"], labels)
			}
		}
		if len(found) > 0 {
			return true
		}
	}
	return false
}

func queryOf(query any) string {
	if object, is := query.(map[string]any); is {
		query = object["query"]
	}
	text, _ := query.(string)
	return text
}

var labelValues = regexp.MustCompile(`^label_values\((.*), (\w+)\)$`)

// labelValuesOf are the values of a variable.
func labelValuesOf(t *testing.T, state statefile.State, query string, p period) []string {
	t.Helper()
	match := labelValues.FindStringSubmatch(query)
	if match == nil {
		t.Fatalf("the variable asks %q", query)
	}
	var values []string
	for _, labels := range querySeries(t, state, fmt.Sprintf("group by (%s) (%s)", match[2], match[1]), p) {
		values = append(values, labels[match[2]])
	}
	slices.Sort(values)
	return values
}

// singleClientValues are sets of values with one client, one of its sale events, and one host. Live sales come first.
func singleClientValues(t *testing.T, state statefile.State) []variableValues {
	t.Helper()
	p := period{from: time.Now().Add(-time.Minute), to: time.Now()}
	hosts := labelValuesOf(t, state, "label_values(node_boot_time_seconds, instance)", p)
	events := querySeries(t, state, "max by (client, event, status) (consign_event_info)", p)
	slices.SortStableFunc(events, func(a, b map[string]string) int {
		return cmp.Or(cmp.Compare(statusRank(b["status"]), statusRank(a["status"])), cmp.Compare(a["client"], b["client"]), cmp.Compare(a["event"], b["event"]))
	})
	var all []variableValues
	for _, e := range events {
		all = append(all, variableValues{"client": regexpEscaped(e["client"]), "event": regexpEscaped(e["event"]), "instance": regexpEscaped(hosts[0])})
	}
	return all
}

// statusRank orders the statuses of sale events by how much data they have.
func statusRank(status string) int {
	return slices.Index([]string{"setup", "complete", "reconciliation", "returns", "closed", "registration", "markdown", "active"}, status)
}

// querySeries returns the labels of the series of a query that have a value other than NaN in the period.
func querySeries(t *testing.T, state statefile.State, expression string, p period) []map[string]string {
	t.Helper()
	prometheus, _ := state.Part("prometheus")
	response, err := http.PostForm(prometheus.URL+"/api/v1/query_range", url.Values{
		"query": {expression}, "start": {fmt.Sprint(p.from.Unix())}, "end": {fmt.Sprint(p.to.Unix())}, "step": {fmt.Sprint(queryStep.Seconds())},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var answer struct {
		Status, Error string
		Data          struct {
			Result []struct {
				Metric map[string]string
				Values [][2]any
			}
		}
	}
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil || answer.Status != "success" {
		t.Errorf("%s: %s: %v", expression, answer.Error, err)
		return nil
	}
	var found []map[string]string
	for _, r := range answer.Data.Result {
		if slices.ContainsFunc(r.Values, func(v [2]any) bool { return v[1] != "NaN" }) {
			found = append(found, r.Metric)
		}
	}
	return found
}
