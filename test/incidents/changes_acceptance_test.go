//go:build acceptance

package incidents

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// without are the recordings whose fault, when it goes on, leaves no P0 that nobody acknowledges until the management is called.
var without = []string{"connections-used-up", "exporter-hung"}

// A change of a threshold, of a wait or of a route differs in the golden files of the incidents that it is about, and in no others. Without that, the golden
// files would prove little.
func TestAChangeDiffersWhereItMattersAndNowhereElse(t *testing.T) {
	for _, c := range []struct {
		name, file, old, new string
		differs              func(play) bool
	}{
		{
			"a threshold", "rules/recording/thresholds.yml",
			"expr: vector(0.95)\n        labels: {name: host_disk_ratio, level: critical, client: _platform}",
			"expr: vector(0.9999)\n        labels: {name: host_disk_ratio, level: critical, client: _platform}",
			func(p play) bool { return p.recording == "disk-filling" },
		},
		{
			"a wait", "rules/alerts/integrations.yml",
			"            and on () count(client:consign_shopify_up:max == 0 unless on (client) client:consign_shopify_refusals_per_request:ratio_rate3m > 0.2) >= 3\n        for: 1m\n",
			"            and on () count(client:consign_shopify_up:max == 0 unless on (client) client:consign_shopify_refusals_per_request:ratio_rate3m > 0.2) >= 3\n        for: 4m\n",
			func(p play) bool { return p.recording == "shopify-down" },
		},
		{
			"a route", "alertmanager/alertmanager.yml",
			"\n        - receiver: management\n          matchers: [team=\"technical\"]\n",
			"\n        - receiver: emergency\n          matchers: [team=\"technical\"]\n",
			func(p play) bool { return p.held && !slices.Contains(without, p.recording) },
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			folder := t.TempDir()
			for _, name := range []string{"rules", "alertmanager"} {
				if err := os.CopyFS(filepath.Join(folder, name), os.DirFS(filepath.Join(root, name))); err != nil {
					t.Fatal(err)
				}
			}
			file := filepath.Join(folder, c.file)
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if n := strings.Count(string(text), c.old); n != 1 {
				t.Fatalf("%s has %d times %q", c.file, n, c.old)
			}
			if err := os.WriteFile(file, []byte(strings.Replace(string(text), c.old, c.new, 1)), 0o600); err != nil {
				t.Fatal(err)
			}
			s := read(t, folder)
			var want, got []string
			var mu sync.Mutex
			t.Run("plays", func(t *testing.T) {
				for _, p := range plays(t) {
					if c.differs(p) {
						want = append(want, p.file())
					}
					t.Run(p.file(), func(t *testing.T) {
						t.Parallel()
						golden, err := os.ReadFile(filepath.Join("testdata", p.file()))
						if err != nil {
							t.Fatal(err)
						}
						if p.with(t, s) != string(golden) {
							mu.Lock()
							defer mu.Unlock()
							got = append(got, p.file())
						}
					})
				}
			})
			slices.Sort(want)
			slices.Sort(got)
			if diff := cmp.Diff(want, got); diff != "" || len(want) == 0 {
				t.Errorf("golden files that differ, -want +got:\n%s", diff)
			}
		})
	}
}
