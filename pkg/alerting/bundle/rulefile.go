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

	"github.com/consignwatch/consignwatch/pkg/alerting/bundle/promql"
	"github.com/consignwatch/consignwatch/pkg/alerting/bundle/prose"
	"github.com/consignwatch/consignwatch/pkg/yamlfile"
)

// rule is a recording or alert rule with its position.
type rule struct {
	promql.Rule
	interval time.Duration // of its group
	// templateQueries are the queries in the templates of its labels and annotations.
	templateQueries []*promql.Query
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
			r := &rule{Rule: promql.Rule{Rule: source, Line: place.line}, interval: time.Duration(g.Interval)}
			if r.interval == 0 {
				r.interval = evaluationInterval
			}
			expr, err := l.promql.ParseExpr(source.Expr)
			if err != nil {
				return fmt.Errorf("%s:%d: %w", file, place.line, err)
			}
			r.Query = &promql.Query{Use: promql.ForRecording, Name: source.Record + source.Alert, File: file,
				Line: place.value.Expr.line, Block: place.value.Expr.block, Text: source.Expr, Expr: expr}
			if source.Alert != "" {
				r.Query.Use = promql.ForAlert
			}
			for _, texts := range []map[string]positioned[string]{place.value.Labels, place.value.Annotations} {
				queries, err := l.templateQueries(r.Query, texts)
				if err != nil {
					return err
				}
				r.templateQueries = append(r.templateQueries, queries...)
			}
			for _, key := range sortedKeys(place.value.Annotations) {
				text := place.value.Annotations[key]
				l.bundle.texts = append(l.bundle.texts, prose.Text{File: file, Line: text.line, Name: r.Query.Name, Text: prose.WithoutActions(text.value), Lines: text.block})
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
