package bundle

import (
	"cmp"
	"errors"
	"fmt"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/promql/parser"
	"go.yaml.in/yaml/v3"

	"github.com/consignwatch/consignwatch/pkg/alerting/bundle/promql"
)

// testGroup is one of the `tests` of a promtool test file: input series, and the expected results at given times.
type testGroup struct {
	file   string
	input  []*inputSeries
	alerts []alertCase
	exprs  []*promql.Query
}

// inputSeries is a series with the times of its samples.
type inputSeries struct {
	line   int
	labels labels.Labels
	points []point
}

// point is a sample, or the end of a series.
type point struct {
	at    time.Duration
	stale bool
}

// alertCase is an alert_rule_test: the expected alerts of one alertname at one time.
type alertCase struct {
	line     int
	at       time.Duration
	alert    string
	expected []expectedAlert
}

type expectedAlert struct {
	Labels      map[string]string `yaml:"exp_labels"`
	Annotations map[string]string `yaml:"exp_annotations"`
}

// testFile has those fields of promtool's test files that we read.
type testFile struct {
	Interval model.Duration `yaml:"evaluation_interval"`
	Tests    []struct {
		Interval model.Duration `yaml:"interval"`
		Input    []struct {
			Series positioned[string] `yaml:"series"`
			Values string             `yaml:"values"`
		} `yaml:"input_series"`
		Alerts []positioned[struct {
			At       model.Duration  `yaml:"eval_time"`
			Name     string          `yaml:"alertname"`
			Expected []expectedAlert `yaml:"exp_alerts"`
		}] `yaml:"alert_rule_test"`
		Exprs []struct {
			Expr positioned[string] `yaml:"expr"`
		} `yaml:"promql_expr_test"`
	} `yaml:"tests"`
}

func (l *loader) testFile(file string, text []byte) error {
	var doc testFile
	if err := yaml.Unmarshal(text, &doc); err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	var errs []error
	for _, t := range doc.Tests {
		g := &testGroup{file: file}
		step := time.Duration(cmp.Or(t.Interval, doc.Interval, model.Duration(time.Minute)))
		for _, in := range t.Input {
			name, values, err := l.promql.ParseSeriesDesc(in.Series.value + " " + in.Values)
			if err != nil {
				errs = append(errs, fmt.Errorf("%s:%d: %w", file, in.Series.line, err))
				continue
			}
			g.input = append(g.input, &inputSeries{line: in.Series.line, labels: name, points: points(values, step)})
		}
		for _, a := range t.Alerts {
			g.alerts = append(g.alerts, alertCase{line: a.line, at: time.Duration(a.value.At), alert: a.value.Name, expected: a.value.Expected})
		}
		for _, e := range t.Exprs {
			expr, err := l.promql.ParseExpr(e.Expr.value)
			if err != nil {
				errs = append(errs, fmt.Errorf("%s:%d: %w", file, e.Expr.line, err))
				continue
			}
			g.exprs = append(g.exprs, &promql.Query{Use: promql.ForTest, File: file, Line: e.Expr.line, Block: e.Expr.block, Text: e.Expr.value, Expr: expr})
		}
		l.bundle.tests = append(l.bundle.tests, g)
	}
	return errors.Join(errs...)
}

func points(values []parser.SequenceValue, step time.Duration) []point {
	var points []point
	for i, v := range values {
		if !v.Omitted {
			points = append(points, point{at: time.Duration(i) * step, stale: v.Histogram == nil && value.IsStaleNaN(v.Value)})
		}
	}
	return points
}

// exists reports whether the series has a sample in the window before a time.
func (s *inputSeries) exists(at, window time.Duration) bool {
	exists := false
	for _, p := range s.points {
		if p.at > at-window && p.at <= at {
			exists = !p.stale
		}
	}
	return exists
}
