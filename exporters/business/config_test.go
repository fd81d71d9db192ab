package business

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/consignwatch/consignwatch/pkg/exporter/exportertest"
)

// TestInvalidFilesSayWhatIsWrongAndWhere starts the exporter with each file below testdata/invalid-*; their first line
// is the message that they must bring.
func TestInvalidFilesSayWhatIsWrongAndWhere(t *testing.T) {
	for _, kind := range []string{"invalid-config", "invalid-pack"} {
		files, err := filepath.Glob("testdata/" + kind + "/*.yml")
		if err != nil || len(files) < 10 {
			t.Fatalf("%d files of kind %s: %v", len(files), kind, err)
		}
		for _, file := range files {
			t.Run(kind+"/"+filepath.Base(file), func(t *testing.T) {
				text, err := os.ReadFile(file)
				if err != nil {
					t.Fatal(err)
				}
				first, _, _ := strings.Cut(string(text), "\n")
				want, ok := strings.CutPrefix(first, "# want: ")
				if !ok {
					t.Fatal("the first line does not say what message is wanted")
				}
				config := file
				if kind == "invalid-pack" {
					config = packConfig(t, file)
				}
				for _, mode := range [][]string{{"--config.check"}, {"--web.listen-address", "127.0.0.1:0"}} {
					var out strings.Builder
					code := App().Run(t.Context(), append([]string{"--config.file", config, "--log.format", "json"}, mode...), &out, &out, nil)
					got := strings.NewReplacer(`\"`, `"`, `\n`, "\n").Replace(out.String())
					if code != 1 || !strings.Contains(got, want) {
						t.Errorf("%v: exit code %d, printed:\n%s\nwant 1 and: %s", mode, code, got, want)
					}
					if strings.Contains(got, "secretpassword") {
						t.Errorf("the password was printed:\n%s", got)
					}
				}
			})
		}
	}
}

// packConfig writes a configuration that names a pack.
func packConfig(t *testing.T, pack string) string {
	t.Helper()
	path, err := filepath.Abs(pack)
	if err != nil {
		t.Fatal(err)
	}
	dsn, err := filepath.Abs("testdata/dsn")
	if err != nil {
		t.Fatal(err)
	}
	return exportertest.WriteFile(t, "config.yml", fmt.Sprintf("mysql: {dsn_file: %s}\nqueries_file: %s\n", dsn, path))
}

func TestTheEmbeddedPackIsValidAndItsReasonsAreWritten(t *testing.T) {
	p, _, _, err := loadPack("", shipped())
	if err != nil {
		t.Fatal(err)
	}
	for _, q := range p.Queries {
		if q.Reason == "" {
			t.Errorf("query %s does not say what it is for", q.Name)
		}
	}
}
