package dashboards

import (
	"flag"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the JSON anew")

func TestTheJSONIsWhatTheDeclarationsSay(t *testing.T) {
	want, err := Render()
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		write(t, want)
	}
	shipped := map[string]bool{}
	err = fs.WalkDir(os.DirFS("."), ".", func(name string, e fs.DirEntry, err error) error {
		if filepath.Ext(name) == ".json" {
			shipped[name] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range slices.Sorted(maps.Keys(want)) {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Errorf("%v; run go test ./grafana-dashboards -update", err)
			continue
		}
		if diff := cmp.Diff(string(want[name]), string(text)); diff != "" {
			t.Errorf("%s is not what its declaration says; run go test ./grafana-dashboards -update (-declared +shipped):\n%s", name, diff)
		}
		embedded, err := fs.ReadFile(Files, name)
		if err != nil || string(embedded) != string(text) {
			t.Errorf("%s is not among Files: %v", name, err)
		}
		delete(shipped, name)
	}
	for name := range shipped {
		t.Errorf("%s: no dashboard is declared for this file; delete it", name)
	}
}

func write(t *testing.T, files map[string][]byte) {
	t.Helper()
	for name, text := range files {
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
