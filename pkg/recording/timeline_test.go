package recording

import (
	"testing"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
)

func TestFollowLetsCountersGoOn(t *testing.T) {
	r := &Recording{[]promql.Series{
		scraped("errors_total", 2e9, 100, 103, 2, 5), // reset
		scraped("new_total", 2e9, 7, 8),
		scraped("requests_total", 2e9, stale, 100, 105),
		scraped("up", 2e9, 1, 1),
	}}
	earlier := &Recording{[]promql.Series{
		scraped("ended", 1e9, 1, stale),
		scraped("errors_total", 1e9, 10, 11),
		scraped("gone_total", 1e9, 1, 2),
		scraped("requests_total", 1e9, 40, 50),
		scraped("up", 1e9, 0, 1),
	}}
	before, after := r.Follow(earlier, 15*time.Second)
	compare(t, earlier.Shift((1e9-30)*time.Second).Series, before.Series)
	compare(t, []promql.Series{
		scraped("errors_total", 2e9, 11, 14, 2, 5),
		scraped("gone_total", 2e9, stale),
		scraped("new_total", 2e9, 7, 8),
		scraped("requests_total", 2e9, stale, 50, 55),
		scraped("up", 2e9, 1, 1),
	}, after.Series)
}

func TestHoldRepeatsTheLastMinute(t *testing.T) {
	r := &Recording{[]promql.Series{
		scraped("a_last_success_timestamp_seconds", 2e9-120, 1.9e9, 1.9e9, 1.9e9, 1.9e9, 1.9e9, 1.9e9, 1.9e9, 1.9e9),                    // stuck
		scraped("aa_last_success_timestamp_seconds", 2e9-120, 1.9e9, 1.9e9, 1.9e9+90, 1.9e9+90, 1.9e9+90, 1.9e9+90, 1.9e9+90, 1.9e9+90), // every two minutes
		scraped("b_last_success_timestamp_seconds", 2e9-60, 1.9e9, 1.9e9+20, 1.9e9+20, 1.9e9+40),                                        // read now and then
		scraped("c_total", 2e9-75, 5, 10, 12, 14, 16, 99),
		scraped("d", 2e9-75, 9, 1, 2, 3, 4, 99),
		scraped("e", 2e9-600, 1, stale), // over before
	}}
	compare(t, []promql.Series{
		scraped("a_last_success_timestamp_seconds", 2e9-120, 1.9e9, 1.9e9, 1.9e9, 1.9e9, 1.9e9, 1.9e9, 1.9e9, 1.9e9, 1.9e9, 1.9e9, 1.9e9, 1.9e9),
		scraped("aa_last_success_timestamp_seconds", 2e9-120, 1.9e9, 1.9e9, 1.9e9+90, 1.9e9+90, 1.9e9+90, 1.9e9+90, 1.9e9+90, 1.9e9+90, 1.9e9+150, 1.9e9+150, 1.9e9+150, 1.9e9+150),
		scraped("b_last_success_timestamp_seconds", 2e9-60, 1.9e9, 1.9e9+20, 1.9e9+20, 1.9e9+40, 1.9e9+60, 1.9e9+80, 1.9e9+80, 1.9e9+100),
		scraped("c_total", 2e9-75, 5, 10, 12, 14, 16, 18, 20, 22, 24),
		scraped("d", 2e9-75, 9, 1, 2, 3, 4, 1, 2, 3, 4),
		scraped("e", 2e9-600, 1, stale),
	}, r.Hold(time.Unix(2e9-120, 0), time.Unix(2e9, 0), 1).Series)
}

