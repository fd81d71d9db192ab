package simulator

import (
	"context"
	"database/sql"
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/consignwatch/consignwatch/pkg/demo/servers/serverstest"
	"github.com/consignwatch/consignwatch/simulator/faults"
	"github.com/consignwatch/consignwatch/simulator/world"
	"github.com/consignwatch/consignwatch/test/seed"
)

// livePlatform runs the platform until the test ends, or until the returned function is called.
func livePlatform(t *testing.T, p *Platform) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx) }()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-done; err != nil {
			t.Errorf("life: %v", err)
		}
	}
	t.Cleanup(stop)
	return stop
}

func pause(t *testing.T, p *Platform) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := p.Pause(ctx); err != nil {
		t.Fatal(err)
	}
}

// patience is how long a test waits for what is sure to happen, on a busy machine, too.
const patience = 2 * time.Minute

// finishRound returns when life has ended the step that was running, and one after it.
func finishRound(p *Platform) {
	for range 3 { // the first ends the wait, the second the running step, the third a whole one
		p.life.Wake <- struct{}{}
	}
}

// changes waits for n more changes.
func changes(t *testing.T, p *Platform, n int64) {
	t.Helper()
	before := p.State().Changes
	waitFor(t, fmt.Sprintf("%d more changes", n), func() bool { return p.State().Changes >= before+n })
}

// steppedPlatform is a platform whose time passes by steps alone, so that the same happens each time.
type steppedPlatform struct {
	*Platform
	t   *testing.T
	now time.Time
}

// newSteppedPlatform returns a filled platform that the test steps.
func newSteppedPlatform(t *testing.T, config Config) (*steppedPlatform, *sql.DB) {
	t.Helper()
	c := &steppedPlatform{t: t, now: noon()}
	config.Now = func() time.Time { return c.now }
	var db *sql.DB
	c.Platform, db = filled(t, config)
	return c, db
}

// advance steps through a time span.
func (c *steppedPlatform) advance(d time.Duration) {
	c.t.Helper()
	const step = 100 * time.Millisecond
	for ; d > 0; d -= step {
		c.now = c.now.Add(step)
		if err := c.Step(c.t.Context(), step); err != nil {
			c.t.Fatal(err)
		}
	}
}

// until advances until a condition holds.
func (c *steppedPlatform) until(what string, is func() bool) {
	c.t.Helper()
	for end := c.now.Add(10 * time.Minute); !is(); c.advance(100 * time.Millisecond) {
		if c.now.After(end) {
			c.t.Fatalf("lived in vain for %s", what)
		}
	}
}

func TestBooksEqualTheTablesAtAnyMoment(t *testing.T) {
	t.Parallel()
	p, db := filled(t, lively())
	r := seed.Rand(t)
	before := p.Books()
	livePlatform(t, p)
	for range 6 {
		changes(t, p, 1+r.Int64N(200))
		pause(t, p)
		b := p.Books()
		compareTables(t, b, db)
		checkHealthy(t, b, db, time.Now().UTC())
		p.Resume()
	}
	quiet := map[string]func(after *world.Books) bool{
		"events":             func(after *world.Books) bool { return cmp.Equal(before.Events, after.Events) },
		"consignors":         func(after *world.Books) bool { return cmp.Equal(before.Consignors, after.Consignors) },
		"event_consignors":   func(after *world.Books) bool { return cmp.Equal(before.EventConsignors, after.EventConsignors) },
		"items":              func(after *world.Books) bool { return cmp.Equal(before.Items, after.Items) },
		"sales":              func(after *world.Books) bool { return cmp.Equal(before.Sales, after.Sales) },
		"dropoff_bookings":   func(after *world.Books) bool { return cmp.Equal(before.DropoffBookings, after.DropoffBookings) },
		"volunteer_bookings": func(after *world.Books) bool { return cmp.Equal(before.VolunteerBookings, after.VolunteerBookings) },
		"sessions":           func(after *world.Books) bool { return cmp.Equal(before.Sessions, after.Sessions) },
		"settlements":        func(after *world.Books) bool { return cmp.Equal(before.Settlements, after.Settlements) },
		"sync_runs":          func(after *world.Books) bool { return cmp.Equal(before.SyncRuns, after.SyncRuns) },
		"backups":            func(after *world.Books) bool { return cmp.Equal(before.Backups, after.Backups) },
		"support_tickets":    func(after *world.Books) bool { return cmp.Equal(before.SupportTickets, after.SupportTickets) },
	}
	for name, same := range quiet {
		waitFor(t, "something to happen in "+name, func() bool { return !same(p.Books()) })
	}
	waitFor(t, "sale events to move on to three statuses", func() bool {
		statuses := map[string]bool{}
		after := p.Books()
		for i, e := range before.Events {
			if after.Events[i].Status != e.Status {
				statuses[after.Events[i].Status] = true
			}
		}
		return len(statuses) >= 3
	})
	pause(t, p)
	if s := p.State(); s.Failures != 0 {
		t.Errorf("the database refused something: %+v", s)
	}
	compareTables(t, p.Books(), db)
	checkHealthy(t, p.Books(), db, time.Now().UTC())
}

