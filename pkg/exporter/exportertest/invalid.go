package exportertest

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/consignwatch/consignwatch/pkg/exporter/web"
)

// Invalid starts the exporter with each configuration in a folder, at least so many: with --config.check, and to run. The
// first line of each file is the message that it must cause: `# want: …`. The secret, which the files that they name
// hold, must not be printed. If the files are a part of a configuration only, config returns the complete one; otherwise it is nil.
func Invalid(t *testing.T, app web.App, folder string, least int, secret string, config func(t *testing.T, file string) string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(folder, "*.yml"))
	if err != nil || len(files) < least {
		t.Fatalf("%d files: %v", len(files), err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			first, _, _ := strings.Cut(string(text), "\n")
			want, ok := strings.CutPrefix(first, "# want: ")
			if !ok {
				t.Fatal("the first line does not say what message is wanted")
			}
			whole := file
			if config != nil {
				whole = config(t, file)
			}
			for _, mode := range [][]string{{"--config.check"}, {"--web.listen-address", "127.0.0.1:0"}} {
				code, got := runBriefly(t, app, append([]string{"--config.file", whole, "--log.format", "json"}, mode...))
				if code != 1 || !strings.Contains(got, want) {
					t.Errorf("%v: exit code %d, printed:\n%s\nwant 1 and: %s", mode, code, got, want)
				}
				if strings.Contains(got, secret) {
					t.Errorf("a secret was printed:\n%s", got)
				}
			}
		})
	}
}

// runBriefly ends an exporter that has nothing to complain about.
func runBriefly(t *testing.T, app web.App, args []string) (code int, printed string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	out := &Log{}
	code = app.Run(ctx, args, out, out, nil)
	return code, strings.NewReplacer(`\"`, `"`, `\n`, "\n").Replace(out.String())
}
