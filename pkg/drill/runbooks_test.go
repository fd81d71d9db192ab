package drill

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var drills = regexp.MustCompile("(?m)^Drill: `consignwatch demo --fault ([a-z-]+)`")

// slow are the drills whose alerts wait for a fixed time of a quarter of an hour or more, which shorter windows do not shorten, and those
// on budgets, which the table leaves out.
var slow = map[string]bool{"SloBudgetBurningFast": true, "SyncStalled": true, "ConsignwatchStreamStopped": true, "BackupTooOld": true}

func TestRunbooksNameAFaultThatFiresTheirAlert(t *testing.T) {
	fires := map[string][]string{} // alerts by fault
	for _, turn := range Turns() {
		for _, f := range turn {
			for _, a := range slices.Concat(f.Fires, f.May, Milder(slices.Concat(f.Fires, f.May))) {
				name, _, _ := strings.Cut(a, " ")
				fires[f.Name] = append(fires[f.Name], name)
			}
		}
	}
	runbooks, err := filepath.Glob("../../docs/runbooks/[A-Z]*.md")
	if err != nil || len(runbooks) == 0 {
		t.Fatalf("%d runbooks: %v", len(runbooks), err)
	}
	drilled := map[string]bool{}
	for _, file := range runbooks {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		alert := strings.TrimSuffix(filepath.Base(file), ".md")
		for _, match := range drills.FindAllStringSubmatch(string(text), -1) {
			drilled[alert] = true
			if fault := match[1]; !slices.Contains(fires[fault], alert) && !slow[alert] {
				t.Errorf("%s: the fault %s does not fire %s in drill.Turns", file, fault, alert)
			}
		}
	}
	for _, f := range slices.Concat(Turns()...) {
		for _, a := range f.Fires[:min(1, len(f.Fires))] { // the first one is what the fault is for
			if name, _, _ := strings.Cut(a, " "); !drilled[name] {
				t.Errorf("docs/runbooks/%s.md: names no drill; the fault %s fires it", name, f.Name)
			}
		}
	}
}
