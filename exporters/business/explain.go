package business

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/alecthomas/kingpin/v2"
	commonconfig "github.com/prometheus/common/config"

	"github.com/consignwatch/consignwatch/pkg/catalog"
	"github.com/consignwatch/consignwatch/pkg/database"
	"github.com/consignwatch/consignwatch/pkg/exporter"
	"github.com/consignwatch/consignwatch/pkg/secret"
	"github.com/consignwatch/consignwatch/pkg/yamlfile"
)

// commands adds the command `queries` beside the server.
func commands(ctx context.Context, app *kingpin.Application, stdout io.Writer) {
	queries := app.Command("queries", "Run each query of the pack once against a database, and print its series, its cost and its error.")
	dsnFile := queries.Flag("explain", "File with the data source name, user:password@tcp(host:port)/database: a secret has no place on a command line.").
		Required().PlaceHolder("DSN_FILE").String()
	caFile := queries.Flag("ca-file", "Certificates of the authority of the database's certificate, PEM: TLS with it. Without it, TLS is as the data source name says.").PlaceHolder("FILE").String()
	packFile := queries.Flag("queries-file", "Query pack; without it the embedded one.").PlaceHolder("FILE").String()
	queries.Action(func(*kingpin.ParseContext) error { return explain(ctx, stdout, *dsnFile, *caFile, *packFile) })
}

// explain runs each query of a pack once, as the exporter does, and prints a line for each.
func explain(ctx context.Context, out io.Writer, dsnFile, caFile, packFile string) error {
	dsn, err := secret.Read(dsnFile)
	if err != nil {
		return err
	}
	pack, _, metrics, err := loadPack(packFile, catalog.Shipped())
	if err != nil {
		return err
	}
	var security *tls.Config
	if caFile != "" {
		if security, err = database.TLSConfig(&commonconfig.TLSConfig{CAFile: caFile}); err != nil {
			return fmt.Errorf("--ca-file: %w", err)
		}
	}
	db, err := openReader(dsn, security, 1)
	if err != nil {
		return fmt.Errorf("%s: %w", dsnFile, err)
	}
	defer db.close()
	x := &explanation{out: out, dsn: dsn, catalog: metrics, dir: newDirectory(db, pack), costs: map[string]cost{}, failed: map[string]error{}}
	db.meter = x.addCost
	return x.runPack(ctx, pack)
}

// explanation is one run of explain.
type explanation struct {
	out     io.Writer
	dsn     secret.Value
	catalog *catalog.Catalog
	dir     *directory
	width   int             // of the names
	costs   map[string]cost // by name of the statement, of the current line

	round     cost // of all lines that a round reads
	perMinute float64
	refresh   int64 // rows read of ended sale events
	series    int
	failed    map[string]error // by query
}

func (x *explanation) addCost(name string, c cost) {
	sum := x.costs[name]
	x.costs[name] = cost{sum.rows + c.rows, sum.read + c.read, sum.took + c.took}
}

