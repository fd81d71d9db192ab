// Package release knows which version the rules have and with what they work, and renders it: as a series that says which
// rules a Prometheus runs, and as a page. It knows nothing of the programs' version.
package release

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"strings"

	"github.com/consignwatch/consignwatch/pkg/yamlfile"
)

const (
	// Info is the series with the version of the rules.
	Info = "consignwatch_bundle_info"

	versionFile   = "rules/VERSION"
	changesFile   = "rules/CHANGELOG.md"
	worksWithFile = "rules/compatibility.yml"

	recordingFile = "rules/recording/bundle.yml"
	pageFile      = "docs/compatibility.md"
)

// Program is a server that the rules run in, or beside.
type Program struct {
	// Tested is the version that the tests run; empty if none does.
	Tested string `yaml:"tested"`
	// Needs says what other versions lack.
	Needs string `yaml:"needs"`
}

// Compatibility is what a minor version of the rules works with.
type Compatibility struct {
	Rules        string  `yaml:"rules"`
	Prometheus   Program `yaml:"prometheus"`
	Alertmanager Program `yaml:"alertmanager"`
	Grafana      Program `yaml:"grafana"`
	// Databases are those that the exporters of this version read.
	Databases []Database `yaml:"databases"`
}

// Database is a kind of server that the tests run, and with which command.
type Database struct {
	Name   string `yaml:"name"`
	Tested string `yaml:"tested"`
	By     string `yaml:"by"`
	Else   string `yaml:"else"` // what is known of other versions
}

// Release is the version of the rules with the table.
type Release struct {
	Version string
	Works   []Compatibility
}

var (
	semver  = regexp.MustCompile(`^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-[0-9A-Za-z.-]+)?$`)
	heading = regexp.MustCompile(`(?m)^## (\S+)`)
)

// Load reads rules/VERSION, and checks that the newest part of rules/CHANGELOG.md and of rules/compatibility.yml are about it.
func Load(root fs.FS) (*Release, error) {
	text, err := fs.ReadFile(root, versionFile)
	if err != nil {
		return nil, err
	}
	r := &Release{Version: strings.TrimSpace(string(text))}
	parts := semver.FindStringSubmatch(r.Version)
	if parts == nil {
		return nil, fmt.Errorf("%s:1: %q is not a version like 1.4.0", versionFile, r.Version)
	}
	return r, errors.Join(r.changes(root), r.works(root, parts[1]+"."+parts[2]))
}

func (r *Release) changes(root fs.FS) error {
	text, err := fs.ReadFile(root, changesFile)
	if err != nil {
		return fmt.Errorf("the changes of %s: %v", r.Version, err)
	}
	newest := heading.FindSubmatchIndex(text)
	if newest == nil {
		return fmt.Errorf("%s:1: there is no heading ## %s", changesFile, r.Version)
	}
	if is := string(text[newest[2]:newest[3]]); is != r.Version {
		line := 1 + bytes.Count(text[:newest[0]], []byte("\n"))
		return fmt.Errorf("%s:%d: the newest version is %s, but %s says %s", changesFile, line, is, versionFile, r.Version)
	}
	return nil
}

func (r *Release) works(root fs.FS, minor string) error {
	text, err := fs.ReadFile(root, worksWithFile)
	if err != nil {
		return fmt.Errorf("what %s works with: %v", r.Version, err)
	}
	file, err := yamlfile.Parse(worksWithFile, text, &r.Works)
	if err != nil {
		return err
	}
	if len(r.Works) == 0 || r.Works[0].Rules != minor {
		return file.Errorf("0.rules", "the first entry must be about %q: %s says %s", minor, versionFile, r.Version)
	}
	var errs []error
	for i, w := range r.Works {
		for name, p := range map[string]Program{"prometheus": w.Prometheus, "alertmanager": w.Alertmanager, "grafana": w.Grafana} {
			key := fmt.Sprintf("%d.%s", i, name)
			if p.Tested != "" && !semver.MatchString(p.Tested) {
				errs = append(errs, file.Errorf(key+".tested", "%q is not a version like 3.16.0", p.Tested))
			}
			if p.Needs == "" {
				errs = append(errs, file.Errorf(key, "say what it needs: needs: …"))
			}
		}
		for j, d := range w.Databases {
			if d.Name == "" || d.Tested == "" || d.By == "" || d.Else == "" {
				errs = append(errs, file.Errorf(fmt.Sprintf("%d.databases.%d", i, j), "a database has name, tested, by and else"))
			}
		}
	}
	return errors.Join(errs...)
}

// Render makes the recording and the page from the data below the root.
func Render(root fs.FS) (map[string][]byte, error) {
	r, err := Load(root)
	if err != nil {
		return nil, err
	}
	var rules, page bytes.Buffer
	fmt.Fprintf(&rules, `# Made from %s by `+"`consignwatch render`"+`. Do not edit it here: change it there, and render.
groups:
  - name: bundle
    rules:
      - record: %s
        expr: vector(1)
        labels: {version: %s}
`, versionFile, Info, r.Version)
	fmt.Fprintf(&page, `<!-- Made from %s by `+"`consignwatch render`"+`. Do not edit it here: change it there, and render. -->
# What the rules work with

These are the rules, routes and dashboards of version %s. What changed: [rules/CHANGELOG.md](../rules/CHANGELOG.md). Which version a Prometheus runs:

`+"```promql\n%s\n```"+`

| rules | Prometheus | Alertmanager | Grafana |
| --- | --- | --- | --- |
`, worksWithFile, r.Version, Info)
	for _, w := range r.Works {
		fmt.Fprintf(&page, "| %s | %s | %s | %s |\n", w.Rules, w.Prometheus, w.Alertmanager, w.Grafana)
	}
	if databases := r.Works[0].Databases; len(databases) > 0 {
		page.WriteString("\n## What the exporters read\n\n| database | tested with | by | others |\n| --- | --- | --- | --- |\n")
		for _, d := range databases {
			fmt.Fprintf(&page, "| %s | %s | `%s` | %s |\n", d.Name, d.Tested, d.By, d.Else)
		}
	}
	return map[string][]byte{recordingFile: rules.Bytes(), pageFile: page.Bytes()}, nil
}

// String is a cell of the table.
func (p Program) String() string {
	if p.Tested == "" {
		return "not tested; " + p.Needs
	}
	return fmt.Sprintf("tested with %s; %s", p.Tested, p.Needs)
}
