package thresholds

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/consignwatch/consignwatch/pkg/golden"
)

func TestRenderMakesRulesAndDocumentation(t *testing.T) {
	const root = "testdata/small"
	files, err := Render(os.DirFS(root))
	if err != nil {
		t.Fatal(err)
	}
	if len(files) != 2 {
		t.Errorf("%d files, want the rules and the documentation", len(files))
	}
	for name, text := range files {
		golden.Compare(t, filepath.Join(root, name), string(text))
	}
}

func TestRenderingAgainMakesTheSame(t *testing.T) {
	root := os.DirFS("../../..")
	first, err := Render(root)
	if err != nil {
		t.Fatal(err)
	}
	for range 20 { // maps have another order each time
		again, err := Render(root)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(first, again); diff != "" {
			t.Fatal(diff)
		}
	}
}

func TestMistakesAreNamedWithTheirLine(t *testing.T) {
	good, err := os.ReadFile("testdata/small/rules/thresholds.yml")
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ old, new, want string }{
		"an unknown key":                        {"what: How", "that: How", `rules/thresholds.yml:5: unknown key "that"`},
		"an unknown unit":                       {"unit: seconds", "unit: minutes", `rules/thresholds.yml:8: groups.0.thresholds.0.unit: the unit is "minutes", not one of seconds, ratio, per_second`},
		"a name without its unit":               {"name: page_latency_seconds", "name: page_latency", `rules/thresholds.yml:4: groups.0.thresholds.0.name: "page_latency" must be lower case with underscores, and end with its unit, _seconds`},
		"a name in capitals":                    {"name: page_latency_seconds", "name: Page_latency_seconds", `rules/thresholds.yml:4: groups.0.thresholds.0.name: "Page_latency_seconds" must be lower case`},
		"a name twice":                          {"name: mails_lost_per_second", "name: cache_hit_ratio", `rules/thresholds.yml:20: groups.1.thresholds.1.name: "cache_hit_ratio" is there already, on line 14`},
		"no direction":                          {"worse: below", "worse: left", "rules/thresholds.yml:18: groups.1.thresholds.0.worse: say above or below"},
		"no sentence":                           {"leave.", "leave", "rules/thresholds.yml:6: groups.0.thresholds.0.why: must be a sentence"},
		"no thresholds":                         {"        clients: {goal: 0.0001, warning: 1, sla: 2, critical: 2}\n", "", "rules/thresholds.yml:20: groups.1.thresholds.1: mails_lost_per_second has no thresholds: add platform: or clients:"},
		"a level that is missing":               {"goal: 1, warning: 2, sla", "goal: 1, sla", "rules/thresholds.yml:11: groups.0.thresholds.0.clients: the level warning is missing"},
		"an unknown level":                      {"goal: 1, warning: 2", "goal: 1, warn: 2", "rules/thresholds.yml:11: groups.0.thresholds.0.clients.warn: the level is not one of goal, warning, sla, critical"},
		"a value that is no number":             {"goal: 500ms", "goal: fast", `rules/thresholds.yml:10: "fast" is neither a number nor a duration`},
		"a value of several":                    {"goal: 500ms", "goal: [1s]", "rules/thresholds.yml:10:"},
		"not a number":                          {"goal: 1,", "goal: .nan,", "rules/thresholds.yml:11: groups.0.thresholds.0.clients.goal: must be above 0"},
		"zero":                                  {"goal: 0.955", "goal: 0", "rules/thresholds.yml:19: groups.1.thresholds.0.platform.goal: must be above 0"},
		"a ratio as a duration":                 {"goal: 0.955", "goal: 1s", "rules/thresholds.yml:19: groups.1.thresholds.0.platform.goal: a ratio is a number, not a duration"},
		"a goal that is worse":                  {"goal: 1, ", "goal: 2.5, ", "rules/thresholds.yml:11: groups.0.thresholds.0.clients: the goal (2.5) is worse than the level warning (2): above is worse"},
		"critical that is better":               {"critical: 3.5", "critical: 1.5", "rules/thresholds.yml:11: groups.0.thresholds.0.clients: the level sla (2) is worse than critical (1.5): above is worse"},
		"a goal that is worse, below":           {"goal: 0.955", "goal: 0.4", "rules/thresholds.yml:19: groups.1.thresholds.0.platform: the goal (0.4) is worse than the level warning (0.5): below is worse"},
		"critical that is better, below":        {"critical: 0.3", "critical: 0.7", "rules/thresholds.yml:19: groups.1.thresholds.0.platform: the level warning (0.5) is worse than critical (0.7): below is worse"},
		"an override of a client in capitals":   {"  south:", "  South:", "rules/thresholds.yml:27: overrides.South: a client is a slug"},
		"an override of nothing":                {"{critical: 5s}", "{}", "rules/thresholds.yml:27: overrides.south.page_latency_seconds: overrides nothing"},
		"an override of an unknown name":        {"  south: {page_latency_seconds", "  south: {page_slowness_seconds", "rules/thresholds.yml:27: overrides.south.page_slowness_seconds: there is no threshold of this name"},
		"an override of the platform's":         {"  south: {page_latency_seconds: {critical: 5s}}", "  south: {cache_hit_ratio: {critical: 0.1}}", "rules/thresholds.yml:27: overrides.south.cache_hit_ratio: it has no thresholds for clients"},
		"an override of an unknown level":       {"{critical: 5s}", "{criticl: 5s}", "rules/thresholds.yml:27: overrides.south.page_latency_seconds.criticl: the level is not one of"},
		"an override that breaks the order":     {"{critical: 5s}", "{critical: 1s}", "rules/thresholds.yml:27: overrides.south.page_latency_seconds: the level warning (2) is worse than critical (1)"},
		"a group without a name":                {"  - group: Cache\n", "  - group: ''\n", "rules/thresholds.yml:12: groups.1: the group has no name"},
		"no threshold at all":                   {string(good), "overrides: {}\n", "rules/thresholds.yml:1: groups: there is no threshold"},
		"an override of a client that is twice": {"  north:", "  south:", `rules/thresholds.yml:28: mapping key "south" already defined at line 27`},
	} {
		t.Run(name, func(t *testing.T) {
			text := strings.Replace(string(good), c.old, c.new, 1)
			if text == string(good) {
				t.Fatalf("the file does not contain %q", c.old)
			}
			_, err := Load(fstest.MapFS{File: {Data: []byte(text)}})
			if err == nil {
				t.Fatalf("no error, want %s", c.want)
			}
			for line := range strings.Lines(err.Error()) {
				if strings.HasPrefix(line, c.want) {
					return
				}
			}
			t.Errorf("error:\n%v\nwant a line that begins with:\n%s", err, c.want)
		})
	}
}
