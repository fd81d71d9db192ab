package mandrill

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestTotalsNeverFallUnlessTheServiceIsReset(t *testing.T) {
	t.Parallel()
	opened := time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	at := func(round int) time.Time { return now.Add(time.Duration(round) * time.Minute) }
	type ok struct {
		origin string
		counts []float64
	}
	type shown struct {
		Since  time.Time
		Counts []float64
	}
	for name, c := range map[string]struct {
		ok   []ok
		want []shown
	}{
		"growing": {
			[]ok{{"a", []float64{10, 1}}, {"a", []float64{12, 1}}},
			[]shown{{opened, []float64{10, 1}}, {opened, []float64{12, 1}}},
		},
		"a server that is behind": {
			[]ok{{"a", []float64{1000, 10}}, {"a", []float64{990, 9}}, {"a", []float64{1001, 10}}},
			[]shown{{opened, []float64{1000, 10}}, {opened, []float64{1000, 10}}, {opened, []float64{1001, 10}}},
		},
		"one number falls, the first does not": {
			[]ok{{"a", []float64{1000, 10}}, {"a", []float64{1001, 0}}},
			[]shown{{opened, []float64{1000, 10}}, {opened, []float64{1001, 10}}},
		},
		"zeros now and then are no new beginning": {
			[]ok{{"a", []float64{1000}}, {"a", []float64{0}}, {"a", []float64{0}}, {"a", []float64{1002}}, {"a", []float64{0}}, {"a", []float64{1003}}},
			[]shown{{opened, []float64{1000}}, {opened, []float64{1000}}, {opened, []float64{1000}}, {opened, []float64{1002}}, {opened, []float64{1002}}, {opened, []float64{1003}}},
		},
		"a new beginning": {
			[]ok{{"a", []float64{1000, 10}}, {"a", []float64{3, 0}}, {"a", []float64{4, 0}}, {"a", []float64{5, 1}}, {"a", []float64{6, 1}}},
			[]shown{{opened, []float64{1000, 10}}, {opened, []float64{1000, 10}}, {opened, []float64{1000, 10}}, {at(1), []float64{5, 1}}, {at(1), []float64{6, 1}}},
		},
		"another account": {
			[]ok{{"a", []float64{1000}}, {"b", []float64{900}}, {"b", []float64{901}}},
			[]shown{{opened, []float64{1000}}, {opened, []float64{900}}, {opened, []float64{901}}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			var sum monotonicTotals
			var got []shown
			for round, ok := range c.ok {
				sum.update(ok.origin, opened, ok.counts, at(round))
				got = append(got, shown{sum.since, append([]float64(nil), sum.counts...)})
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
