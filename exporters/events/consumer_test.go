package events

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/IBM/sarama"

	"github.com/consignwatch/consignwatch/exporters/events/internal/aggregate"
	"github.com/consignwatch/consignwatch/exporters/events/internal/cloudevent"
)

// Without a session there is nothing to finish: brokers that say nothing are waited for once, and not until they answer.
func TestTheEndWaitsForSilentBrokersOnlyWhileThereIsASession(t *testing.T) {
	for _, tt := range []struct {
		name    string
		session sarama.ConsumerGroupSession
		want    time.Duration
	}{
		{"without a session", nil, leaveTimeout},
		{"with a session", struct{ sarama.ConsumerGroupSession }{}, time.Minute},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := &consumer{log: slog.New(slog.DiscardHandler), ended: make(chan struct{}), cancel: func() {}, session: tt.session}
				time.AfterFunc(time.Minute, func() { close(n.ended) })
				begin := time.Now()
				if err := n.stop(); err != nil {
					t.Error(err)
				}
				if got := time.Since(begin); got != tt.want {
					t.Errorf("it waited for %v, want %v", got, tt.want)
				}
				time.Sleep(time.Minute) // nothing of the test is left behind
			})
		})
	}
}

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