func (x *explanation) runPack(ctx context.Context, pack *Pack) error {
	x.width = len(listOfEvents)
	for i := range pack.Queries {
		x.width = max(x.width, len(pack.Queries[i].Name))
	}
	x.printLine("query", "reads", "events", "rows", "time", "rows read", "series", "error")
	list, err := x.dir.get(ctx)
	x.printList(listOfClients, &pack.Clients)
	x.printList(listOfEvents, &pack.SaleEvents)
	if err != nil {
		if _, missing := missingObject(err); missing {
			var all []*Query
			for i := range pack.Queries {
				all = append(all, &pack.Queries[i])
			}
			name, _, _ := strings.Cut(err.Error(), ":")
			printWithoutData(x.out, all, name, err)
		}
		return fmt.Errorf("no query was run, because the lists of clients and sale events cannot be read: %s", x.dsn.Mask(err.Error()))
	}
	for _, c := range collectors(x.dir, pack, 0) {
		for _, target := range slices.Backward(c.targets) { // ended sale events first: liveTarget reports them
			x.run(ctx, c, target, list)
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	fmt.Fprintf(x.out, "\nOne round reads %d rows in %s and yields %d series. At the intervals of the pack that is %.0f rows a minute,\nand %d more each %s for ended sale events.\n",
		x.round.read, short(x.round.took), x.series, x.perMinute, x.refresh, pack.RefreshEnded)
	for i := range pack.Queries {
		if q := &pack.Queries[i]; x.failed[q.Name] != nil {
			printWithoutData(x.out, []*Query{q}, q.Name, x.failed[q.Name])
		}
	}
	if len(x.failed) > 0 {
		return fmt.Errorf("%d of %d queries failed", len(x.failed), len(pack.Queries))
	}
	return nil
}

// printList prints the line of a list that was read.
func (x *explanation) printList(name string, l *List) {
	if c, read := x.costs[name]; read {
		x.printResult(name, "", -1, c, -1, nil)
		x.inRound(c, l.Interval)
	}
}

// run collects a target and prints its line.
func (x *explanation) run(ctx context.Context, c *collector, target exporter.Target, list *listing) {
	clear(x.costs)
	begin := time.Now()
	result, err := x.collect(ctx, c, target)
	spent := x.costs[c.Name()]
	problems := slices.Concat(result.Rejected, rejectedBy(target))
	if err != nil {
		x.failed[c.Name()] = err
		spent.took = time.Since(begin)
		problems = []string{string(exporter.ReasonOf(err)) + ": " + x.dsn.Mask(err.Error())}
	}
	series := 0
	for _, n := range result.Series {
		series += n
	}
	switch t := target.(type) {
	case liveTarget:
		x.printResult(c.Name(), "live", t.count(list, true), spent, series, problems)
	case endedTarget:
		x.printResult(c.Name(), "ended", t.count(list, false), spent, -1, problems)
		x.refresh += spent.read
		return // no part of a round
	default:
		x.printResult(c.Name(), "all", -1, spent, series, problems)
	}
	x.inRound(spent, c.query.Interval)
	x.series += series
}

// rejectedBy says which rows a target could not use.
func rejectedBy(target exporter.Target) []string {
	switch t := target.(type) {
	case liveTarget:
		return t.rejected.describe()
	case *wholeTarget:
		return t.rejected.describe()
	}
	return nil
}

func (x *explanation) inRound(c cost, interval yamlfile.Duration) {
	x.round = add(x.round, c)
	x.perMinute += float64(c.read) * float64(time.Minute) / float64(interval)
}

// collect does a dry run of a target; for the sale events that have ended, as many times as it takes to read all.
func (x *explanation) collect(ctx context.Context, c *collector, target exporter.Target) (exporter.DryRunResult, error) {
	for {
		try, cancel := context.WithTimeout(ctx, c.Schedule().Timeout)
		result, err := exporter.DryRun(try, x.catalog, catalog.SizesFor(catalog.DefaultClients), target)
		cancel()
		ended, ok := target.(endedTarget)
		if err != nil || !ok {
			return result, err
		}
		list, err := x.dir.get(ctx)
		if err != nil || len(ended.due(list)) == 0 {
			return result, err
		}
	}
}

// count is how many sale events a query reads: those that change, or those that have ended.
func (q *eventQuery) count(list *listing, changing bool) int {
	n := 0
	for i := range list.events {
		if e := &list.events[i]; q.wanted(e) && e.changing == changing {
			n++
		}
	}
	return n
}

func add(a, b cost) cost { return cost{a.rows + b.rows, a.read + b.read, a.took + b.took} }

// printResult prints a line. Numbers below 0 do not apply.
func (x *explanation) printResult(name, reads string, events int, c cost, series int, problems []string) {
	number := func(n int) string {
		if n < 0 {
			return ""
		}
		return strconv.Itoa(n)
	}
	wrong := strings.ReplaceAll(strings.Join(problems, "; "), "\n", "; ")
	x.printLine(name, reads, number(events), number(c.rows), short(c.took), strconv.FormatInt(c.read, 10), number(series), wrong)
}

func (x *explanation) printLine(name, reads, events, rows, took, read, series, wrong string) {
	text := fmt.Sprintf("%-*s  %-5s  %6s  %7s  %8s  %11s  %6s  %s", x.width, name, reads, events, rows, took, read, series, wrong)
	fmt.Fprintln(x.out, strings.TrimRight(text, " "))
}

// short is a duration with the digits that matter.
func short(d time.Duration) string {
	if d < time.Second {
		return d.Round(100 * time.Microsecond).String()
	}
	return d.Round(10 * time.Millisecond).String()
}
