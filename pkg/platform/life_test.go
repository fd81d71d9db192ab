package platform

import (
	"context"
	"math/rand/v2"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/consignwatch/consignwatch/pkg/servers/serverstest"
)

// livePlatform lets the platform live until the test ends, or until the returned function is called.
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
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := p.Pause(ctx); err != nil {
		t.Fatal(err)
	}
}

func TestBooksEqualTheTablesAtAnyMoment(t *testing.T) {
	p, db := filled(t, Config{Clients: 6, Events: 18, LiveEvents: 14, Items: 1500, Seed: 5, Speed: 60_000, Tick: 20 * time.Millisecond})
	before := p.Books()
	livePlatform(t, p)
	for range 6 {
		time.Sleep(500*time.Millisecond + rand.N(time.Second))
		pause(t, p)
		b := p.Books()
		compareTables(t, b, db)
		checkHealthy(t, b, db, time.Now().UTC())
		p.Resume()
	}
	pause(t, p)
	if s := p.State(); s.Failures != 0 {
		t.Errorf("the database refused something: %+v", s)
	}
	after := p.Books()
	for name, same := range map[string]bool{
		"events": cmp.Equal(before.Events, after.Events), "consignors": cmp.Equal(before.Consignors, after.Consignors),
		"event_consignors": cmp.Equal(before.EventConsignors, after.EventConsignors), "items": cmp.Equal(before.Items, after.Items),
		"sales": cmp.Equal(before.Sales, after.Sales), "dropoff_bookings": cmp.Equal(before.DropoffBookings, after.DropoffBookings),
		"volunteer_bookings": cmp.Equal(before.VolunteerBookings, after.VolunteerBookings), "sessions": cmp.Equal(before.Sessions, after.Sessions),
		"settlements": cmp.Equal(before.Settlements, after.Settlements), "sync_runs": cmp.Equal(before.SyncRuns, after.SyncRuns),
		"backups": cmp.Equal(before.Backups, after.Backups), "support_tickets": cmp.Equal(before.SupportTickets, after.SupportTickets),
	} {
		if same {
			t.Errorf("nothing happened in %s", name)
		}
	}
	statuses := map[string]int{}
	for i, e := range before.Events {
		if after.Events[i].Status != e.Status {
			statuses[after.Events[i].Status]++
		}
	}
	if len(statuses) < 3 {
		t.Errorf("sale events did not move on: %v", statuses)
	}
}

func TestPauseStopsLifeAndResumeContinuesIt(t *testing.T) {
	p, _ := filled(t, Config{Clients: 4, Events: 8, Items: 500, Speed: 2000, Tick: 10 * time.Millisecond})
	livePlatform(t, p)
	time.Sleep(300 * time.Millisecond)
	pause(t, p)
	changes := p.State().Changes
	time.Sleep(300 * time.Millisecond)
	if now := p.State().Changes; now != changes || changes == 0 {
		t.Errorf("%d changes when paused, %d later", changes, now)
	}
	p.Resume()
	waitFor(t, "life to go on", func() bool { return p.State().Changes > changes })
}

