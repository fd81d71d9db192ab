package catalog

import (
	"bytes"
	"strings"
	"testing"

	"github.com/consignwatch/consignwatch/pkg/golden"
)

func TestShippedDeclarationsObeyTheRules(t *testing.T) {
	c := Shipped() // panics when they do not
	if len(c.All()) < 20 {
		t.Errorf("the catalog has only %d metrics", len(c.All()))
	}
}

func TestASlugIsAValueOfTheLabelClient(t *testing.T) {
	m, _ := Shipped().Lookup("consign_client_info")
	label := m.Labels[m.LabelIndex("client")]
	for name, want := range map[string]bool{
		"north-sale": true, "2nd_swing": true, strings.Repeat("a", 63): true,
		strings.Repeat("a", 64): false, "": false, "North": false, "-north": false, "north\n": false, "_platform": false,
	} {
		if got := IsSlug(name); got != want || label.Matches(name) != want {
			t.Errorf("IsSlug(%q) = %t, and the label client has it: %t; want %t", name, got, label.Matches(name), want)
		}
	}
}

func TestABadDeclarationIsRejectedWithItsReason(t *testing.T) {
	good := func() Metric {
		return Metric{Name: "consign_items", Type: Gauge, Unit: Count, Help: "Items.", Labels: []Label{client()}}
	}
	for name, c := range map[string]struct {
		spoil func(*Metric)
		want  string
	}{
		"name without prefix":           {func(m *Metric) { m.Name = "items" }, "a name has a prefix"},
		"name in capitals":              {func(m *Metric) { m.Name = "consign_Items" }, "a name has a prefix"},
		"counter without _total":        {func(m *Metric) { m.Type = Counter }, "a counter ends in _total"},
		"gauge with _total":             {func(m *Metric) { m.Name = "consign_items_total" }, "only a counter ends in _total"},
		"reserved suffix":               {func(m *Metric) { m.Name = "consign_items_count" }, "the suffix _count is taken"},
		"no help":                       {func(m *Metric) { m.Help = "" }, "help must be a sentence"},
		"help without period":           {func(m *Metric) { m.Help = "Items" }, "help must be a sentence"},
		"unknown type":                  {func(m *Metric) { m.Type = "summary" }, `type "summary" is not one of`},
		"unknown unit":                  {func(m *Metric) { m.Unit = "minutes" }, `unit "minutes" is not known`},
		"seconds without suffix":        {func(m *Metric) { m.Unit = Seconds }, "ends in _seconds"},
		"count with suffix":             {func(m *Metric) { m.Name = "consign_wait_seconds" }, "does not have the unit count"},
		"timestamp as seconds":          {func(m *Metric) { m.Name, m.Unit = "consign_x_timestamp_seconds", Seconds }, "has the unit timestamp"},
		"money without currency":        {func(m *Metric) { m.Unit = Money }, "money carries the label currency"},
		"histogram without buckets":     {func(m *Metric) { m.Type = Histogram }, "declares its buckets"},
		"gauge with buckets":            {func(m *Metric) { m.Buckets = []float64{1} }, "declares its buckets"},
		"buckets that do not grow":      {func(m *Metric) { m.Type, m.Buckets = Histogram, []float64{1, 1} }, "buckets must increase"},
		"label job":                     {func(m *Metric) { m.Labels[0].Name = "job" }, "label job: the name is reserved"},
		"label exported_client":         {func(m *Metric) { m.Labels[0].Name = "exported_client" }, "the name is reserved"},
		"label __name__":                {func(m *Metric) { m.Labels[0].Name = "__name__" }, "a label name is lower-case words"},
		"label twice":                   {func(m *Metric) { m.Labels = append(m.Labels, client()) }, "label client: declared twice"},
		"open label without limit":      {func(m *Metric) { m.Labels[0].Limit = 0 }, "needs a pattern, a max_length and a limit"},
		"open label without pattern":    {func(m *Metric) { m.Labels[0].Pattern = "" }, "needs a pattern, a max_length and a limit"},
		"open label with bad pattern":   {func(m *Metric) { m.Labels[0].Pattern = "(" }, "missing closing )"},
		"closed label with a limit":     {func(m *Metric) { m.Labels[0].Values = []string{"a"} }, "either values, or a pattern"},
		"limit within an unknown label": {func(m *Metric) { m.Labels[0].Within = "shop" }, `within the label "shop"`},
	} {
		t.Run(name, func(t *testing.T) {
			m := good()
			c.spoil(&m)
			if _, err := New(m); err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), m.Name) {
				t.Errorf("New = %v, want an error with %q that names the metric", err, c.want)
			}
		})
	}
	if _, err := New(good(), good()); err == nil || !strings.Contains(err.Error(), "declared twice") {
		t.Errorf("the same metric twice: %v", err)
	}
	if _, err := New(good()); err != nil {
		t.Errorf("a good declaration was refused: %v", err)
	}
}

