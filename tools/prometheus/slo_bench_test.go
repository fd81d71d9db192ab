package prometheus_test

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb"
)

// recordedEvery is the interval of the recordings that long windows are averaged from, and the range over which they are read.
var recordedEvery = map[string]struct{ interval, span time.Duration }{
	"rate5m":  {15 * time.Second, 2 * time.Hour},
	"rate30m": {30 * time.Second, 6 * time.Hour},
	"rate2h":  {4 * time.Minute, 30 * 24 * time.Hour},
}

// BenchmarkBudgets evaluates the SLO groups with long windows, with a month of samples: two SLOs of a number of clients, and six of the platform.
// BenchmarkRules has only an hour of samples, with which these groups are fast. One operation is one evaluation of one group.
func BenchmarkBudgets(b *testing.B) {
	for _, clients := range []int{50, 500} {
		b.Run(fmt.Sprintf("clients=%d", clients), func(b *testing.B) {
			db, end := budgets(b, clients)
			for _, g := range load(b, db) {
				if g.Name() != "slo_hours" && g.Name() != "slo_days" && g.Name() != "slo_month" {
					continue
				}
				b.Run(g.Name(), func(b *testing.B) {
					at := end
					for b.Loop() {
						g.Eval(b.Context(), at)
						at = at.Add(time.Millisecond)
					}
					for _, r := range g.Rules() {
						if r.LastError() != nil {
							b.Errorf("%s: %v", r.Name(), r.LastError())
						}
					}
				})
			}
		})
	}
}

// budgets returns a storage with a month of recordings.
func budgets(b *testing.B, clients int) (*tsdb.DB, time.Time) {
	options := tsdb.DefaultOptions()
	options.MinBlockDuration, options.MaxBlockDuration = (100 * 24 * time.Hour).Milliseconds(), (100 * 24 * time.Hour).Milliseconds()
	db, err := tsdb.Open(b.TempDir(), slog.New(slog.DiscardHandler), nil, options, nil)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = db.Close() })
	var slos []labels.Labels
	add := func(client, slo string) {
		slos = append(slos, labels.FromStrings("client", client, "component", "c", "slo", slo))
	}
	for _, slo := range strings.Fields("api_availability api_latency order_import webhook_processing mail_delivery checkout") {
		add("_platform", slo)
	}
	for i := range clients {
		add(fmt.Sprintf("client-%d", i), "api_availability")
		add(fmt.Sprintf("client-%d", i), "checkout")
	}
	end := start.Add(30 * 24 * time.Hour)
	for window, recorded := range recordedEvery {
		for _, of := range []string{"events", "errors"} {
			refs := make([]storage.SeriesRef, len(slos))
			names := make([]labels.Labels, len(slos))
			for i, l := range slos {
				names[i] = labels.NewBuilder(l).Set(labels.MetricName, "client_slo:consign_slo_"+of+":"+window).Labels()
			}
			appender := db.Appender(b.Context())
			n := 0
			for at := end.Add(-recorded.span); !at.After(end); at = at.Add(recorded.interval) {
				for i := range slos {
					value := 5 + float64((n+i)%17)/10
					if of == "errors" {
						value /= 1000
					}
					if refs[i], err = appender.Append(refs[i], names[i], at.UnixMilli(), value); err != nil {
						b.Fatal(err)
					}
				}
				if n++; n%500 == 0 {
					if err := appender.Commit(); err != nil {
						b.Fatal(err)
					}
					appender = db.Appender(b.Context())
				}
			}
			if err := appender.Commit(); err != nil {
				b.Fatal(err)
			}
		}
	}
	return db, end
}
