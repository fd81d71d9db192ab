// Package replay evaluates alerting and recording rules over what was recorded, in time that passes as fast as it can: with Prometheus' own storage, engine
// and rules, at the times at which a Prometheus would have evaluated them. It says what that Prometheus would have sent to Alertmanager, and when; what
// Alertmanager makes of it is not its business.
package replay

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"slices"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/rules"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb"
	"github.com/prometheus/prometheus/util/strutil"

	"github.com/consignwatch/consignwatch/pkg/recording"
)

// Config says what is evaluated, and when.
type Config struct {
	// RuleFiles are evaluated in this order, at each time one after the other. (A Prometheus evaluates groups side by side, each at a time of its own
	// within the interval, so what one group reads of another may be one interval older there.)
	RuleFiles []string
	// Interval is how often groups are evaluated that do not say it themselves.
	Interval time.Duration
	// From and To are the times of the first evaluation and of the last one.
	From, To time.Time
	// ExternalURL begins the links to Prometheus in alerts.
	ExternalURL string
	// History is what was evaluated before From; nil: nothing was.
	History *History
}

// History is the storage after an evaluation: what was scraped and recorded, for others to begin with. Which alerts fired or were pending at its end is
// forgotten, as by a Prometheus that starts without the state of its alerts.
type History struct{ folder string }

// Evaluated evaluates the rules over a recording, as Evaluate does, and keeps the storage in an empty folder.
func Evaluated(ctx context.Context, c Config, r *recording.Recording, folder string) (*History, []Post, error) {
	posts, err := evaluate(ctx, c, r, folder, func(db *tsdb.DB) error {
		return db.CompactHead(tsdb.NewRangeHead(db.Head(), db.Head().MinTime(), db.Head().MaxTime()))
	})
	return &History{folder}, posts, err
}

// resendDelay is how long Prometheus waits until it says again that an alert fires: the default of --rules.alert.resend-delay.
const resendDelay = time.Minute

// maxSamples is the most that one query may read, the default of --query.max-samples.
const maxSamples = 50_000_000

// Alert is an alert as Prometheus sends it.
type Alert struct {
	Labels       map[string]string `json:"labels"`
	Annotations  map[string]string `json:"annotations"`
	StartsAt     time.Time         `json:"startsAt"` // when it fired
	EndsAt       time.Time         `json:"endsAt"`   // when it resolved, or until when Alertmanager is to believe that it fires
	GeneratorURL string            `json:"generatorURL"`
}

// Post is what a rule sends at one time.
type Post struct {
	Time   time.Time `json:"time"`
	Alerts []Alert   `json:"alerts"`
}

