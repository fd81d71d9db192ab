// Package thresholds reads rules/thresholds.yml, which has the goal and the thresholds of each tracked value, for the platform
// and for each client, and renders it: as recording rules that alerts compare with, and as documentation. It does not read
// the alert rules.
package thresholds

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/common/model"
	"go.yaml.in/yaml/v3"

	"github.com/consignwatch/consignwatch/pkg/catalog"
	"github.com/consignwatch/consignwatch/pkg/yamlfile"
)

const (
	// Metric is the metric of the thresholds: consign_threshold{name,level,client}.
	Metric = "consign_threshold"
	// Platform is the label client of thresholds of the platform as a whole.
	Platform = "_platform"
	// File has the thresholds.
	File = "rules/thresholds.yml"
)

// Level is the level of a threshold, which says what it is for.
type Level string

// The levels. The warning level may be better or worse than the SLA. No level is better than the goal, and none is worse than critical.
const (
	Goal     Level = "goal"     // the target of optimization
	Warning  Level = "warning"  // an alert for business hours
	SLA      Level = "sla"      // agreed with clients
	Critical Level = "critical" // an alert that pages
)

// Levels are all levels, in the order of the file.
func Levels() []Level { return []Level{Goal, Warning, SLA, Critical} }

// Unit is the unit of a value, and the suffix of its name.
type Unit string

// The units.
const (
	Seconds   Unit = "seconds"
	Ratio     Unit = "ratio"
	PerSecond Unit = "per_second"
)

var units = []Unit{Seconds, Ratio, PerSecond}

// Direction is the side of a threshold on which values are worse.
type Direction string

// The directions.
const (
	Above Direction = "above" // latencies, failures: more is worse
	Below Direction = "below" // hit ratios, remaining time: less is worse
)

// worse reports whether a is worse than b.
func (d Direction) worse(a, b float64) bool {
	if d == Below {
		return a < b
	}
	return a > b
}

// Value is the value of a threshold. In the file, seconds may be a duration: 500ms, 5m, 26h.
type Value struct {
	Number   float64
	duration bool
}

// UnmarshalYAML reads a number, or a duration in Prometheus's format.
func (v *Value) UnmarshalYAML(n *yaml.Node) error {
	if n.Tag == "!!float" || n.Tag == "!!int" {
		return n.Decode(&v.Number)
	}
	d, err := model.ParseDuration(n.Value)
	if n.Kind != yaml.ScalarNode || err != nil {
		return fmt.Errorf("line %d: %q is neither a number nor a duration like 500ms, 5m or 26h", n.Line, n.Value)
	}
	v.Number, v.duration = time.Duration(d).Seconds(), true
	return nil
}

// Values are the values of a threshold, by level.
type Values map[Level]Value

// Threshold is a tracked value with its thresholds.
type Threshold struct {
	Name string `yaml:"name"`
	// What says what is measured, and Why gives the reason for the thresholds: sentences for the documentation.
	What string `yaml:"what"`
	Why  string `yaml:"why"`
	Unit Unit   `yaml:"unit"`
	// Worse is the side on which values are worse.
	Worse Direction `yaml:"worse"`
	// Platform are the thresholds for the platform as a whole; Clients those for each client. One of them may be missing.
	Platform Values `yaml:"platform"`
	Clients  Values `yaml:"clients"`
}

// Group is a part of the platform with its thresholds.
type Group struct {
	Group      string       `yaml:"group"`
	Thresholds []*Threshold `yaml:"thresholds"`
}

// Thresholds is the whole file.
type Thresholds struct {
	Groups []Group `yaml:"groups"`
	// Overrides replace thresholds for a client: by client and name.
	Overrides map[string]map[string]Values `yaml:"overrides"`
}

// Load reads and checks rules/thresholds.yml below the root. The error joins all mistakes, each with its line.
func Load(root fs.FS) (*Thresholds, error) {
	text, err := fs.ReadFile(root, File)
	if err != nil {
		return nil, err
	}
	t := &Thresholds{}
	file, err := yamlfile.Parse(File, text, t)
	if err != nil {
		return nil, err
	}
	c := checker{file: file}
	c.all(t)
	return t, errors.Join(c.errs...)
}

// Find returns the threshold of a name, or nil.
func (t *Thresholds) Find(name string) *Threshold {
	for _, g := range t.Groups {
		for _, one := range g.Thresholds {
			if one.Name == name {
				return one
			}
		}
	}
	return nil
}

// checker collects the mistakes of the file.
type checker struct {
	file *yamlfile.File
	errs []error
}

