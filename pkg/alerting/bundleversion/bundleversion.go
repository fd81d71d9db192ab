// Package bundleversion reads the version of the rules and their compatibility with Prometheus, Alertmanager, Grafana and the servers and services of a platform. It
// renders both: the version as the series consignwatch_bundle_info, so that a Prometheus shows which rules it runs, and the
// compatibility as documentation. It does not know the version of the programs.
package bundleversion

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"strings"

	"github.com/consignwatch/consignwatch/pkg/yamlfile"
)

const (
	// Info is the metric with the version of the rules as a label.
	Info = "consignwatch_bundle_info"

	versionFile       = "rules/VERSION"
	changelogFile     = "rules/CHANGELOG.md"
	compatibilityFile = "rules/compatibility.yml"

	recordingFile = "rules/recording/bundle.yml"
	docFile       = "docs/compatibility.md"
)

// Program is the compatibility with one server: Prometheus, Alertmanager or Grafana.
type Program struct {
	// Tested is the version that the tests run; empty if none does.
	Tested string `yaml:"tested"`
	// Needs is the oldest version that works, or what other versions lack.
	Needs string `yaml:"needs"`
}

// Compatibility has the versions of servers that a minor version of the rules works with.
type Compatibility struct {
	Rules        string  `yaml:"rules"`
	Prometheus   Program `yaml:"prometheus"`
	Alertmanager Program `yaml:"alertmanager"`
	Grafana      Program `yaml:"grafana"`
	// Servers are the servers and services that this version works with.
	Servers []Server `yaml:"servers"`
}

// Server is a kind of server or service: what it was tested with, how and when.
type Server struct {
	Name   string `yaml:"name"`
	Oldest string `yaml:"oldest"` // version that is meant to work; empty for a service without versions
	Tested string `yaml:"tested"` // version; empty if none is
	By     string `yaml:"by"`     // how: the command, or what takes the place of the server
	When   string `yaml:"when"`   // the last run
	// Untested says what was not tested.
	Untested string `yaml:"untested"`
}

// Manifest is the version of the rules, with the compatibility of this and earlier minor versions.
type Manifest struct {
	Version       string
	Compatibility []Compatibility
}

var (
	semver  = regexp.MustCompile(`^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-[0-9A-Za-z.-]+)?$`)
	heading = regexp.MustCompile(`(?m)^## (\S+)`)
)

// Load reads rules/VERSION and rules/compatibility.yml, and checks that the first entries of rules/CHANGELOG.md and of
// rules/compatibility.yml are about this version.
func Load(root fs.FS) (*Manifest, error) {
	text, err := fs.ReadFile(root, versionFile)
	if err != nil {
		return nil, err
	}
	m := &Manifest{Version: strings.TrimSpace(string(text))}
	parts := semver.FindStringSubmatch(m.Version)
	if parts == nil {
		return nil, fmt.Errorf("%s:1: %q is not a version like 1.4.0", versionFile, m.Version)
	}
	return m, errors.Join(m.checkChangelog(root), m.loadCompatibility(root, parts[1]+"."+parts[2]))
}

func (m *Manifest) checkChangelog(root fs.FS) error {
	text, err := fs.ReadFile(root, changelogFile)
	if err != nil {
		return fmt.Errorf("the changes of %s: %v", m.Version, err)
	}
	newest := heading.FindSubmatchIndex(text)
	if newest == nil {
		return fmt.Errorf("%s:1: there is no heading ## %s", changelogFile, m.Version)
	}
	if is := string(text[newest[2]:newest[3]]); is != m.Version {
		line := 1 + bytes.Count(text[:newest[0]], []byte("\n"))
		return fmt.Errorf("%s:%d: the newest version is %s, but %s says %s", changelogFile, line, is, versionFile, m.Version)
	}
	return nil
}

func (m *Manifest) loadCompatibility(root fs.FS, minor string) error {
	text, err := fs.ReadFile(root, compatibilityFile)
	if err != nil {
		return fmt.Errorf("what %s works with: %v", m.Version, err)
	}
	file, err := yamlfile.Parse(compatibilityFile, text, &m.Compatibility)
	if err != nil {
		return err
	}
	if len(m.Compatibility) == 0 || m.Compatibility[0].Rules != minor {
		return file.Errorf("0.rules", "the first entry must be about %q: %s says %s", minor, versionFile, m.Version)
	}
	var errs []error
	for i, w := range m.Compatibility {
		for name, p := range map[string]Program{"prometheus": w.Prometheus, "alertmanager": w.Alertmanager, "grafana": w.Grafana} {
			key := fmt.Sprintf("%d.%s", i, name)
			if p.Tested != "" && !semver.MatchString(p.Tested) {
				errs = append(errs, file.Errorf(key+".tested", "%q is not a version like 3.16.0", p.Tested))
			}
			if p.Needs == "" {
				errs = append(errs, file.Errorf(key, "say what it needs: needs: …"))
			}
		}
		for j, d := range w.Servers {
			if d.Name == "" || d.By == "" || d.When == "" || d.Untested == "" {
				errs = append(errs, file.Errorf(fmt.Sprintf("%d.servers.%d", i, j), "a server has name, by, when and untested"))
			}
		}
	}
	return errors.Join(errs...)
}

// Render renders the recording rule and docs/compatibility.md from the files below root.
func Render(root fs.FS) (map[string][]byte, error) {
	m, err := Load(root)
	if err != nil {
		return nil, err
	}
	var rules, doc bytes.Buffer
	fmt.Fprintf(&rules, `# Made from %s by `+"`consignwatch render`"+`. Do not edit it here: change it there, and render.
groups:
  - name: bundle
    rules:
      - record: %s
        expr: vector(1)
        labels: {version: %s}
`, versionFile, Info, m.Version)
	fmt.Fprintf(&doc, `<!-- Made from %s by `+"`consignwatch render`"+`. Do not edit it here: change it there, and render. -->
# What the rules work with

These are the rules, routes and dashboards of version %s. What changed: [rules/CHANGELOG.md](../rules/CHANGELOG.md). Which version a Prometheus runs:

`+"```promql\n%s\n```"+`

| rules | Prometheus | Alertmanager | Grafana |
| --- | --- | --- | --- |
`, compatibilityFile, m.Version, Info)
	for _, w := range m.Compatibility {
		fmt.Fprintf(&doc, "| %s | %s | %s | %s |\n", w.Rules, w.Prometheus, w.Alertmanager, w.Grafana)
	}
	if servers := m.Compatibility[0].Servers; len(servers) > 0 {
		doc.WriteString("\n## Servers and services\n\n| server | versions | tested with | how | when | not tested |\n| --- | --- | --- | --- | --- | --- |\n")
		for _, d := range servers {
			fmt.Fprintf(&doc, "| %s | %s | %s | %s | %s | %s |\n", d.Name, d.versions(), cmp.Or(d.Tested, "none"), d.By, d.When, d.Untested)
		}
	}
	return map[string][]byte{recordingFile: rules.Bytes(), docFile: doc.Bytes()}, nil
}

func (s Server) versions() string {
	if s.Oldest == "" {
		return ""
	}
	return s.Oldest + " and later"
}

// String formats the compatibility as a cell of the table.
func (p Program) String() string {
	if p.Tested == "" {
		return "not tested; " + p.Needs
	}
	return fmt.Sprintf("tested with %s; %s", p.Tested, p.Needs)
}
