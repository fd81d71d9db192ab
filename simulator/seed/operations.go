package seed

import (
	"time"

	"github.com/consignwatch/consignwatch/simulator/world"
)

// operations generates what does not belong to sale events: sessions, sync runs, backups and tickets.
func (g *generator) operations() {
	for _, c := range g.books.Clients {
		if c.Active {
			g.staff(c.ID)
			g.tickets(c.ID)
			g.syncs(c.ID)
		}
	}
	for _, e := range g.books.Events {
		if e.Status == world.Active || e.Status == world.Markdown {
			g.shoppers(&e)
		}
	}
	g.backup("mysql", 6*time.Hour, 5*time.Minute, 30, 2_400_000_000)
	g.backup("redis", time.Hour, 8*time.Second, 48, 90_000_000)
	g.backup("images", 24*time.Hour, 25*time.Minute, 8, 48_000_000_000)
}

func (g *generator) staff(client uint64) {
	for i, role := range world.Roles()[1:] {
		for range g.rng.IntN(4 - i/2) {
			g.session(client, 0, role)
		}
	}
}

// shoppers generates sessions: most are active, some ended, some abandoned.
func (g *generator) shoppers(e *world.Event) {
	for range world.ShoppersOf(e.ID) {
		g.session(e.ClientID, e.ID, world.Roles()[0])
	}
}

func (g *generator) session(client, event uint64, role string) {
	s := world.Session{ID: g.ids.Of(world.Session{}), ClientID: client, EventID: event, Role: role}
	s.LastSeenAt = g.between(g.now.Add(-world.HeartbeatEvery), g.now)
	s.StartedAt = g.between(s.LastSeenAt.Add(-15*time.Minute), s.LastSeenAt)
	switch {
	case g.chance(0.15):
		s.EndedAt = s.LastSeenAt
	case g.chance(0.1):
		s.LastSeenAt = g.between(g.now.Add(-20*time.Minute), g.now.Add(-6*time.Minute))
		s.StartedAt = s.LastSeenAt.Add(-time.Minute)
	}
	g.books.Sessions = append(g.books.Sessions, s)
}

func (g *generator) tickets(client uint64) {
	for range g.rng.IntN(6) {
		u := g.rng.Float64() // most are of the last days
		opened := g.ago(time.Duration(float64(20*24*time.Hour) * u * u * u))
		k := world.SupportTicket{
			ID: g.ids.Of(world.SupportTicket{}), ClientID: client, Priority: world.PickPriority(g.rng.Float64()), Status: world.Open,
			Category: world.TicketCategories()[g.rng.IntN(len(world.TicketCategories()))], OpenedAt: opened,
		}
		if answered := opened.Add(time.Duration(float64(3*time.Hour) * g.rng.Float64())).Truncate(time.Microsecond); answered.Before(g.now) {
			k.Status, k.FirstResponseAt = world.Waiting, answered
		}
		if solved := opened.Add(time.Duration(float64(48*time.Hour) * (0.1 + g.rng.Float64()))).Truncate(time.Microsecond); solved.Before(g.now) {
			k.Status, k.SolvedAt = world.Solved, solved
		}
		g.books.SupportTickets = append(g.books.SupportTickets, k)
	}
}

// syncs generates the runs of the last platform hour, every five minutes; the last one of each kind succeeded.
func (g *generator) syncs(client uint64) {
	every := g.day / 288
	offset := time.Duration(g.rng.Int64N(int64(every) + 1))
	for n := 11; n >= 0; n-- {
		for _, kind := range world.SyncKinds() {
			r := world.SyncRun{ID: g.ids.Of(world.SyncRun{}), ClientID: client, Kind: kind, Outcome: world.Succeeded, FinishedAt: g.ago(offset + time.Duration(n)*every)}
			if n > 0 && g.chance(0.02) {
				r.Outcome = world.Failed
			}
			g.books.SyncRuns = append(g.books.SyncRuns, r)
		}
	}
}

// backup generates the runs of a target, the oldest first; one in the middle failed.
func (g *generator) backup(target string, every, took time.Duration, runs int, bytes int64) {
	for n := runs - 1; n >= 0; n-- {
		start := g.ago(time.Duration(n)*every + every/3 + took)
		b := world.Backup{
			ID: g.ids.Of(world.Backup{}), Target: target, Outcome: world.Succeeded, StartedAt: start,
			FinishedAt: start.Add(time.Duration(float64(took) * (0.8 + 0.4*g.rng.Float64()))).Truncate(time.Microsecond),
			Bytes:      bytes - int64(n)*bytes/200,
		}
		if n == runs/2 {
			b.Outcome, b.Bytes = world.Failed, 0
		}
		g.books.Backups = append(g.books.Backups, b)
	}
}
