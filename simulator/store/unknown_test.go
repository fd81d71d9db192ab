package store

import (
	"context"
	"database/sql"
	"log/slog"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/consignwatch/consignwatch/pkg/demo/servers/serverstest"
	"github.com/consignwatch/consignwatch/simulator/world"
)

// opened returns a store with a client.
func opened(t *testing.T, dsn string, timeout time.Duration) (*Store, *sql.DB) {
	t.Helper()
	s, err := Open(Config{
		Clock: world.Clock{Time: time.Now, Speed: 1, Acceleration: 1}, DSN: dsn, Timeout: timeout, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	oneClient := func(db *sql.DB, now time.Time, ids world.IDs) (*world.Books, error) {
		b := &world.Books{Clients: world.Rows[world.Client]{{ID: ids.Of(world.Client{}), Slug: "one", Name: "One", Active: true, CreatedAt: now}}}
		_, err := db.ExecContext(t.Context(), world.Client{}.Table().InsertStatement([]world.Row{b.Clients[0]}))
		return b, err
	}
	if err := s.Fill(t.Context(), false, oneClient, func(*world.Books, time.Time) error { return nil }); err != nil {
		t.Fatal(err)
	}
	return s, serverstest.Open(t, dsn)
}

// newTicket returns a change that opens a ticket.
func newTicket(s *Store) (*Change, uint64) {
	c := s.NewChange("test")
	ticket := world.SupportTicket{ID: c.NewID(world.SupportTicket{}), ClientID: 1, Priority: "low", Status: world.Open, Category: "labels", OpenedAt: s.Now()}
	c.Insert(ticket)
	c.flush()
	return c, ticket.ID
}

// The answer to COMMIT is lost before, and after, the server has carried it out.
func TestUnknownOutcomeIsResolved(t *testing.T) {
	t.Parallel()
	for name, arrived := range map[string]bool{"it arrived": true, "it did not arrive": false} {
		t.Run(name, func(t *testing.T) {
			s, db := opened(t, serverstest.MariaDB(t), time.Minute)
			client := s.Snapshot().Clients[0]
			client.Name = "O'Neill & Söhne \\ 子供"
			c, ticket := newTicket(s)
			c.Update(client)
			if arrived {
				if err := s.transact(t.Context(), c); err != nil {
					t.Fatal(err)
				}
			}
			s.unknownOutcome = c
			if s.Snapshot().SupportTickets.Get(ticket) != nil {
				t.Error("booked before it is known")
			}
			if err := s.AwaitResolved(t.Context()); err != nil {
				t.Fatal(err)
			}
			b := s.Snapshot()
			if b.SupportTickets.Get(ticket) == nil || b.Clients[0].Name != client.Name {
				t.Error("not booked")
			}
			var name string
			var tickets int
			if err := db.QueryRowContext(t.Context(), "SELECT name, (SELECT COUNT(*) FROM support_tickets) FROM clients").Scan(&name, &tickets); err != nil {
				t.Fatal(err)
			}
			if name != client.Name || tickets != 1 {
				t.Errorf("in the tables: the client %q, %d tickets", name, tickets)
			}
		})
	}
}

func TestNothingGoesOnWhileTheOutcomeIsUnknown(t *testing.T) {
	t.Parallel()
	server := serverstest.OwnMariaDB(t)
	admin := serverstest.Open(t, server.DSN(""))
	if _, err := admin.ExecContext(t.Context(), "CREATE DATABASE platform"); err != nil {
		t.Fatal(err)
	}
	s, _ := opened(t, server.DSN("platform"), time.Second)
	if err := server.Signal(os.Signal(syscall.SIGSTOP)); err != nil {
		t.Fatal(err)
	}
	c, ticket := newTicket(s)
	s.unknownOutcome = c
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	if err := s.AwaitResolved(ctx); err == nil {
		t.Error("resolved although nobody knows what happened")
	}
	if err := server.Signal(os.Signal(syscall.SIGCONT)); err != nil {
		t.Fatal(err)
	}
	if err := s.AwaitResolved(t.Context()); err != nil {
		t.Fatal(err)
	}
	if s.Snapshot().SupportTickets.Get(ticket) == nil {
		t.Error("not booked")
	}
}
