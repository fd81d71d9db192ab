package events

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/consignwatch/consignwatch/exporters/events/internal/aggregate"
	"github.com/consignwatch/consignwatch/exporters/events/internal/cloudevent"
)

func TestBadRecordsAreLoggedFiftyAtOnceAndThenFiveEachSecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		bad := newBadRecords(slog.New(slog.NewTextHandler(&log, nil)))
		report := func(n int) (lines string) {
			log.Reset()
			for range n {
				bad.report(partitionID{"t", 0}, &cloudevent.Record{}, aggregate.Malformed, cloudevent.Problem{Reason: cloudevent.Empty})
			}
			return log.String()
		}
		if n := strings.Count(report(20_000), "\n"); n != 50 {
			t.Errorf("%d lines are logged at once, want 50", n)
		}
		time.Sleep(time.Second)
		lines := report(100)
		if n := strings.Count(lines, "\n"); n != 5 || !strings.Contains(lines, "not_logged_before=19950") {
			t.Errorf("a second later, want 5 lines, and that 19950 were not logged:\n%s", lines)
		}
		time.Sleep(200 * time.Millisecond)
		if lines := report(1); !strings.Contains(lines, "not_logged_before=95") {
			t.Errorf("want that 95 were not logged:\n%s", lines)
		}
	})
}
