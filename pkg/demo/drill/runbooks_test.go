package drill

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var drillLine = regexp.MustCompile("(?m)^Drill: `consignwatch-demo --fault ([a-z-]+)`")

// notInTable are alerts that their fault fires although neither the table nor a recording says so: alerts with a fixed wait of a quarter of an hour or more, which
// shorter windows do not shorten, and burn rate alerts.
var notInTable = map[string]bool{"SloBudgetBurningFast": true, "SyncStalled": true, "BackupTooOld": true}

func TestRunbooksNameAFaultThatFiresTheirAlert(t *testing.T) {
	fires := map[string][]string{} // alerts by fault
	for _, batch := range Batches() {
		for _, f := range batch {
			for _, a := range slices.Concat(f.MustFire, f.Allowed()) {
				name, _, _ := strings.Cut(a, " ")
				fires[f.Name] = append(fires[f.Name], name)
			}
		}
	}
	runbooks, err := filepath.Glob("../../../docs/runbooks/[A-Z]*.md")
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
		for _, match := range drillLine.FindAllStringSubmatch(string(text), -1) {
			drilled[alert] = true
			if fault := match[1]; !slices.Contains(fires[fault], alert) && !notInTable[alert] {
				t.Errorf("%s: the fault %s does not fire %s in drill.Batches", file, fault, alert)
			}
		}
	}
	for _, f := range slices.Concat(Batches()...) {
		for _, a := range f.MustFire[:min(1, len(f.MustFire))] { // the first one is the alert that the fault is made for
			if name, _, _ := strings.Cut(a, " "); !drilled[name] {
				t.Errorf("docs/runbooks/%s.md: names no drill; the fault %s fires it", name, f.Name)
			}
		}
	}
}