func TestPauseStopsLifeAndResumeContinuesIt(t *testing.T) {
	t.Parallel()
	p, _ := filled(t, Config{Clients: 4, Events: 8, Items: 500, Speed: 2000, Tick: 10 * time.Millisecond})
	livePlatform(t, p)
	changes(t, p, 1)
	pause(t, p)
	paused := p.State().Changes
	finishRound(p)
	for range 10 { // long enough for many activities
		if err := p.Step(t.Context(), world.LongestStep); err != nil {
			t.Fatal(err)
		}
	}
	if now := p.State().Changes; now != paused {
		t.Errorf("%d changes when paused, %d later", paused, now)
	}
	p.Resume()
	changes(t, p, 1)
}

func waitFor(t *testing.T, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !is(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

func TestLifeSurvivesADatabaseThatDiesAndHangs(t *testing.T) {
	t.Parallel()
	server := serverstest.OwnMariaDB(t)
	admin := serverstest.Open(t, server.DSN(""))
	if _, err := admin.ExecContext(t.Context(), "CREATE DATABASE platform"); err != nil {
		t.Fatal(err)
	}
	p, db := filled(t, Config{
		DSN: server.DSN("platform"), Clients: 5, Events: 10, Items: 800, Seed: 2, Speed: 20_000, Acceleration: 5, Tick: 10 * time.Millisecond, Timeout: time.Second,
		DatabaseDown: func(on bool) error {
			if on {
				return server.Signal(syscall.SIGSTOP)
			}
			return server.Signal(syscall.SIGCONT)
		},
	})
	r := seed.Rand(t)
	livePlatform(t, p)
	for i := range 8 {
		changes(t, p, 1+r.Int64N(50))
		if i%2 == 0 {
			if err := server.Kill(); err != nil {
				t.Fatal(err)
			}
			waitFor(t, "life to notice that the server is dead", func() bool { return p.State().Failing != "" })
			if err := server.Restart(t.Context()); err != nil {
				t.Fatal(err)
			}
		} else {
			if err := p.Faults().On(t.Context(), faults.DatabaseDown, ""); err != nil {
				t.Fatal(err)
			}
			waitFor(t, "life to notice that the server hangs", func() bool { return p.State().Failing != "" })
			if err := p.Faults().Off(t.Context(), faults.DatabaseDown, ""); err != nil {
				t.Fatal(err)
			}
		}
		before := p.State().Changes
		waitFor(t, "life to go on", func() bool { return p.State().Changes > before && p.State().Failing == "" })
		pause(t, p)
		compareTables(t, p.Books(), db)
		p.Resume()
	}
	pause(t, p)
	checkHealthy(t, p.Books(), db, time.Now().UTC())
}

func TestAPauseThatGivesUpDoesNotGoOn(t *testing.T) {
	t.Parallel()
	p, _ := filled(t, Config{Clients: 2, Events: 2, Items: 50})
	if err := p.store.LockWrites(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := p.Pause(ctx); err == nil {
		t.Error("paused although an activity runs")
	}
	if p.State().Paused {
		t.Error("a pause that failed goes on")
	}
	p.store.UnlockWrites()
	pause(t, p)
}

// An injection that waits for the database must not keep anybody from switching database-down off.
func TestDatabaseDownCanBeSwitchedOffWhileAnotherFaultWaits(t *testing.T) {
	t.Parallel()
	server := serverstest.OwnMariaDB(t)
	admin := serverstest.Open(t, server.DSN(""))
	if _, err := admin.ExecContext(t.Context(), "CREATE DATABASE platform"); err != nil {
		t.Fatal(err)
	}
	p, db := filled(t, Config{DSN: server.DSN("platform"), DatabaseDown: func(on bool) error {
		if on {
			return server.Signal(syscall.SIGSTOP)
		}
		return server.Signal(syscall.SIGCONT)
	}})
	if err := p.Faults().On(t.Context(), faults.DatabaseDown, ""); err != nil {
		t.Fatal(err)
	}
	planted := make(chan error, 1)
	go func() { planted <- p.Faults().On(t.Context(), faults.SoldTwice, "") }()
	waitFor(t, "the other fault to come before the database", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		if p.store.LockWrites(ctx) != nil {
			return true
		}
		p.store.UnlockWrites()
		return false
	})
	if err := p.Faults().Off(t.Context(), faults.DatabaseDown, ""); err != nil {
		t.Fatal(err)
	}
	if err := <-planted; err != nil {
		t.Fatal(err)
	}
	if n := countViolations(t, db)[world.SoldTwice]; n != 1 {
		t.Errorf("%d violations", n)
	}
}
