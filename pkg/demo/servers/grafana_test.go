package servers

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/consignwatch/consignwatch/pkg/executable"
)

func TestAGrafanaIsFoundWhereverItIsInstalled(t *testing.T) {
	install := func(files ...string) string {
		folder := t.TempDir()
		for _, file := range files {
			file = filepath.Join(folder, file)
			if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(file, nil, 0o755); err != nil {
				t.Fatal(err)
			}
		}
		return folder
	}
	archive := install("conf/defaults.ini", "bin/grafana", "bin/grafana-server")
	old := install("conf/defaults.ini", "bin/grafana-server")
	shared := install("conf/defaults.ini") // its executable is in the PATH, a script of the package
	script := install("grafana")
	link := t.TempDir()
	if err := os.Symlink(filepath.Join(archive, "bin", "grafana"), filepath.Join(link, "grafana")); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		path  string // $PATH
		homes []string
		home  string
		want  []string // the executable and its arguments
	}{
		"an archive":            {"", []string{"/nowhere", archive}, archive, []string{archive + "/bin/grafana", "server"}},
		"an old one":            {"", []string{old}, old, []string{old + "/bin/grafana-server"}},
		"a script in the PATH":  {script, []string{shared}, shared, []string{script + "/grafana", "server"}},
		"a link in the PATH":    {link, nil, archive, []string{archive + "/bin/grafana", "server"}},
		"a folder without one":  {"", []string{shared}, "", nil},
		"a script without home": {script, nil, "", nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv(executable.FolderVariable, "")
			t.Setenv("PATH", c.path)
			g, found := findGrafana(c.homes...)
			if found != (c.want != nil) {
				t.Fatalf("found is %v", found)
			}
			if got := append([]string{g.path}, g.args...); found && (g.home != c.home || !slices.Equal(got, c.want)) {
				t.Errorf("found %q at %s, want %q at %s", got, g.home, c.want, c.home)
			}
		})
	}
}