func TestAMissedScrapeEndsTheSeriesOfItsJobForAMoment(t *testing.T) {
	of := func(job string, s promql.Series) promql.Series {
		b := labels.NewBuilder(s.Metric)
		return promql.Series{Metric: b.Set("job", job).Labels(), Floats: s.Floats}
	}
	r := &Recording{[]promql.Series{
		of("a", scraped("requests_total", 2e9, 1, 2, 3, 4)), of("a", scraped("scrape_duration_seconds", 2e9, 5, 5, 5, 5)), of("a", scraped("up", 2e9, 1, 1, 1, 1)),
		of("b", scraped("requests_total", 2e9, 1, 2, 3, 4)), of("b", scraped("up", 2e9, 1, 1, 1, 1)),
	}}
	compare(t, []promql.Series{
		of("a", scraped("requests_total", 2e9, 1, stale, 3, 4)), of("a", scraped("scrape_duration_seconds", 2e9, 5, 5, 5, 5)), of("a", scraped("up", 2e9, 1, 0, 1, 1)),
		of("b", scraped("requests_total", 2e9, 1, 2, 3, 4)), of("b", scraped("up", 2e9, 1, 1, 1, 1)),
	}, r.Missed("a", time.Unix(2e9+10, 0), 15*time.Second).Series)
}

func TestWithoutAMinuteNothingJumps(t *testing.T) {
	at := func(name string, v ...float64) promql.Series { return scraped(name, 2e9, v...) } // every 15 seconds
	r := &Recording{[]promql.Series{
		at("a_total", 1, 2, 4, 5, 7), // + 1, 2, 1, 2
		at("b_total", 5, 6, 1, 3, 4), // the process starts anew in between
		at("c_timestamp_seconds", 2e9, 2e9, 2e9+30, 2e9+45, 2e9+45),
		at("d", 1, 2, 3, 4, 5),
		at("e", 1, stale),
		at("f", 1, stale, 3, 4, 5),
		at("g", 1, 2, stale, stale, 5),
	}}
	// Without the second and the third sample.
	short := func(name string, v ...float64) promql.Series { return scraped(name, 2e9, v...) }
	compare(t, []promql.Series{
		short("a_total", 1, 2, 4), short("b_total", 5, 2, 3), short("c_timestamp_seconds", 2e9, 2e9+15, 2e9+15), short("d", 1, 4, 5),
		short("e", 1, stale), short("f", 1, 4, 5), short("g", 1, stale, 5),
	}, r.Without(time.Unix(2e9+15, 0), time.Unix(2e9+45, 0)).Series)
}

func TestWithAddsLabelsWhereTheyAreMissing(t *testing.T) {
	up := func(pairs ...string) promql.Series {
		return promql.Series{Metric: labels.FromStrings(append(pairs, model.MetricNameLabel, "consign_mysql_up")...), Floats: []promql.FPoint{{T: 1, F: 1}}}
	}
	r := &Recording{[]promql.Series{up("server", "main"), up("server", "main", "role", "replica"), scraped("up", 1, 1)}}
	compare(t, []promql.Series{up("server", "main", "role", "primary"), up("server", "main", "role", "replica"), scraped("up", 1, 1)},
		r.With([]*labels.Matcher{labels.MustNewMatcher(labels.MatchEqual, model.MetricNameLabel, "consign_mysql_up")}, labels.FromStrings("role", "primary")).Series)
}

func TestStretchKeepsRatesAndLengthensTimes(t *testing.T) {
	r := &Recording{[]promql.Series{
		scraped("a_last_success_timestamp_seconds", 2e9, 2e9-6, 2e9+15), // 6 seconds ago, and at the second sample
		scraped("b_total", 2e9, 5, 7, 1, stale, 2),                      // reset, ended, and there again
		scraped("c", 2e9, 5, 7, 1),
	}}
	got := r.Stretch(10)
	for _, s := range got.Series {
		for i, x := range s.Floats {
			if want := int64(2e12) + int64(i)*150_000; x.T != want {
				t.Errorf("%s: sample %d is at %d, want %d", s.Metric, i, x.T, want)
			}
			s.Floats[i].T = int64(2e12) + int64(i)*15_000 // for the comparison of values
		}
	}
	compare(t, []promql.Series{
		scraped("a_last_success_timestamp_seconds", 2e9, 2e9-60, 2e9+150),
		scraped("b_total", 2e9, 5, 25, 10, stale, 20),
		scraped("c", 2e9, 5, 7, 1),
	}, got.Series)
}
