package business

import (
	"database/sql"
	"testing"
	"time"

	deploy "github.com/consignwatch/consignwatch/deploy/mysql"
	"github.com/consignwatch/consignwatch/pkg/demo/servers/serverstest"
	"github.com/consignwatch/consignwatch/simulator"
	"github.com/consignwatch/consignwatch/simulator/store"
	"github.com/consignwatch/consignwatch/simulator/world"
)

// history is a platform that stands still: much is over, little is live. It has the shipped indexes.
type history struct {
	dsn      string
	admin    *sql.DB
	platform *simulator.Platform
}

// TestOnAPlatformWithALongHistory builds such a platform once for all that only reads it.
func TestOnAPlatformWithALongHistory(t *testing.T) {
	t.Parallel()
	h := newHistory(t)
	t.Run("every plan reads only what is live", h.testPlans)
	t.Run("a plan that reads more is found", h.testBadPlans)
	t.Run("the SQL is also that of MySQL", h.testMySQLMode)
	t.Run("a round reads less than a tenth of everything", h.testRowsRead)
	t.Run("the shipped rights suffice and show nothing personal", h.testRights)
	t.Run("no right is more than is needed", h.testRightsAreMinimal)
	t.Run("queries --explain", h.testExplain)
}

func newHistory(t *testing.T) *history {
	t.Helper()
	h := &history{dsn: serverstest.MariaDB(t)}
	h.admin = serverstest.Open(t, h.dsn)
	h.platform = filled(t, simulator.Config{DSN: h.dsn, Clients: 12, Events: 60, LiveEvents: 4, Items: 60_000, Bulk: true, Seed: 5})
	if err := h.platform.Do(t.Context(), "years of operation", longAgo); err != nil {
		t.Fatal(err)
	}
	execute(t, h.admin, deploy.Indexes()...)
	for _, table := range tables(t, h.admin) {
		execute(t, h.admin, "ANALYZE TABLE "+table)
	}
	return h
}

// longAgo adds what the filling leaves out: visits, runs and tickets of years.
func longAgo(b *world.Books, c *store.Change) error {
	at := func(i int) time.Time {
		return time.Now().UTC().Add(-time.Duration(20+i%700) * 24 * time.Hour).Truncate(time.Microsecond)
	}
	for i := range 6000 {
		client := b.Clients[i%len(b.Clients)].ID
		session := world.Session{ClientID: client, EventID: b.Events[i%len(b.Events)].ID, Role: "shopper", StartedAt: at(i), LastSeenAt: at(i)}
		if i%3 > 0 { // the others were left open
			session.EndedAt = at(i)
		}
		session.ID = c.NewID(session)
		c.Insert(session)
		run := world.SyncRun{ClientID: client, Kind: []string{"products", "inventory", "orders", "email_address"}[i%4], Outcome: []string{world.Succeeded, world.Failed}[i/4%2], FinishedAt: at(i)}
		run.ID = c.NewID(run)
		c.Insert(run)
		ticket := world.SupportTicket{ClientID: client, Priority: "normal", Status: world.Solved, Category: "other", OpenedAt: at(i).Add(-time.Hour), FirstResponseAt: at(i), SolvedAt: at(i)}
		ticket.ID = c.NewID(ticket)
		c.Insert(ticket)
	}
	return nil
}

func tables(t *testing.T, db *sql.DB) []string {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), "SELECT table_name FROM information_schema.tables WHERE table_schema = DATABASE()")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var names []string
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			t.Fatal(err)
		}
		names = append(names, name)
	}
	return names
}