// Evaluate evaluates the rules over a recording, and returns what would have been sent, in order of time. A rule file that cannot be read, and a rule
// that cannot be evaluated, are errors, which name it.
func Evaluate(ctx context.Context, c Config, r *recording.Recording) (posts []Post, err error) {
	folder, err := os.MkdirTemp("", "consignwatch-replay-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(folder)) }()
	return evaluate(ctx, c, r, folder, func(*tsdb.DB) error { return nil })
}

// evaluate evaluates in a storage in a folder, and does something with the storage at the end.
func evaluate(ctx context.Context, c Config, r *recording.Recording, folder string, finally func(*tsdb.DB) error) (posts []Post, err error) {
	external, err := url.Parse(c.ExternalURL)
	if err != nil {
		return nil, err
	}
	if c.History != nil {
		if err := os.CopyFS(folder, os.DirFS(c.History.folder)); err != nil {
			return nil, err
		}
	}
	db, err := open(folder)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()

	quiet := slog.New(slog.DiscardHandler)
	promQL := parser.NewParser(parser.Options{})
	engine := promql.NewEngine(promql.EngineOpts{
		Logger: quiet, MaxSamples: maxSamples, Timeout: 10 * time.Minute, LookbackDelta: 5 * time.Minute,
		NoStepSubqueryIntervalFn: func(int64) int64 { return c.Interval.Milliseconds() },
		EnableAtModifier:         true, EnableNegativeOffset: true, Parser: promQL,
	})
	defer engine.Close()
	now := c.From
	manager := rules.NewManager(&rules.ManagerOptions{
		QueryFunc:    rules.EngineQueryFunc(engine, db),
		AppendableV2: db, Queryable: db, Context: ctx, Logger: quiet, ExternalURL: external, ResendDelay: resendDelay, Parser: promQL,
		NotifyFunc: func(_ context.Context, expr string, alerts ...*rules.Alert) {
			if len(alerts) > 0 {
				posts = append(posts, Post{now, sent(c.ExternalURL, expr, alerts)})
			}
		},
	})
	groups, err := load(manager, c)
	if err != nil {
		return nil, err
	}
	in := feed{series: withoutRecorded(r.Series, groups)}
	for ; !now.After(c.To); now = now.Add(c.Interval) {
		if err := in.until(ctx, db, now); err != nil {
			return nil, err
		}
		for _, g := range groups {
			if now.Sub(c.From)%g.Interval() != 0 {
				continue
			}
			g.Eval(ctx, now)
			for _, rule := range g.Rules() {
				if err := rule.LastError(); err != nil {
					return nil, fmt.Errorf("%s, group %s: %s at %s: %w", g.File(), g.Name(), rule.Name(), now.Format(time.RFC3339), err)
				}
			}
		}
	}
	return posts, errors.Join(ctx.Err(), finally(db))
}

// open opens an empty storage, which forgets nothing and survives nothing.
func open(folder string) (*tsdb.DB, error) {
	options := tsdb.DefaultOptions()
	options.MinBlockDuration = int64(30 * 24 * time.Hour / time.Millisecond) // samples of any time in the recording can be added
	options.MaxBlockDuration = options.MinBlockDuration
	options.RetentionDuration = 0
	options.WALSegmentSize = -1
	return tsdb.Open(folder, slog.New(slog.DiscardHandler), nil, options, nil)
}

// load reads the rule files. Alerts count as restored: nothing was before the recording.
func load(manager *rules.Manager, c Config) ([]*rules.Group, error) {
	var all []*rules.Group
	for _, file := range c.RuleFiles {
		groups, errs := manager.LoadGroups(c.Interval, labels.EmptyLabels(), c.ExternalURL, nil, false, file)
		if len(errs) > 0 {
			return nil, errors.Join(errs...)
		}
		order := order(file)
		sorted := make([]*rules.Group, 0, len(groups))
		for _, g := range groups {
			if g.Interval()%c.Interval != 0 {
				return nil, fmt.Errorf("%s: group %s is evaluated every %s, which is no multiple of %s", file, g.Name(), model.Duration(g.Interval()), model.Duration(c.Interval))
			}
			for _, rule := range g.Rules() {
				if alerting, is := rule.(*rules.AlertingRule); is {
					alerting.SetRestored(true)
				}
			}
			sorted = append(sorted, g)
		}
		slices.SortFunc(sorted, func(a, b *rules.Group) int { return cmp.Compare(order[a.Name()], order[b.Name()]) })
		all = append(all, sorted...)
	}
	return all, nil
}

// withoutRecorded leaves out what the rules record themselves. Most of it a recording has left out already, by its name; but a rule may record under any name, as
// those of the thresholds do, and what another version of the rules has recorded must not stand beside what this one does.
func withoutRecorded(series []promql.Series, groups []*rules.Group) []promql.Series {
	recorded := map[string]bool{}
	for _, g := range groups {
		for _, rule := range g.Rules() {
			if _, is := rule.(*rules.RecordingRule); is {
				recorded[rule.Name()] = true
			}
		}
	}
	return slices.DeleteFunc(slices.Clone(series), func(s promql.Series) bool { return recorded[s.Metric.Get(model.MetricNameLabel)] })
}

func sent(externalURL, expr string, alerts []*rules.Alert) []Alert {
	var all []Alert
	for _, a := range alerts {
		end := a.ResolvedAt
		if end.IsZero() {
			end = a.ValidUntil
		}
		all = append(all, Alert{a.Labels.Map(), a.Annotations.Map(), a.FiredAt.UTC(), end.UTC(), externalURL + strutil.TableLinkForExpression(expr)})
	}
	slices.SortFunc(all, func(a, b Alert) int {
		return labels.Compare(labels.FromMap(a.Labels), labels.FromMap(b.Labels))
	})
	return all
}

// feed gives a storage the samples of a recording as time passes.
type feed struct {
	series []promql.Series
	next   []int // of the samples of each series
	refs   []storage.SeriesRef
}

// until adds all samples up to a time.
func (f *feed) until(ctx context.Context, db *tsdb.DB, now time.Time) error {
	if f.next == nil {
		f.next, f.refs = make([]int, len(f.series)), make([]storage.SeriesRef, len(f.series))
	}
	appender := db.Appender(ctx)
	for i, s := range f.series {
		for ; f.next[i] < len(s.Floats) && s.Floats[f.next[i]].T <= now.UnixMilli(); f.next[i]++ {
			x := s.Floats[f.next[i]]
			ref, err := appender.Append(f.refs[i], s.Metric, x.T, x.F)
			if err != nil {
				return errors.Join(fmt.Errorf("%s at %s: %w", s.Metric, time.UnixMilli(x.T).UTC().Format(time.RFC3339), err), appender.Rollback())
			}
			f.refs[i] = ref
		}
	}
	return appender.Commit()
}
