package incidents

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/consignwatch/consignwatch/pkg/demo/servers/serverstest"
	"github.com/consignwatch/consignwatch/pkg/recording"
)

// jobs are those that Prometheus scrapes.
var jobs = []string{"system-exporter", "integration-exporter", "business-exporter", "event-exporter", "node", "ackd", "alertmanager", "prometheus"}

// missed leaves one scrape of each job out, one after the other, while the fault lasts. That of the business-exporter is before a sale ends in the
// recordings: what was live within the last hour counts as live while the exporter says nothing.
func missed(r *recording.Recording, begin time.Time) *recording.Recording {
	for i, job := range jobs {
		r = r.Missed(job, begin.Add(faultOn+4*time.Minute+time.Duration(i)*2*interval), interval)
	}
	return r
}

// One missed scrape ends no alert, begins none, and notifies nobody: with it, an incident is what it is without it.
func TestOneMissedScrapeOfEachJobChangesNothing(t *testing.T) {
	serverstest.Inputs(t, "../../alertmanager/*.yml", "../../alertmanager/templates/*") // the program reads them
	s := read(t, root)
	for _, name := range []string{"database-down", "clerk-down", "checkout-failing", "disk-filling"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			whole := urgent(play{recording: name, clock: wednesday}.with(t, s))
			if len(whole) < 5 {
				t.Fatalf("of the recording there are %d lines:\n%s", len(whole), strings.Join(whole, "\n"))
			}
			if diff := cmp.Diff(whole, urgent(play{recording: name, clock: wednesday, change: missed}.with(t, s))); diff != "" {
				t.Errorf("one scrape of each job makes another incident of it (-without +with):\n%s", diff)
			}
		})
	}
}

// urgent returns the lines about P0 and P1 alerts, without those about clients and sources of inhibitions, which follow from them.
func urgent(text string) []string {
	return slices.DeleteFunc(strings.Split(text, "\n"), func(line string) bool { return !strings.Contains(line, "P0") && !strings.Contains(line, "P1") })
}
