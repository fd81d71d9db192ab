package bundle

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/rulefmt"
	"go.yaml.in/yaml/v3"

	"github.com/consignwatch/consignwatch/pkg/yamlfile"
)

// The intervals that the rules are written for: the longest evaluation interval of a group without its own, and the scrape interval
// of exporters. In the demo both are shorter.
const (
	evaluationInterval = 15 * time.Second
	scrapeInterval     = 15 * time.Second
)

// rule is a recording or alert rule with its position.
type rule struct {
	rulefmt.Rule
	line     int           // where the rule begins
	interval time.Duration // of its group
	query    *query
	// templateQueries are the queries in the templates of its labels and annotations.
	templateQueries []*query
}

func (l *loader) ruleFile(file string, text []byte) error {
	if _, err := yamlfile.Parse(file, text, &rulefmt.RuleGroups{}); err != nil {
		return err // the error has the line
	}
	groups, errs := rulefmt.Parse(text, false, model.UTF8Validation, l.promql, slog.New(slog.DiscardHandler))
	if len(errs) > 0 {
		for i := range errs {
			errs[i] = fmt.Errorf("%s:%w", file, errs[i])
		}
		return errors.Join(errs...)
	}
	var places struct {
		Groups []struct {
			Rules []positioned[struct {
				Expr                positioned[string]
				Labels, Annotations map[string]positioned[string]
			}]
		}
	}
	if err := yaml.Unmarshal(text, &places); err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	for i, g := range groups.Groups {
		for j, source := range g.Rules {
			source.Labels = merged(g.Labels, source.Labels)
			place := places.Groups[i].Rules[j]
			r := &rule{Rule: source, line: place.line, interval: time.Duration(g.Interval)}
			if r.interval == 0 {
				r.interval = evaluationInterval
			}
			expr, err := l.promql.ParseExpr(source.Expr)
			if err != nil {
				return fmt.Errorf("%s:%d: %w", file, place.line, err)
			}
			r.query = &query{use: forRecording, name: source.Record + source.Alert, file: file,
				line: place.value.Expr.line, block: place.value.Expr.block, text: source.Expr, expr: expr}
			if source.Alert != "" {
				r.query.use = forAlert
			}
			for _, texts := range []map[string]positioned[string]{place.value.Labels, place.value.Annotations} {
				queries, err := l.templateQueries(r.query, texts)
				if err != nil {
					return err
				}
				r.templateQueries = append(r.templateQueries, queries...)
			}
			for _, key := range sortedKeys(place.value.Annotations) {
				text := place.value.Annotations[key]
				l.bundle.prose = append(l.bundle.prose, prose{file: file, line: text.line, name: r.query.name, text: blankOut(templateCode, text.value), lines: text.block})
			}
			l.bundle.rules = append(l.bundle.rules, r)
		}
	}
	return nil
}

func merged(group, own map[string]string) map[string]string {
	all := map[string]string{}
	maps.Copy(all, group)
	maps.Copy(all, own)
	return all
}
