package life

import (
	"log/slog"
	"testing"
	"time"

	"github.com/consignwatch/consignwatch/simulator/faults"
	"github.com/consignwatch/consignwatch/simulator/store"
	"github.com/consignwatch/consignwatch/simulator/world"
)

// The outcome of the change that starts or ends a backup can be unknown, and the next one be scheduled, before it turns out that it was carried out.
func TestABackupStartsAndEndsOnce(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 9, 5, 12, 0, 0, 0, time.UTC)
	const id = 7
	for name, c := range map[string]struct {
		before, after backupClock // when the activity is scheduled, and when it happens
		changes       bool
	}{
		"a start":                      {backupClock{next: now}, backupClock{next: now}, true},
		"a start that has happened":    {backupClock{next: now}, backupClock{running: id, next: now.Add(time.Hour), ends: now.Add(time.Minute)}, false},
		"the end":                      {backupClock{running: id, ends: now}, backupClock{running: id, ends: now}, true},
		"the end, which has come":      {backupClock{running: id, ends: now}, backupClock{next: now.Add(time.Hour)}, false},
		"neither, since it is running": {backupClock{running: id, ends: now.Add(time.Minute)}, backupClock{}, false},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := store.Open(store.Config{
				Clock: world.Clock{Time: func() time.Time { return now }, Speed: 1, Acceleration: 1}, DSN: "nobody@tcp(127.0.0.1:1)/none", Timeout: time.Minute, Logger: slog.New(slog.DiscardHandler),
			})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = s.Close() })
			s.Books.Backups = world.Rows[world.Backup]{{ID: id, Target: "redis", StartedAt: now.Add(-time.Minute)}}
			l := New(Config{}, s, faults.NewSwitches(s), nil, nil)
			l.clock = newLifeClock(now, false)
			never := now.Add(24 * time.Hour)
			l.clock.backups = map[string]*backupClock{"mysql": {next: never}, "images": {next: never}, "redis": &c.before}
			step := &step{Life: l, at: now}
			step.backupLife()
			c.before = c.after
			change := s.NewChange(name)
			for _, a := range step.activities {
				a.do(change)
			}
			if change.Empty() == c.changes {
				t.Errorf("%d activities make a change: %v, want %v", len(step.activities), !change.Empty(), c.changes)
			}
		})
	}
}