func waitFor(t *testing.T, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !is(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

func TestLifeSurvivesADatabaseThatDiesAndHangs(t *testing.T) {
	server := serverstest.OwnMariaDB(t)
	admin := serverstest.Open(t, server.DSN(""))
	if _, err := admin.ExecContext(t.Context(), "CREATE DATABASE platform"); err != nil {
		t.Fatal(err)
	}
	p, db := filled(t, Config{
		DSN: server.DSN("platform"), Clients: 5, Events: 10, Items: 800, Seed: 2, Speed: 4000, Tick: 10 * time.Millisecond, Timeout: 300 * time.Millisecond,
		DatabaseDown: func(on bool) error {
			if on {
				return server.Signal(syscall.SIGSTOP)
			}
			return server.Signal(syscall.SIGCONT)
		},
	})
	livePlatform(t, p)
	for i := range 8 {
		time.Sleep(100*time.Millisecond + rand.N(300*time.Millisecond))
		if i%2 == 0 {
			if err := server.Kill(); err != nil {
				t.Fatal(err)
			}
			waitFor(t, "life to notice that the server is dead", func() bool { return p.State().Failing != "" })
			if err := server.Restart(t.Context()); err != nil {
				t.Fatal(err)
			}
		} else {
			if err := p.Faults().On(t.Context(), DatabaseDown, ""); err != nil {
				t.Fatal(err)
			}
			waitFor(t, "life to notice that the server hangs", func() bool { return p.State().Failing != "" })
			if err := p.Faults().Off(t.Context(), DatabaseDown, ""); err != nil {
				t.Fatal(err)
			}
		}
		changes := p.State().Changes
		waitFor(t, "life to go on", func() bool { return p.State().Changes > changes && p.State().Failing == "" })
		pause(t, p)
		compareTables(t, p.Books(), db)
		p.Resume()
	}
	pause(t, p)
	checkHealthy(t, p.Books(), db, time.Now().UTC())
}

// The answer to COMMIT is lost in both ways: before and after the server carried it out.
func TestUnknownOutcomeIsFoundOut(t *testing.T) {
	for name, arrived := range map[string]bool{"it arrived": true, "it did not arrive": false} {
		t.Run(name, func(t *testing.T) {
			p, db := filled(t, Config{Clients: 2, Events: 4, Items: 100})
			c := p.newChange("test")
			client := p.Books().Clients[0]
			client.Name = "O'Neill & Söhne \\ 子供"
			c.Update(client)
			ticket := SupportTicket{ID: c.NewID(SupportTicket{}), ClientID: 1, Priority: "low", Status: Open, Category: "labels", OpenedAt: p.now()}
			c.Insert(ticket)
			c.flush()
			if arrived {
				if err := p.transact(t.Context(), c); err != nil {
					t.Fatal(err)
				}
			}
			p.unsettled = c
			if p.Books().SupportTickets.Get(ticket.ID) != nil {
				t.Error("booked before it is known")
			}
			pause(t, p)
			if p.Books().SupportTickets.Get(ticket.ID) == nil {
				t.Error("not booked")
			}
			compareTables(t, p.Books(), db)
		})
	}
}

func TestPauseGivesUpWhileTheOutcomeIsUnknown(t *testing.T) {
	server := serverstest.OwnMariaDB(t)
	admin := serverstest.Open(t, server.DSN(""))
	if _, err := admin.ExecContext(t.Context(), "CREATE DATABASE platform"); err != nil {
		t.Fatal(err)
	}
	p, _ := filled(t, Config{DSN: server.DSN("platform"), Timeout: 200 * time.Millisecond})
	if err := server.Signal(os.Signal(syscall.SIGSTOP)); err != nil {
		t.Fatal(err)
	}
	c := p.newChange("test")
	c.Insert(SupportTicket{ID: c.NewID(SupportTicket{}), ClientID: 1, Priority: "low", Status: Open, Category: "labels", OpenedAt: p.now()})
	c.flush()
	p.unsettled = c
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	if err := p.Pause(ctx); err == nil {
		t.Error("paused although nobody knows what happened")
	}
	if p.State().Paused {
		t.Error("a pause that failed goes on")
	}
	if err := server.Signal(os.Signal(syscall.SIGCONT)); err != nil {
		t.Fatal(err)
	}
	pause(t, p)
	if p.Books().SupportTickets.Get(p.ids.ticket) == nil {
		t.Error("not booked")
	}
}

// A planting that waits for the database must not keep anybody from letting the database go on.
func TestDatabaseDownCanBeSwitchedOffWhileAnotherFaultWaits(t *testing.T) {
	server := serverstest.OwnMariaDB(t)
	admin := serverstest.Open(t, server.DSN(""))
	if _, err := admin.ExecContext(t.Context(), "CREATE DATABASE platform"); err != nil {
		t.Fatal(err)
	}
	p, db := filled(t, Config{DSN: server.DSN("platform"), Timeout: 10 * time.Second, DatabaseDown: func(on bool) error {
		if on {
			return server.Signal(syscall.SIGSTOP)
		}
		return server.Signal(syscall.SIGCONT)
	}})
	if err := p.Faults().On(t.Context(), DatabaseDown, ""); err != nil {
		t.Fatal(err)
	}
	planted := make(chan error, 1)
	go func() { planted <- p.Faults().On(t.Context(), SoldTwiceFault, "") }()
	time.Sleep(100 * time.Millisecond)
	if err := p.Faults().Off(t.Context(), DatabaseDown, ""); err != nil {
		t.Fatal(err)
	}
	if err := <-planted; err != nil {
		t.Fatal(err)
	}
	if n := countViolations(t, db)[SoldTwice]; n != 1 {
		t.Errorf("%d violations", n)
	}
}

func TestNobodyComesAtNightAndMostInTheEvening(t *testing.T) {
	at := func(hour int) time.Time { return time.Date(2026, 9, 5, hour, 30, 0, 0, time.UTC) }
	usual, withNights := Config{}, Config{Nights: true}
	for hour := range 24 {
		got, as := withNights.tempo(at(hour)), usual.tempo(at(hour))
		switch {
		case hour >= 1 && hour < 6:
			if got != 0 || as <= 0 {
				t.Errorf("at %d:30 the tempo is %v with nights and %v without, want 0 and more", hour, got, as)
			}
		case hour >= 19 && hour < 22:
			if got < 2*as {
				t.Errorf("at %d:30 the tempo is %v with nights and %v without, want twice as much", hour, got, as)
			}
		case got != as:
			t.Errorf("at %d:30 the tempo is %v with nights and %v without, want the same", hour, got, as)
		}
	}
}
