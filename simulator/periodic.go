package simulator

import "time"

// Periodic activities: sync, backups, and the deletion of old rows.

// sync syncs a client's shop: a run of each kind. The kind products updates items, the kind email_address consignors.
func (p *Platform) sync(c *Change, client uint64) {
	now := p.now()
	stalled := p.faults.isOn(SyncStalled, client)
	for _, kind := range syncKinds() {
		mail := kind == "email_address"
		if stalled && !mail {
			continue
		}
		run := SyncRun{ID: next(&p.ids.sync), ClientID: client, Kind: kind, Outcome: Succeeded, FinishedAt: now}
		if p.randomFailure(0.01) || p.syncFails(client, kind) {
			run.Outcome = Failed
		}
		c.Insert(run)
		switch {
		case run.Outcome == Failed:
		case kind == "products":
			p.syncItems(c, client, now)
		case mail:
			p.syncMail(c, client, now)
		}
	}
}

// syncFails reports whether a run fails for sure: because of a fault, or because the last call to the shop failed.
func (p *Platform) syncFails(client uint64, kind string) bool {
	return p.faults.isOn(SyncFailing, client) || kind != "email_address" && !p.lastShopCall(client).OK()
}

func (p *Platform) syncItems(c *Change, client uint64, now time.Time) {
	for i := range p.books.Events {
		e := &p.books.Events[i]
		if e.ClientID != client || p.index.unsynced.len(e.ID) == 0 {
			continue
		}
		for _, id := range p.index.unsynced.some(e.ID, batch) {
			item := *p.books.Items.Get(id)
			item.SyncedAt = now
			c.Update(item)
		}
	}
}

func (p *Platform) syncMail(c *Change, client uint64, now time.Time) {
	for _, id := range p.index.mail.some(client, batch) {
		consignor := *p.books.Consignors.Get(id)
		if consignor.SyncStatus == Failed && p.chance(0.9) {
			continue // a later run retries it
		}
		consignor.SyncStatus, consignor.LastSyncAttempt = Completed, now
		if p.chance(0.03) {
			consignor.SyncStatus = Failed
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
	p := s.Platform
	for _, plan := range backupPlans() {
		clock := p.clock.backups[plan.target]
		if clock == nil {
			clock = &backupClock{next: s.at.Add(time.Duration(p.rng.Float64() * float64(p.scaled(plan.every))))}
			p.clock.backups[plan.target] = clock
		}
		switch {
		case clock.running != 0 && !s.at.Before(clock.ends):
			s.schedule("backup ends", func(c *Change) { p.endBackup(c, clock) })
		case clock.running == 0 && !s.at.Before(clock.next):
			s.schedule("backup starts", func(c *Change) { p.startBackup(c, clock, plan) })
		}
	}
}

func (p *Platform) startBackup(c *Change, clock *backupClock, plan backupPlan) {
	now := p.now()
	run := Backup{ID: next(&p.ids.backup), Target: plan.target, StartedAt: now}
	c.Insert(run)
	c.effects = append(c.effects, func(*Books, *index) {
		clock.running = run.ID
		clock.ends = now.Add(p.scaled(plan.took))
		clock.next = now.Add(max(p.scaled(plan.every), p.accelerated(5*time.Second)))
	})
}

func (p *Platform) endBackup(c *Change, clock *backupClock) {
	run := *p.books.Backups.Get(clock.running)
	run.FinishedAt, run.Outcome = p.now(), Failed
	if !p.faults.isOn(BackupMissing, 0) {
		run.Outcome, run.Bytes = Succeeded, 1_000_000
		for i := len(p.books.Backups) - 1; i >= 0; i-- {
			if b := &p.books.Backups[i]; b.Target == run.Target && b.Outcome == Succeeded {
				run.Bytes = b.Bytes + b.Bytes/500
				break
			}
		}
	}
	c.Update(run)
	c.effects = append(c.effects, func(*Books, *index) { clock.running = 0 })
}

const (
	housekeeping = time.Minute
	keptFor      = 30 * time.Minute // sync runs and sessions that are over
	maxCleaned   = 20_000
)

// clean deletes old sync runs and ended sessions, but never the last run of a kind and outcome.
func (p *Platform) clean(c *Change) {
	before := p.now().Add(-keptFor)
	type last struct {
		client        uint64
		kind, outcome string
	}
	spared := map[last]uint64{}
	for _, r := range p.books.SyncRuns {
		spared[last{r.ClientID, r.Kind, r.Outcome}] = r.ID
	}
	var runs, sessions []Row
	for _, r := range p.books.SyncRuns {
		if len(runs) < maxCleaned && r.FinishedAt.Before(before) && spared[last{r.ClientID, r.Kind, r.Outcome}] != r.ID {
			runs = append(runs, r)
		}
	}
	for _, s := range p.books.Sessions {
		if len(sessions) < maxCleaned && !s.EndedAt.IsZero() && s.EndedAt.Before(before) {
			sessions = append(sessions, s)
		}
	}
	c.Delete(runs...)
	c.Delete(sessions...)
}
