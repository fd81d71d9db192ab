// Package dashboards_test decodes the shipped dashboards with Grafana's own schema, so that a field that Grafana does not know is found. It says nothing of
// queries and layout, which consignwatch check and the tests of grafana-dashboards are for.
package dashboards_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/cog/plugins"
	"github.com/grafana/grafana-foundation-sdk/go/cog/variants"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	"github.com/grafana/grafana-foundation-sdk/go/prometheus"
)

const folder = "../../grafana-dashboards"

func TestMain(m *testing.M) {
	// These tests read files outside of this module, which Go's test cache does not track. tools/test puts a hash of them into this variable: reading it
	// makes it an input of the test.
	_ = os.Getenv("CONSIGNWATCH_TEST_INPUTS")
	plugins.RegisterDefaultPlugins()
	os.Exit(m.Run())
}

// files returns the shipped dashboards by their paths.
func files(t *testing.T) map[string][]byte {
	t.Helper()
	all := map[string][]byte{}
	root := os.DirFS(folder)
	err := fs.WalkDir(root, ".", func(name string, _ fs.DirEntry, err error) error {
		if err != nil || path.Ext(name) != ".json" {
			return err
		}
		all[name], err = fs.ReadFile(root, name)
		return err
	})
	if err != nil || len(all) == 0 {
		t.Fatalf("%d dashboards: %v", len(all), err)
	}
	return all
}

func TestGrafanaKnowsEveryFieldOfEveryDashboard(t *testing.T) {
	for name, text := range files(t) {
		if err := decode(text); err != nil {
			t.Errorf("%s:\n%v", name, err)
		}
	}
}

// decode decodes a dashboard strictly, each panel and each query by its type.
func decode(text []byte) error {
	problems := []error{without(filledIn, new(dashboard.Dashboard).UnmarshalJSONStrict(text))}
	var list struct{ Panels []json.RawMessage }
	if err := json.Unmarshal(text, &list); err != nil {
		return err
	}
	for _, panel := range list.Panels {
		problems = append(problems, decodePanel(panel))
		var row struct{ Panels []json.RawMessage }
		if err := json.Unmarshal(panel, &row); err != nil {
			return err
		}
		for _, inRow := range row.Panels {
			problems = append(problems, decodePanel(inRow))
		}
	}
	return errors.Join(problems...)
}

// The decoder demands fields that Grafana fills in when it loads a dashboard: options of panels, with the defaults of their types, and the value of a variable
// that nobody has chosen yet. Of the links of data it demands what only those of dashboards have, and of an override all properties.
var (
	filledIn   = regexp.MustCompile(`(^panels.*\.options(\.\w+)+|^templating\.list\[\d+\]\.current\.\w+): required field is missing from input$`)
	anyMissing = regexp.MustCompile(`: required field is missing from input$`)
)

// without leaves out those of the decoder's errors that match.
func without(pattern *regexp.Regexp, err error) error {
	var list cog.BuildErrors
	if !errors.As(err, &list) {
		return err
	}
	list = slices.DeleteFunc(list, func(e *cog.BuildError) bool { return pattern.MatchString(e.Error()) })
	if len(list) == 0 {
		return nil
	}
	return list
}

// decodePanel decodes strictly what the decoder of dashboards does not: it accepts types that it does not know, and unknown fields in fieldConfig and overrides.
func decodePanel(text []byte) error {
	var p dashboard.Panel
	_ = p.UnmarshalJSONStrict(text) // what is wrong with it the decoder of the dashboard says
	if p.Type == "row" {
		return nil
	}
	title := ""
	if p.Title != nil {
		title = *p.Title
	}
	var raw struct{ FieldConfig json.RawMessage }
	if err := json.Unmarshal(text, &raw); err != nil {
		return err
	}
	var problems []error
	report := func(at string, err error) {
		if err := without(anyMissing, err); err != nil {
			problems = append(problems, fmt.Errorf("panel %q: %s: %w", title, at, err))
		}
	}
	kind, known := cog.ConfigForPanelcfgVariant(p.Type)
	if !known {
		report("type", fmt.Errorf("there is no panel of the type %q", p.Type))
	}
	for _, query := range p.Targets {
		if _, ok := query.(*prometheus.Dataquery); !ok {
			report("targets", fmt.Errorf("a query of another type than Prometheus's: %T", query))
		}
	}
	if len(raw.FieldConfig) == 0 {
		return errors.Join(problems...)
	}
	var config dashboard.FieldConfigSource
	report("fieldConfig", config.UnmarshalJSONStrict(raw.FieldConfig))
	if custom, _ := config.Defaults.Custom.(map[string]any); len(custom) > 0 && kind.StrictFieldConfigUnmarshaler == nil {
		report("fieldConfig.defaults.custom", fmt.Errorf("panels of the type %s have no such options: %v", p.Type, custom))
	}
	for _, o := range config.Overrides {
		for _, property := range o.Properties {
			report("overrides", decodeProperty(kind, property))
		}
	}
	return errors.Join(problems...)
}

// decodeProperty decodes a property of an override as the field of fieldConfig that it overrides.
func decodeProperty(kind variants.PanelcfgConfig, property dashboard.DynamicConfigValue) error {
	name, custom := strings.CutPrefix(property.Id, "custom.")
	text, err := json.Marshal(map[string]any{name: property.Value})
	if err != nil {
		return err
	}
	switch {
	case !custom:
		return new(dashboard.FieldConfig).UnmarshalJSONStrict(text)
	case kind.StrictFieldConfigUnmarshaler == nil:
		return fmt.Errorf("panels of this type have no property %s", property.Id)
	}
	_, err = kind.StrictFieldConfigUnmarshaler(text)
	return err
}