func (c *checker) failf(key, format string, args ...any) {
	c.errs = append(c.errs, c.file.Errorf(key, format, args...))
}

var namePattern = regexp.MustCompile(`^[a-z][a-z0-9]*(_[a-z0-9]+)+$`)

func (c *checker) all(t *Thresholds) {
	if len(t.Groups) == 0 {
		c.failf("groups", "there is no threshold")
	}
	first := map[string]string{}
	for i, g := range t.Groups {
		if g.Group == "" {
			c.failf(fmt.Sprintf("groups.%d", i), "the group has no name: add group: …")
		}
		for j, one := range g.Thresholds {
			key := fmt.Sprintf("groups.%d.thresholds.%d", i, j)
			if before, twice := first[one.Name]; twice {
				c.failf(key+".name", "%q is there already, on line %d", one.Name, c.file.Line(before+".name"))
			}
			first[one.Name] = key
			c.threshold(key, one)
		}
	}
	for _, client := range slices.Sorted(maps.Keys(t.Overrides)) {
		key := "overrides." + client
		if !catalog.IsSlug(client) {
			c.failf(key, "a client is a slug like little-sprouts, not %q", client)
		}
		for _, name := range slices.Sorted(maps.Keys(t.Overrides[client])) {
			c.override(key+"."+name, t.Find(name), t.Overrides[client][name])
		}
	}
}

func (c *checker) threshold(key string, t *Threshold) {
	if !namePattern.MatchString(t.Name) || !strings.HasSuffix(t.Name, "_"+string(t.Unit)) {
		c.failf(key+".name", "%q must be lower case with underscores, and end with its unit, _%s", t.Name, t.Unit)
	}
	if !slices.Contains(units, t.Unit) {
		c.failf(key+".unit", "the unit is %q, not one of seconds, ratio, per_second", t.Unit)
	}
	if t.Worse != Above && t.Worse != Below {
		c.failf(key+".worse", "say above or below: on which side of its thresholds it gets worse, not %q", t.Worse)
	}
	for text, value := range map[string]string{"what": t.What, "why": t.Why} {
		if !strings.HasSuffix(strings.TrimSpace(value), ".") {
			c.failf(key+"."+text, "must be a sentence that ends with a period")
		}
	}
	if t.Platform == nil && t.Clients == nil {
		c.failf(key, "%s has no thresholds: add platform: or clients:", t.Name)
	}
	for scope, values := range map[string]Values{"platform": t.Platform, "clients": t.Clients} {
		if values == nil {
			continue
		}
		for _, level := range Levels() {
			if _, has := values[level]; !has {
				c.failf(key+"."+scope, "the level %s is missing", level)
			}
		}
		c.values(key+"."+scope, t, values, values)
	}
}

// values checks the written values, and the order of the values in force.
func (c *checker) values(key string, t *Threshold, written, inForce Values) {
	for _, level := range slices.Sorted(maps.Keys(written)) {
		v := written[level]
		switch {
		case !slices.Contains(Levels(), level):
			c.failf(key+"."+string(level), "the level is not one of goal, warning, sla, critical")
		case v.duration && t.Unit != Seconds:
			c.failf(key+"."+string(level), "a %s is a number, not a duration", t.Unit)
		case !(v.Number > 0): // NaN too
			c.failf(key+"."+string(level), "must be above 0")
		}
	}
	for _, level := range []Level{Warning, SLA, Critical} {
		if t.Worse.worse(inForce[Goal].Number, inForce[level].Number) {
			c.failf(key, "the goal (%v) is worse than the level %s (%v): %s is worse", inForce[Goal].Number, level, inForce[level].Number, t.Worse)
		}
	}
	for _, level := range []Level{Warning, SLA} {
		if t.Worse.worse(inForce[level].Number, inForce[Critical].Number) {
			c.failf(key, "the level %s (%v) is worse than critical (%v): %s is worse", level, inForce[level].Number, inForce[Critical].Number, t.Worse)
		}
	}
}

func (c *checker) override(key string, t *Threshold, own Values) {
	switch {
	case t == nil:
		c.failf(key, "there is no threshold of this name")
	case t.Clients == nil:
		c.failf(key, "it has no thresholds for clients that could be overridden: it is about the platform as a whole")
	case len(own) == 0:
		c.failf(key, "overrides nothing: name a level, like critical: 5")
	default:
		c.values(key, t, own, t.inForce(own))
	}
}

// inForce are the values for a client with these overrides.
func (t *Threshold) inForce(own Values) Values {
	all := maps.Clone(t.Clients)
	maps.Copy(all, own)
	return all
}