func TestLabelDomains(t *testing.T) {
	c, err := New(Metric{Name: "consign_items", Type: Gauge, Unit: Count, Help: "Items.", Labels: []Label{client(), oneOf("state", "sold", "draft")}})
	if err != nil {
		t.Fatal(err)
	}
	m, _ := c.Lookup("consign_items")
	for value, want := range map[string]bool{
		"north": true, "north-2_b": true, "2north": true,
		"": false, "North": false, "jane@example.com": false, "-north": false, "north sale": false, "north\nsouth": false,
		strings.Repeat("n", 63): true, strings.Repeat("n", 64): false, "bad\xff": false,
	} {
		if got := m.Labels[0].Matches(value); got != want {
			t.Errorf("client %q matches: %v, want %v", value, got, want)
		}
	}
	if !m.Labels[1].Matches("sold") || m.Labels[1].Matches("other") {
		t.Error("a closed label has its values and no others")
	}
	for _, l := range m.Labels {
		if l.Optional = true; !l.Matches("") {
			t.Errorf("a series cannot lack the optional label %s", l.Name)
		}
	}
}

func TestEstimateMultipliesWhatCanExistTogether(t *testing.T) {
	s := Sizes{Clients: 10, Events: 20}
	for name, want := range map[string]struct{ limit, typical int }{
		"consign_client_info":          {10, 10},                  // one name and one plan for each client
		"consign_event_info":           {20, 8},                   // one name and one status for each sale event
		"consign_items":                {20 * 20 * 6, 8 * 12 * 3}, // categories, states
		"consign_items_value":          {20 * 6, 8 * 3},           // one currency for each sale event
		"consign_integrity_violations": {10 * 10, 10 * 10},
	} {
		m, ok := Shipped().Lookup(name)
		if !ok {
			t.Fatalf("no metric %s", name)
		}
		if got := m.Series(s); got != want.limit {
			t.Errorf("%s: at most %d series, want %d", name, got, want.limit)
		}
		if got := m.TypicalSeries(s); got != want.typical {
			t.Errorf("%s: typically %d series, want %d", name, got, want.typical)
		}
	}
	h := Metric{Name: "consign_wait_seconds", Type: Histogram, Labels: []Label{oneOf("queue", "a", "b")}, Buckets: []float64{1, 2, 3}}
	if got := h.Series(s); got != 2*(3+3) {
		t.Errorf("a histogram with three buckets and two label values has %d series, want 12", got)
	}
}

// The contract's budget: at 200 clients 50,000 series for each exporter, at 1,000 clients 250,000, typically a third.
func TestEveryExporterStaysWithinTheBudget(t *testing.T) {
	c := Shipped()
	for _, clients := range []int{200, 1000} {
		budget := clients * 250
		for _, e := range c.Exporters() {
			limit, typical := 0, 0
			for _, m := range c.Of(e) {
				limit += m.Series(SizesFor(clients))
				typical += m.TypicalSeries(SizesFor(clients))
			}
			if limit > budget || typical > budget/3 {
				t.Errorf("%s with %d clients: at most %d series, typically %d; the budget is %d and a third of it", e, clients, limit, typical, budget)
			}
		}
	}
}

func TestMetricsDocumentationIsCurrent(t *testing.T) {
	const path = "../../docs/metrics.md"
	var b bytes.Buffer
	if err := Shipped().WriteMarkdown(&b); err != nil {
		t.Fatal(err)
	}
	golden.Compare(t, path, b.String()) // what `consignwatch catalog --format markdown` prints
}
