package catalog

import (
	"slices"
	"testing"
)

func TestEventSeriesStayWithinBudget(t *testing.T) { staysWithinBudget(t, eventMetrics()) }

func TestIntegrationSeriesStayWithinBudget(t *testing.T) {
	staysWithinBudget(t, slices.Concat(shopifyMetrics(), clerkMetrics(), mandrillMetrics()))
}

// staysWithinBudget holds an exporter to the contract, section 0.
func staysWithinBudget(t *testing.T, metrics []Metric) {
	t.Helper()
	c, err := New(metrics...)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ clients, budget int }{{200, 50_000}, {1000, 250_000}} {
		most, usual := 0, 0
		for _, m := range c.All() {
			most += m.Series(SizesFor(tt.clients))
			usual += m.TypicalSeries(SizesFor(tt.clients))
		}
		t.Logf("%d clients: at most %d, typical %d", tt.clients, most, usual)
		if most > tt.budget {
			t.Errorf("%d clients: at most %d series, want at most %d", tt.clients, most, tt.budget)
		}
		if usual > tt.budget/3 {
			t.Errorf("%d clients: typically %d series, want at most a third of %d", tt.clients, usual, tt.budget)
		}
	}
}

// The contract, section 0: two metrics instead of a client crossed with an open label.
func TestNoClientIsCrossedWithAnOpenLabel(t *testing.T) {
	for _, m := range eventMetrics() {
		if m.LabelIndex("client") < 0 {
			continue
		}
		for _, l := range m.Labels {
			if !l.Closed() && l.Name != "client" && l.Within != "client" && l.Name != "currency" {
				t.Errorf("%s: client is crossed with the open label %s", m.Name, l.Name)
			}
		}
	}
}

func TestEventMetricsAddUpOverReplicas(t *testing.T) {
	highest := []string{"consignwatch_offset", "consignwatch_last_record_timestamp_seconds", "consignwatch_counters_reset_timestamp_seconds"} // positions and times, which cannot be added
	for _, m := range eventMetrics() {
		want := Sum
		if slices.Contains(highest, m.Name) {
			want = Max
		}
		if m.Replicas != want || m.Exporter != Events || m.Section != "1" {
			t.Errorf("%s: exporter %s, section %s, replicas %s", m.Name, m.Exporter, m.Section, m.Replicas)
		}
	}
}
