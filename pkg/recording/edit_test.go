package recording

import (
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/promql"
)

var stale = math.Float64frombits(value.StaleNaN)

// scraped is a series with a sample every 15 seconds, from a time in seconds on.
func scraped(name string, from int64, values ...float64) promql.Series {
	s := promql.Series{Metric: labels.FromStrings(model.MetricNameLabel, name)}
	for i, v := range values {
		s.Floats = append(s.Floats, promql.FPoint{T: 1000 * (from + 15*int64(i)), F: v})
	}
	return s
}

func compare(t *testing.T, want, got []promql.Series) {
	t.Helper()
	if diff := cmp.Diff(want, got, cmpopts.EquateNaNs(), cmp.Comparer(labels.Equal), cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestShiftMovesSamplesAndTheTimesThatTheyTell(t *testing.T) {
	r := &Recording{[]promql.Series{
		scraped("consign_backup_last_success_timestamp_seconds", 2e9, 1.9e9, stale),
		scraped("consign_shopify_up", 2e9, 1),
		scraped("node_boot_time_seconds", 2e9, 1.5e9),
		scraped("node_cpu_time_seconds", 2e9, 1234), // a duration
	}}
	compare(t, []promql.Series{
		scraped("consign_backup_last_success_timestamp_seconds", 2e9+3600, 1.9e9+3600, stale),
		scraped("consign_shopify_up", 2e9+3600, 1),
		scraped("node_boot_time_seconds", 2e9+3600, 1.5e9+3600),
		scraped("node_cpu_time_seconds", 2e9+3600, 1234),
	}, r.Shift(time.Hour).Series)
	if r.Series[0].Floats[0].T != 2e12 {
		t.Error("the recording itself has changed")
	}
}
