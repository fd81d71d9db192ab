package simulator

import (
	"errors"
	"testing"
	"time"

	"github.com/consignwatch/consignwatch/simulator/faults"
	"github.com/consignwatch/consignwatch/simulator/store"
	"github.com/consignwatch/consignwatch/simulator/violations"
	"github.com/consignwatch/consignwatch/simulator/world"
)

// truthOf sums the samples of a metric whose labels contain the given ones, names and values in turn.
func truthOf(p *Platform, name string, labels ...string) float64 {
	sum := 0.0
samples:
	for _, s := range p.Truth() {
		if s.Name != name {
			continue
		}
		for i := 0; i < len(labels); i += 2 {
			if s.Labels[labels[i]] != labels[i+1] {
				continue samples
			}
		}
		sum += s.Value
	}
	return sum
}

func TestInjectedViolationsShowUntilTheirFaultsAreSwitchedOff(t *testing.T) {
	t.Parallel()
	p, db := filled(t, Config{Clients: 4, Events: 10, Items: 1000, Seed: 3, Speed: 2000, Tick: 20 * time.Millisecond})
	livePlatform(t, p)
	slug := p.State().Clients[1]
	for _, test := range []struct{ fault, check string }{
		{faults.SoldTwice, world.SoldTwice}, {faults.NegativeSlots, world.NegativeRemaining}, {faults.OverbookedSlot, world.OverbookedSlot},
		{faults.ReturnAfterWindow, world.ReturnAfterWindow}, {faults.PaidEarly, world.PaidBeforeReconciliation},
	} {
		fault, check := test.fault, test.check
		t.Run(fault, func(t *testing.T) {
			for _, client := range []string{"", slug} {
				for range 2 { // the second time it is on already
					if err := p.Faults().On(t.Context(), fault, client); err != nil {
						t.Fatal(err)
					}
				}
				changes(t, p, 1)
				pause(t, p)
				if n := countViolations(t, db)[check]; n != 1 {
					t.Errorf("client %q: %d violations in the tables", client, n)
				}
				if n := truthOf(p, "consign_integrity_violations"); n != 1 {
					t.Errorf("client %q: %g violations in the books", client, n)
				}
				if client != "" && truthOf(p, "consign_integrity_violations", "client", client) != 1 {
					t.Errorf("it is not %s that has it", client)
				}
				p.Resume()
				if err := p.Faults().Off(t.Context(), fault, ""); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
	pause(t, p)
	compareTables(t, p.Books(), db)
	checkHealthy(t, p.Books(), db, time.Now().UTC())
}

func TestSyncStalledLetsItemsWait(t *testing.T) {
	t.Parallel()
	p, _ := newSteppedPlatform(t, Config{Clients: 3, Events: 6, Items: 600, Speed: 3000})
	slug := p.State().Clients[0]
	if err := p.Faults().On(t.Context(), faults.SyncStalled, slug); err != nil {
		t.Fatal(err)
	}
	last := func(kind string) float64 {
		return truthOf(p.Platform, "consign_sync_last_success_timestamp_seconds", "client", slug, "kind", kind)
	}
	before, mails := last("products"), last("email_address")
	p.until("items of the client that wait", func() bool { return truthOf(p.Platform, "consign_unsynced_items", "client", slug) >= 5 })
	p.advance(2500 * time.Millisecond) // longer than runs are apart
	if last("email_address") == mails {
		t.Error("no run of addresses, which is not stalled")
	}
	if last("products") != before {
		t.Error("a run succeeded although it is stalled")
	}
	if truthOf(p.Platform, "consign_oldest_unsynced_item_timestamp_seconds", "client", slug) == 0 {
		t.Error("no oldest item")
	}
	if err := p.Faults().Off(t.Context(), faults.SyncStalled, slug); err != nil {
		t.Fatal(err)
	}
	p.until("the next run", func() bool { return last("products") > before })
}

func TestTicketsPileUpAndAreSolved(t *testing.T) {
	t.Parallel()
	p, _ := filled(t, Config{Clients: 3, Events: 6, Items: 300, Speed: 60})
	slug := p.State().Clients[1]
	open := func() float64 { return truthOf(p, "consign_support_tickets", "client", slug, "status", world.Open) }
	before := open()
	if err := p.Faults().On(t.Context(), faults.TicketsPilingUp, slug); err != nil {
		t.Fatal(err)
	}
	if n := open() - before; n != 8 {
		t.Errorf("%g more tickets", n)
	}
	if err := p.Faults().Off(t.Context(), faults.TicketsPilingUp, slug); err != nil {
		t.Fatal(err)
	}
	if n := open() - before; n != 0 {
		t.Errorf("%g tickets are left", n)
	}
}

func TestBackupsFailAndComeBack(t *testing.T) {
	t.Parallel()
	p, db := newSteppedPlatform(t, Config{Clients: 2, Events: 4, Items: 300, Speed: 6000})
	failed := func() float64 { return truthOf(p.Platform, "consign_backups_failed", "target", "mysql") }
	last := func() float64 {
		return truthOf(p.Platform, "consign_backup_last_success_timestamp_seconds", "target", "mysql")
	}
	before := failed()
	p.until("life", func() bool { return p.State().Changes > 0 })
	if err := p.Faults().On(t.Context(), faults.BackupMissing, ""); err != nil {
		t.Fatal(err)
	}
	p.until("a backup that fails", func() bool { return failed() > before })
	success := last()
	if err := p.Faults().Off(t.Context(), faults.BackupMissing, ""); err != nil {
		t.Fatal(err)
	}
	p.until("a backup that succeeds", func() bool { return last() > success })
	compareTables(t, p.Books(), db)
}

func TestSaleStalledLeavesShoppersWithoutSales(t *testing.T) {
	t.Parallel()
	p, _ := newSteppedPlatform(t, Config{Clients: 2, Events: 4, LiveEvents: 2, Items: 600, Speed: 2000})
	sales := func() int { return len(p.Books().Sales) }
	before, begun := sales(), p.now
	p.until("many sales", func() bool { return sales() > before+10 })
	took := p.now.Sub(begun)
	if err := p.Faults().On(t.Context(), faults.SaleStalled, ""); err != nil {
		t.Fatal(err)
	}
	stalled := sales()
	p.advance(2 * took)
	if n := sales(); n != stalled {
		t.Errorf("%d sales although nobody buys", n-stalled)
	}
	if truthOf(p.Platform, "consign_active_shoppers") == 0 {
		t.Error("no shoppers are there")
	}
	if err := p.Faults().Off(t.Context(), faults.SaleStalled, ""); err != nil {
		t.Fatal(err)
	}
	p.until("a sale", func() bool { return sales() > stalled })
}

func TestFaultsThatCannotBe(t *testing.T) {
	t.Parallel()
	p, _ := filled(t, Config{Clients: 5, Events: 2, Items: 100})
	gone := p.Books().Clients[4].Slug
	for _, test := range []struct {
		name, client string
		want         error
	}{
		{"no-such-fault", "", faults.ErrUnknownFault},
		{faults.SoldTwice, "nobody", store.ErrUnknownClient},
		{faults.SoldTwice, gone, store.ErrUnknownClient},
		{faults.SoldTwice, p.Books().Clients[2].Slug, violations.ErrNoSaleEvent}, // it has no sale event
		{faults.DatabaseDown, "", faults.ErrNoDatabase},
		{faults.DatabaseDown, p.Books().Clients[0].Slug, faults.ErrScope},
	} {
		if err := p.Faults().On(t.Context(), test.name, test.client); !errors.Is(err, test.want) {
			t.Errorf("%s for %q: %v, want %v", test.name, test.client, err, test.want)
		}
	}
	for _, f := range p.Faults().List() {
		if f.On {
			t.Errorf("%s is on", f.Name)
		}
		if f.Description == "" || f.Changes == "" || f.Scope == "" {
			t.Errorf("%s is not described", f.Name)
		}
	}
	if err := p.Faults().On(t.Context(), faults.SyncStalled, ""); err != nil {
		t.Fatal(err)
	}
	if err := p.Faults().Off(t.Context(), faults.SyncStalled, p.Books().Clients[0].Slug); !errors.Is(err, faults.ErrOnForAll) {
		t.Errorf("off for one of all: %v", err)
	}
	if err := p.Faults().AllOff(t.Context()); err != nil || len(p.State().Faults) > 0 {
		t.Errorf("all off: %v, %v", err, p.State().Faults)
	}
}
