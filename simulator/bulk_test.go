package simulator

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestBulkBooksHaveTheSameTruthAsFullBooks(t *testing.T) {
	t.Parallel()
	var rows int64
	config := Config{Clients: 5, Events: 20, LiveEvents: 4, Items: 6000, Seed: 9, Speed: 60, Now: noon}
	full, _ := filled(t, config)
	config.Bulk = true
	config.Progress = func(n int64) { rows = max(rows, n) }
	bulk, db := filled(t, config)
	if diff := cmp.Diff(full.Truth(), bulk.Truth()); diff != "" {
		t.Errorf("what is true differs (-full +bulk):\n%s", diff)
	}
	if kept := len(bulk.Books().Items); kept == 0 || kept >= 3000 {
		t.Errorf("%d of 6000 items are kept as rows", kept)
	}
	if rows < 6000 {
		t.Errorf("progress ended at %d rows", rows)
	}
	compareTables(t, full.Books(), db) // the tables hold everything
	checkHealthy(t, full.Books(), db, noon())
}
