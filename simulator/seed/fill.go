package seed

import (
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/consignwatch/consignwatch/simulator/world"
)

// Fill generates the rows of a platform, writes them into empty tables, and returns them.
func Fill(ctx context.Context, db *sql.DB, config Config, now time.Time, ids world.IDs) (*world.Books, error) {
	g := newGenerator(config, now, ids)
	loading, ctx := errgroup.WithContext(ctx)
	l := &loader{ctx: ctx, chunks: make(chan chunk, loaders), progress: config.Progress}
	for range loaders {
		loading.Go(func() error { return l.work(db) })
	}
	loading.Go(func() error {
		defer close(l.chunks)
		return g.load(l)
	})
	if err := loading.Wait(); err != nil {
		return nil, fmt.Errorf("platform: fill: %w", err)
	}
	return g.books, nil
}

// load generates the rows and writes them: items and sales after each sale event, the other tables at the end.
func (g *generator) load(l *loader) error {
	g.base()
	for _, plan := range g.plans() {
		items, sales := len(g.books.Items), len(g.books.Sales)
		e := g.event(plan)
		of := &world.Books{Events: world.Rows[world.Event]{e}, Items: g.books.Items[items:], Sales: g.books.Sales[sales:]}
		if err := l.insert(world.ItemsTable, of); err != nil {
			return err
		}
		if err := l.insert(world.SalesTable, of); err != nil {
			return err
		}
		if g.config.Bulk && !world.Live(e.Status) && plan.items > 0 {
			g.books.Totals[e.ID] = of.SaleTotals()[e.ID]
			g.books.Items, g.books.Sales = g.books.Items[:items], g.books.Sales[:sales]
		}
	}
	g.operations()
	for _, t := range world.AllTables() {
		if t.Title() == world.ItemsTable.Name || t.Title() == world.SalesTable.Name {
			continue
		}
		if err := l.insert(t, g.books); err != nil {
			return err
		}
	}
	return nil
}

// LogProgress returns a Config.Progress that logs the number of rows, at most once every interval.
func LogProgress(logger *slog.Logger, every time.Duration) func(rows int64) {
	began := time.Now()
	last := began
	return func(rows int64) {
		if now := time.Now(); now.Sub(last) >= every {
			last = now
			logger.Info("platform: fill", "rows", rows, "rows_per_second", int64(float64(rows)/now.Sub(began).Seconds()))
		}
	}
}

const (
	loaders   = 2    // connections
	chunkRows = 2000 // of one statement, which is then well below the servers' max_allowed_packet
)

// loader writes statements on a few connections concurrently.
type loader struct {
	ctx      context.Context // ends with the first error
	chunks   chan chunk
	progress func(int64)

	mu   sync.Mutex
	rows int64
}

type chunk struct {
	statement string
	rows      int
}

// insert writes the rows of a table.
func (l *loader) insert(t world.Table, b *world.Books) error {
	for statement, rows := range t.InsertStatements(b, chunkRows) {
		select {
		case l.chunks <- chunk{statement, rows}:
		case <-l.ctx.Done():
			return context.Cause(l.ctx)
		}
	}
	return nil
}

func (l *loader) work(db *sql.DB) error {
	conn, err := db.Conn(l.ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	for c := range l.chunks {
		if _, err := conn.ExecContext(l.ctx, c.statement); err != nil {
			return fmt.Errorf("%.60s: %w", c.statement, err)
		}
		l.wrote(int64(c.rows))
	}
	return nil
}

func (l *loader) wrote(rows int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.rows += rows
	if l.progress != nil {
		l.progress(l.rows)
	}
}
