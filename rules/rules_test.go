package rules_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/consignwatch/consignwatch/pkg/demo/servers/serverstest"
	"github.com/consignwatch/consignwatch/pkg/executable"
)

// TestRules runs the cases in tests/ through the pinned promtool.
func TestRules(t *testing.T) {
	promtool, err := executable.Find("promtool")
	if err != nil {
		t.Fatal(err)
	}
	serverstest.Inputs(t, "recording/*.yml", "alerts/*.yml")
	files, err := filepath.Glob("tests/*_test.yml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no test files: %v", err)
	}
	for _, f := range files {
		t.Run(filepath.Base(f), func(t *testing.T) {
			t.Parallel()
			command := exec.CommandContext(t.Context(), promtool, "test", "rules", f)
			command.Env = append(os.Environ(), "GOGC=400") // it makes much garbage, and lives for seconds
			if out, err := command.CombinedOutput(); err != nil {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}
