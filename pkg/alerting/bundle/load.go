package bundle

import (
	"cmp"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/prometheus/promql/parser"
	"go.yaml.in/yaml/v3"

	"github.com/consignwatch/consignwatch/pkg/alerting/bundle/dashboardlint"
	"github.com/consignwatch/consignwatch/pkg/alerting/bundle/prose"
	"github.com/consignwatch/consignwatch/pkg/yamlfile"
)

// loader loads a bundle, and collects the errors of its files.
type loader struct {
	root   fs.FS
	promql parser.Parser
	bundle *Bundle
	read   []string // files that exist
	errs   []error
}

// files calls take for each file that matches the pattern.
func (l *loader) files(pattern string, take func(file string, text []byte) error) {
	names, err := fs.Glob(l.root, pattern)
	l.fail(err)
	for _, name := range names {
		l.file(name, take)
	}
}

// folder calls take for each file below the folder with the ending. The folder may be missing.
func (l *loader) folder(dir, ending string, take func(file string, text []byte) error) {
	if _, err := fs.Stat(l.root, dir); err != nil {
		return
	}
	l.fail(fs.WalkDir(l.root, dir, func(name string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() && path.Ext(name) == ending {
			l.file(name, take)
		}
		return err
	}))
}

func (l *loader) file(name string, take func(file string, text []byte) error) {
	text, err := fs.ReadFile(l.root, name)
	if err != nil {
		l.fail(err)
		return
	}
	l.read = append(l.read, name)
	l.fail(take(name, text))
}

// siteFile is the inventory. Package routing checks it.
const siteFile = "alertmanager/site.yml"

func (l *loader) policy(file string, text []byte) error {
	var site struct {
		Policy struct {
			ResolveGrace yamlfile.Duration `yaml:"resolve_grace"`
		} `yaml:"policy"`
	}
	if err := yaml.Unmarshal(text, &site); err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	l.bundle.resolveGrace = time.Duration(site.Policy.ResolveGrace)
	return nil
}

func (l *loader) dashboard(file string, text []byte) error {
	d, err := dashboardlint.Read(file, text, l.promql)
	if d != nil {
		l.bundle.dashboards = append(l.bundle.dashboards, d)
		l.bundle.texts = append(l.bundle.texts, d.Texts()...)
	}
	return err
}

// templateFile adds the text of a notification template.
func (l *loader) templateFile(file string, text []byte) error {
	l.bundle.texts = append(l.bundle.texts, prose.Text{File: file, Line: 1, Text: prose.WithoutActions(string(text)), Lines: true})
	return nil
}

func (l *loader) fail(err error) {
	if err != nil {
		l.errs = append(l.errs, err)
	}
}

func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }

func inFolder(file, dir string) bool { return strings.HasPrefix(file, dir+"/") }

// positioned is a YAML value with its line.
type positioned[T any] struct {
	value T
	line  int
	// block says that the value is a block scalar: its lines are lines of the file, from line on.
	block bool
}

// UnmarshalYAML records the line.
func (v *positioned[T]) UnmarshalYAML(n *yaml.Node) error {
	v.line = n.Line
	if n.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0 {
		v.line++ // a block scalar begins below its indicator
		v.block = n.Style&yaml.LiteralStyle != 0
	}
	return n.Decode(&v.value)
}
