package life

import (
	"context"
	"slices"

	"github.com/consignwatch/consignwatch/simulator/faults"
	"github.com/consignwatch/consignwatch/simulator/store"
	"github.com/consignwatch/consignwatch/simulator/world"
)

// Faults returns the faults of life.
func (l *Life) Faults() []faults.Fault {
	return []faults.Fault{
		{Name: faults.SyncStalled, Scope: faults.Clients, Touches: true,
			Description: "The sync with the shop does not run: products, inventory and orders.",
			Changes:     "No sync_runs of these kinds and no synced_at; some prices change immediately. Off: the next run catches up."},
		{Name: faults.TicketsPilingUp, Scope: faults.Clients, On: l.openTickets, Off: l.solveTickets,
			Description: "Support tickets pile up, and nobody answers.",
			Changes:     "Eight tickets immediately, many more follow, none is answered. Off solves those that were opened meanwhile."},
		{Name: faults.SaleStalled, Scope: faults.Clients,
			Description: "Shoppers are there, and nobody buys.",
			Changes:     "No new sales. Off: people buy again."},
		{Name: faults.BackupMissing, Scope: faults.Everybody, On: faults.Always(l.backUpNow), Off: faults.Always(l.backUpNow),
			Description: "Backups fail.",
			Changes:     "A run of each target starts immediately, and all fail. Off: a run of each starts immediately, and succeeds."},
	}
}

func (l *Life) openTickets(ctx context.Context, at faults.Where) error {
	return l.Do(ctx, "open tickets", func(_ *world.Books, c *store.Change) error {
		for _, client := range at.Clients {
			for i := range 8 {
				l.openTicket(c, client, world.Priorities()[i%2])
			}
		}
		return nil
	})
}

func (l *Life) solveTickets(ctx context.Context, at faults.Where) error {
	return l.Do(ctx, "solve tickets", func(b *world.Books, c *store.Change) error {
		now := l.Now()
		for _, ticket := range b.SupportTickets {
			if ticket.Status == world.Open && !ticket.OpenedAt.Before(at.Since) && slices.Contains(at.Clients, ticket.ClientID) {
				ticket.Status, ticket.FirstResponseAt, ticket.SolvedAt = world.Solved, now, now
				c.Update(ticket)
			}
		}
		return nil
	})
}

// backUpNow makes every backup due.
func (l *Life) backUpNow(ctx context.Context) error {
	if err := l.LockWrites(ctx); err != nil {
		return err
	}
	defer l.UnlockWrites()
	for _, clock := range l.clock.backups {
		clock.next = l.Now()
	}
	return nil
}
