package life

import (
	"time"

	"github.com/consignwatch/consignwatch/simulator/faults"
	"github.com/consignwatch/consignwatch/simulator/store"
	"github.com/consignwatch/consignwatch/simulator/world"
)

// Periodic activities: sync, backups, and the deletion of old rows.

// sync syncs a client's shop: a run of each kind. The kind products updates items, the kind email_address consignors.
func (l *Life) sync(c *store.Change, client uint64) {
	now := l.Now()
	stalled := l.faults.IsOn(faults.SyncStalled, client)
	for _, kind := range world.SyncKinds() {
		mail := kind == "email_address"
		if stalled && !mail {
			continue
		}
		run := world.SyncRun{ID: l.IDs.Of(world.SyncRun{}), ClientID: client, Kind: kind, Outcome: world.Succeeded, FinishedAt: now}
		if l.randomFailure(0.01) || l.syncFails(client, kind) {
			run.Outcome = world.Failed
		}
		c.Insert(run)
		switch {
		case run.Outcome == world.Failed:
		case kind == "products":
			l.syncItems(c, client, now)
		case mail:
			l.syncMail(c, client, now)
		}
	}
}

// syncFails reports whether a run fails for sure: because of a fault, or because the last call to the shop failed.
func (l *Life) syncFails(client uint64, kind string) bool {
	return l.faults.IsOn(faults.SyncFailing, client) || kind != "email_address" && !l.shops.ShopAnswers(client)
}

func (l *Life) syncItems(c *store.Change, client uint64, now time.Time) {
	for i := range l.Books.Events {
		e := &l.Books.Events[i]
		if e.ClientID != client || l.Index.Unsynced.Len(e.ID) == 0 {
			continue
		}
		for _, id := range l.Index.Unsynced.Some(e.ID, world.Batch) {
			item := *l.Books.Items.Get(id)
			item.SyncedAt = now
			c.Update(item)
		}
	}
}

func (l *Life) syncMail(c *store.Change, client uint64, now time.Time) {
	for _, id := range l.Index.Mail.Some(client, world.Batch) {
		consignor := *l.Books.Consignors.Get(id)
		if consignor.SyncStatus == world.Failed && l.chance(0.9) {
			continue // a later run retries it
		}
		consignor.SyncStatus, consignor.LastSyncAttempt = world.Completed, now
		if l.chance(0.03) {
			consignor.SyncStatus = world.Failed
		}
		c.Update(consignor)
	}
}

// backupPlan is a backup target with its interval and duration, in platform time.
type backupPlan struct {
	target      string
	every, took time.Duration
}

func backupPlans() []backupPlan {
	return []backupPlan{
		{"mysql", 6 * time.Hour, 5 * time.Minute},
		{"redis", time.Hour, 8 * time.Second},
		{"images", 24 * time.Hour, 25 * time.Minute},
	}
}

func (s *step) backupLife() {
	l := s.Life
	for _, plan := range backupPlans() {
		clock := l.clock.backups[plan.target]
		if clock == nil {
			clock = &backupClock{next: s.at.Add(time.Duration(l.rng.Float64() * float64(l.Scaled(plan.every))))}
			l.clock.backups[plan.target] = clock
		}
		// Whether it runs is asked again when the activity happens: the change before may have been carried out when its outcome was unknown.
		switch {
		case clock.running != 0 && !s.at.Before(clock.ends):
			s.schedule("backup ends", func(c *store.Change) {
				if clock.running != 0 {
					l.endBackup(c, clock)
				}
			})
		case clock.running == 0 && !s.at.Before(clock.next):
			s.schedule("backup starts", func(c *store.Change) {
				if clock.running == 0 {
					l.startBackup(c, clock, plan)
				}
			})
		}
	}
}

func (l *Life) startBackup(c *store.Change, clock *backupClock, plan backupPlan) {
	now := l.Now()
	run := world.Backup{ID: l.IDs.Of(world.Backup{}), Target: plan.target, StartedAt: now}
	c.Insert(run)
	c.Then(func(*world.Books, *world.Index) {
		clock.running = run.ID
		clock.ends = now.Add(l.Scaled(plan.took))
		clock.next = now.Add(max(l.Scaled(plan.every), l.Accelerated(5*time.Second)))
	})
}

func (l *Life) endBackup(c *store.Change, clock *backupClock) {
	run := *l.Books.Backups.Get(clock.running)
	run.FinishedAt, run.Outcome = l.Now(), world.Failed
	if !l.faults.IsOn(faults.BackupMissing, 0) {
		run.Outcome, run.Bytes = world.Succeeded, 1_000_000
		for i := len(l.Books.Backups) - 1; i >= 0; i-- {
			if b := &l.Books.Backups[i]; b.Target == run.Target && b.Outcome == world.Succeeded {
				run.Bytes = b.Bytes + b.Bytes/500
				break
			}
		}
	}
	c.Update(run)
	c.Then(func(*world.Books, *world.Index) { clock.running = 0 })
}

const (
	housekeeping = time.Minute
	keptFor      = 30 * time.Minute // sync runs and sessions that are over
	maxCleaned   = 20_000
)

// clean deletes old sync runs and ended sessions, but never the last run of a kind and outcome.
func (l *Life) clean(c *store.Change) {
	before := l.Now().Add(-keptFor)
	type last struct {
		client        uint64
		kind, outcome string
	}
	spared := map[last]uint64{}
	for _, r := range l.Books.SyncRuns {
		spared[last{r.ClientID, r.Kind, r.Outcome}] = r.ID
	}
	var runs, sessions []world.Row
	for _, r := range l.Books.SyncRuns {
		if len(runs) < maxCleaned && r.FinishedAt.Before(before) && spared[last{r.ClientID, r.Kind, r.Outcome}] != r.ID {
			runs = append(runs, r)
		}
	}
	for _, s := range l.Books.Sessions {
		if len(sessions) < maxCleaned && !s.EndedAt.IsZero() && s.EndedAt.Before(before) {
			sessions = append(sessions, s)
		}
	}
	c.Delete(runs...)
	c.Delete(sessions...)
}
