package dashboards_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
)

// object is a JSON object that a test changes.
type object = map[string]any

// at returns what is at the end of a path of keys and indexes.
func at(t *testing.T, value any, path ...any) any {
	t.Helper()
	for _, step := range path {
		switch step := step.(type) {
		case string:
			value = value.(object)[step]
		case int:
			value = value.([]any)[step]
		}
		if value == nil {
			t.Fatalf("nothing is at %v", path)
		}
	}
	return value
}

// shipped returns a dashboard without a mistake: one panel of each type that the shipped dashboards have, with an override where one has any, and a row that has a
// panel. Everything else is of one of them, which has variables, links and an annotation.
func shipped(t *testing.T) object {
	t.Helper()
	var result object
	panels := map[string]object{}
	all := files(t)
	for _, name := range slices.Sorted(maps.Keys(all)) {
		var d object
		if err := json.Unmarshal(all[name], &d); err != nil {
			t.Fatal(err)
		}
		if name == "System/api.json" {
			result = d
		}
		for _, p := range at(t, d, "panels").([]any) {
			kind := at(t, p, "type").(string)
			known, seen := panels[kind]
			if kind != "row" && (!seen || len(at(t, known, "fieldConfig", "overrides").([]any)) == 0) {
				panels[kind] = p.(object)
			}
		}
	}
	list := []any{object{"type": "row", "title": "Row", "collapsed": true, "id": 1, "gridPos": object{"x": 0, "y": 0, "w": 24, "h": 1}, "panels": []any{clone(t, panels["timeseries"])}}}
	for _, kind := range slices.Sorted(maps.Keys(panels)) {
		list = append(list, panels[kind])
	}
	result["panels"] = list
	return result
}

func clone(t *testing.T, o object) (copied object) {
	t.Helper()
	text, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &copied); err != nil {
		t.Fatal(err)
	}
	return copied
}

// ofType returns the panel of a type.
func ofType(t *testing.T, d object, kind string) object {
	t.Helper()
	for _, p := range at(t, d, "panels").([]any) {
		if p.(object)["type"] == kind {
			return p.(object)
		}
	}
	t.Fatalf("there is no panel of the type %s", kind)
	return nil
}

// add adds a field that no schema has to what is at the end of a path.
func add(path ...any) func(*testing.T, object) {
	return func(t *testing.T, o object) { at(t, o, path...).(object)["unknownField"] = 1 }
}

func TestAFieldThatGrafanaDoesNotKnowIsFound(t *testing.T) {
	const unexpected = "unexpected field 'unknownField'"
	type mistake struct {
		kind  string // of the panel that is changed; empty: the dashboard is
		plant func(*testing.T, object)
		want  string
	}
	mistakes := map[string]mistake{
		"of a dashboard":             {"", add(), unexpected},
		"of the time picker":         {"", add("timepicker"), unexpected},
		"of a link":                  {"", add("links", 0), unexpected},
		"of a variable":              {"", add("templating", "list", 1), unexpected},
		"of an annotation":           {"", add("annotations", "list", 1), unexpected},
		"of a row":                   {"row", add(), unexpected},
		"of a panel in a row":        {"row", add("panels", 0), unexpected},
		"of the options in a row":    {"row", add("panels", 0, "options"), unexpected},
		"of the defaults in a row":   {"row", add("panels", 0, "fieldConfig", "defaults"), unexpected},
		"of a place":                 {"timeseries", add("gridPos"), unexpected},
		"of a data source":           {"timeseries", add("datasource"), unexpected},
		"of the field configuration": {"timeseries", add("fieldConfig"), unexpected},
		"of the thresholds": {"stat", func(t *testing.T, p object) {
			at(t, p, "fieldConfig", "defaults").(object)["thresholds"] = object{"mode": "absolute", "steps": []any{}, "unknownField": 1}
		}, unexpected},
		"of the legend":               {"timeseries", add("options", "legend"), unexpected},
		"of the reduction":            {"stat", add("options", "reduceOptions"), unexpected},
		"of an override's matcher":    {"timeseries", add("fieldConfig", "overrides", 0, "matcher"), unexpected},
		"of an override":              {"timeseries", add("fieldConfig", "overrides", 0), unexpected},
		"an option of another type":   {"stat", func(t *testing.T, p object) { at(t, p, "options").(object)["legend"] = object{} }, "unexpected field 'legend'"},
		"a property of no type":       {"timeseries", property("unknownField"), unexpected},
		"a property of no panel":      {"timeseries", property("custom.unknownField"), unexpected},
		"a property of another panel": {"stat", property("custom.lineWidth"), "panels of this type have no property custom.lineWidth"},
		"custom options of a type without": {"stat", func(t *testing.T, p object) {
			at(t, p, "fieldConfig", "defaults").(object)["custom"] = object{"lineWidth": 1}
		}, "panels of the type stat have no such options"},
		"a text in place of a number": {"timeseries", func(t *testing.T, p object) { at(t, p, "gridPos").(object)["w"] = "wide" }, "cannot unmarshal string"},
		"a panel without a type":      {"timeseries", func(t *testing.T, p object) { delete(p, "type") }, "'type' not found"},
		"a panel of no type":          {"timeseries", func(t *testing.T, p object) { p["type"] = "time-series" }, `there is no panel of the type "time-series"`},
		"a query of another source": {"timeseries", func(t *testing.T, p object) {
			delete(p, "datasource")
			at(t, p, "targets", 0, "datasource").(object)["type"] = "elsewhere"
		}, "a query of another type than Prometheus's"},
	}
	for _, kind := range []string{"bargauge", "heatmap", "stat", "state-timeline", "table", "timeseries"} {
		mistakes["of a "+kind] = mistake{kind, add(), unexpected}
		mistakes["of the options of a "+kind] = mistake{kind, add("options"), unexpected}
		mistakes["of the defaults of a "+kind] = mistake{kind, add("fieldConfig", "defaults"), unexpected}
		mistakes["of a query of a "+kind] = mistake{kind, add("targets", 0), unexpected}
	}
	for _, kind := range []string{"heatmap", "state-timeline", "table", "timeseries"} {
		mistakes["of the custom options of a "+kind] = mistake{kind, add("fieldConfig", "defaults", "custom"), unexpected}
	}
	good := shipped(t)
	if err := decodeObject(t, good); err != nil {
		t.Fatalf("without a mistake:\n%v", err)
	}
	for name, m := range mistakes {
		t.Run(name, func(t *testing.T) {
			d := clone(t, good)
			spoiled := d
			if m.kind != "" {
				spoiled = ofType(t, d, m.kind)
			}
			m.plant(t, spoiled)
			if found := fmt.Sprint(decodeObject(t, d)); !strings.Contains(found, m.want) {
				t.Errorf("found:\n%s\nwant among them: %s", found, m.want)
			}
		})
	}
	for _, p := range at(t, good, "panels").([]any) {
		kind := p.(object)["type"].(string)
		if _, planted := mistakes["of the options of a "+kind]; !planted && kind != "row" {
			t.Errorf("no mistake is planted into a panel of the type %s", kind)
		}
	}
}

// property adds an override of a property.
func property(id string) func(*testing.T, object) {
	return func(t *testing.T, p object) {
		at(t, p, "fieldConfig").(object)["overrides"] = []any{object{"matcher": object{"id": "byName", "options": "a"}, "properties": []any{object{"id": id, "value": 1}}}}
	}
}

func decodeObject(t *testing.T, d object) error {
	t.Helper()
	text, err := json.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	return decode(text)
}
