package simulator

import (
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"sync"
	"time"
)

// Fill creates the missing tables and fills them. It refuses tables that hold a client, because they may be somebody else's, unless
// Config.Fresh is set.
func (p *Platform) Fill(ctx context.Context) error {
	if err := p.lockWrites(ctx); err != nil {
		return err
	}
	defer p.unlockWrites()
	if p.filled.Load() {
		return fmt.Errorf("platform: fill: it is filled already")
	}
	if err := CreateSchema(ctx, p.db); err != nil {
		return err
	}
	if p.config.Fresh {
		if err := emptyTables(ctx, p.db); err != nil {
			return err
		}
	}
	var clients int
	if err := p.db.QueryRowContext(ctx, "SELECT COUNT(*) FROM clients").Scan(&clients); err != nil {
		return fmt.Errorf("platform: fill: %w", err)
	}
	if clients > 0 {
		return fmt.Errorf("platform: fill: the database has %d clients already; give it an empty one, or let it be emptied (Config.Fresh, or --fresh)", clients)
	}
	now := p.now()
	p.ids = firstIDs()
	g := newGenerator(p.config, now, &p.ids)
	l := newLoader(ctx, p.db, p.config.Progress)
	err := g.load(l)
	if err := l.finish(err); err != nil {
		return fmt.Errorf("platform: fill: %w", err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.books = g.books
	p.index = indexOf(g.books, now)
	if p.external != nil {
		if err := p.external.seed(p.books); err != nil {
			return err
		}
	}
	p.clock = newLifeClock(now, p.config.Noon)
	p.filled.Store(true)
	return nil
}

// emptyTables truncates all tables.
func emptyTables(ctx context.Context, db *sql.DB) error {
	for _, t := range allTables() {
		if _, err := db.ExecContext(ctx, "TRUNCATE TABLE "+t.title()); err != nil {
			return fmt.Errorf("platform: empty the table %s: %w", t.title(), err)
		}
	}
	return nil
}

// load generates the rows and writes them: items and sales after each sale event, the other tables at the end.
func (g *generator) load(l *loader) error {
	g.base()
	for _, plan := range g.plans() {
		items, sales := len(g.books.Items), len(g.books.Sales)
		e := g.event(plan)
		of := &Books{Events: Rows[Event]{e}, Items: g.books.Items[items:], Sales: g.books.Sales[sales:]}
		if err := itemsTable.loadAll(of, l); err != nil {
			return err
		}
		if err := salesTable.loadAll(of, l); err != nil {
			return err
		}
		if g.config.Bulk && !live(e.Status) && plan.items > 0 {
			g.books.Totals[e.ID] = of.SaleTotals()[e.ID]
			g.books.Items, g.books.Sales = g.books.Items[:items], g.books.Sales[:sales]
		}
	}
	g.operations()
	for _, t := range allTables() {
		if t.title() == itemsTable.name || t.title() == salesTable.name {
			continue
		}
		if err := t.loadAll(g.books, l); err != nil {
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
	loaders    = 2       // connections
	chunkBytes = 1 << 20 // of one statement: well below the servers' max_allowed_packet
)

// loader writes statements on a few connections concurrently.
type loader struct {
	ctx      context.Context
	cancel   context.CancelCauseFunc
	chunks   chan chunk
	workers  sync.WaitGroup
	progress func(int64)

	mu   sync.Mutex
	rows int64
}

type chunk struct {
	statement string
	rows      int64
}

func newLoader(ctx context.Context, db *sql.DB, progress func(int64)) *loader {
	l := &loader{chunks: make(chan chunk, loaders), progress: progress}
	l.ctx, l.cancel = context.WithCancelCause(ctx)
	for range loaders {
		l.workers.Go(func() {
			if err := l.work(db); err != nil {
				l.cancel(err)
			}
		})
	}
	return l
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
		l.wrote(c.rows)
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

// finish waits until all statements are executed, and returns the first error: the caller's, or a connection's.
func (l *loader) finish(err error) error {
	close(l.chunks)
	l.workers.Wait()
	defer l.cancel(nil)
	if cause := context.Cause(l.ctx); cause != nil {
		return cause
	}
	return err
}

// loadAll writes the rows of a table in statements of about a megabyte.
func (t *table[T]) loadAll(b *Books, l *loader) error {
	rows := *t.rows(b)
	for len(rows) > 0 {
		text := t.tuple(t.insertHead(make([]byte, 0, chunkBytes+4096)), &rows[0])
		n := 1
		for n < len(rows) && len(text) < chunkBytes {
			text = t.tuple(append(text, ','), &rows[n])
			n++
		}
		rows = rows[n:]
		select {
		case l.chunks <- chunk{string(text), int64(n)}:
		case <-l.ctx.Done():
			return context.Cause(l.ctx)
		}
	}
	return nil
}
