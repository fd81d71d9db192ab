// Package slo reads rules/slos.yml, which has the service level objectives, and renders it: as recording rules for error
// ratios over several windows and for the error budget that is left, as alerts on burn rates, and as documentation. It
// sends no request to a server.
package slo

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"regexp"
	"strings"
	"time"

	"github.com/prometheus/prometheus/promql/parser"

	"github.com/consignwatch/consignwatch/pkg/yamlfile"
)

const (
	// File has the service level objectives.
	File = "rules/slos.yml"
	// Objective is the metric of the objectives, by slo.
	Objective = "consign_slo_objective"
	// MinimumRate is the metric of the minimum events per second for alerts on a ratio, by slo.
	MinimumRate = "consign_slo_minimum_rate"
)

// SLO is one service level objective.
type SLO struct {
	Name string `yaml:"name"`
	// What says which events are good, and Why gives the reason for the objective: sentences for the documentation.
	What string `yaml:"what"`
	Why  string `yaml:"why"`
	// Objective is the share of the events that has to be good.
	Objective float64 `yaml:"objective"`
	// Component is the label component of its alerts.
	Component string `yaml:"component"`
	// MinimumRate is the rate of events per second below which its alerts do not fire.
	MinimumRate float64 `yaml:"minimum_rate"`
	// AbsentAlerts are the alerts that fire when there are no events at all.
	AbsentAlerts []string `yaml:"absent_alerts"`
	// DependsOn are the causes that inhibit its alerts, as in the label depends_on of an alert.
	DependsOn []string `yaml:"depends_on"`
	// Platform has the expressions for the whole platform; Clients, which is optional, those for each client.
	Platform *Source `yaml:"platform"`
	Clients  *Source `yaml:"clients"`
}

// Source has the PromQL expressions for rates over five minutes.
type Source struct {
	Events string `yaml:"events"`
	Errors string `yaml:"errors"`
	// Demand is the rate of requests that should become events. It is optional.
	Demand string `yaml:"demand"`
}

// SLOs is the whole file.
type SLOs struct {
	// Window is the time window of the error budgets.
	Window yamlfile.Duration `yaml:"window"`
	SLOs   []*SLO            `yaml:"slos"`
}

// Load reads and checks rules/slos.yml below the root. The error joins all mistakes, each with its line.
func Load(root fs.FS) (*SLOs, error) {
	text, err := fs.ReadFile(root, File)
	if err != nil {
		return nil, err
	}
	s := &SLOs{}
	file, err := yamlfile.Parse(File, text, s)
	if err != nil {
		return nil, err
	}
	c := checker{file: file, promql: parser.NewParser(parser.Options{})}
	c.all(s)
	return s, errors.Join(c.errs...)
}

// checker collects the mistakes of the file.
type checker struct {
	file   *yamlfile.File
	promql parser.Parser
	errs   []error
}

func (c *checker) failf(key, format string, args ...any) {
	c.errs = append(c.errs, c.file.Errorf(key, format, args...))
}

var namePattern = regexp.MustCompile(`^[a-z][a-z0-9]*(_[a-z0-9]+)*$`)

// monthly is the window of error budgets that the windows of the alerts are derived from.
const monthly = 30 * 24 * time.Hour

func (c *checker) all(s *SLOs) {
	if time.Duration(s.Window) != monthly {
		c.failf("window", "it must be 30d: the recording rules keep the ratio over 30 days")
	}
	if len(s.SLOs) == 0 {
		c.failf("slos", "there is no SLO")
	}
	first := map[string]string{}
	for i, one := range s.SLOs {
		key := fmt.Sprintf("slos.%d", i)
		if before, twice := first[one.Name]; twice {
			c.failf(key+".name", "%q is there already, on line %d", one.Name, c.file.Line(before+".name"))
		}
		first[one.Name] = key
		c.slo(key, one)
	}
}

func (c *checker) slo(key string, s *SLO) {
	for field, value := range map[string]string{"name": s.Name, "component": s.Component} {
		if !namePattern.MatchString(value) {
			c.failf(key+"."+field, "%q must be lower case with underscores", value)
		}
	}
	for field, value := range map[string]string{"what": s.What, "why": s.Why} {
		if !strings.HasSuffix(strings.TrimSpace(value), ".") {
			c.failf(key+"."+field, "must be a sentence that ends with a period")
		}
	}
	fastest := alerts()[0]
	budget := 1 - s.Objective
	switch {
	case !(s.Objective > 0 && s.Objective < 1): // NaN too
		c.failf(key+".objective", "must be between 0 and 1, like 0.99: the share of the events that has to be good")
	case fastest.factor()*budget >= 1:
		c.failf(key+".objective", "with an objective of %v the burn rate cannot reach %v, even if every event is an error: make it %v or more",
			s.Objective, fastest.factor(), math.Ceil((1-1/fastest.factor())*100)/100)
	case !(s.MinimumRate > 0):
		c.failf(key+".minimum_rate", "must be above 0: events a second")
	case s.MinimumRate*fastest.Long.Seconds()*fastest.factor()*budget < 2:
		c.failf(key+".minimum_rate", "at %v events a second a single failure within %s would be too many: make it %.2g or more",
			s.MinimumRate, label(fastest.Long), 2/(fastest.Long.Seconds()*fastest.factor()*budget))
	}
	if len(s.AbsentAlerts) == 0 {
		c.failf(key, "name the alerts that fire when there are no events at all: absent_alerts: […]")
	}
	if s.Platform == nil {
		c.failf(key, "platform: with events: and errors: is missing")
	}
	for scope, source := range map[string]*Source{"platform": s.Platform, "clients": s.Clients} {
		if source == nil {
			continue
		}
		for field, expr := range map[string]string{"events": source.Events, "errors": source.Errors, "demand": source.Demand} {
			if expr == "" && field == "demand" {
				continue
			}
			if strings.TrimSpace(expr) == "" {
				c.failf(key+"."+scope, "%s: is missing", field)
			} else if _, err := c.promql.ParseExpr(expr); err != nil {
				c.failf(key+"."+scope+"."+field, "%w", err)
			}
		}
	}
}
