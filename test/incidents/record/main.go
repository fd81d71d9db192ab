// Command record makes recordings of incidents: it runs the demo, starts and ends a fault, and writes the samples that Prometheus scraped meanwhile. `make
// record FAULT=NAME` calls it. It checks nothing.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/alecthomas/kingpin/v2"

	"github.com/consignwatch/consignwatch/pkg/recording"
)

func main() {
	app := kingpin.New("record", "Record incidents of the demo: the fault goes on at minute 5 and off at minute 15, the recording ends at minute 25.")
	app.HelpFlag.Short('h')
	fault := app.Flag("fault", "The incident to record, or all that have no recording yet; --list shows what there is.").Default("all").String()
	into := app.Flag("into", "The folder of the recordings.").Default("test/incidents/recordings").String()
	logs := app.Flag("logs", "The folder for what the demos print.").Default(".build/record").String()
	lanes := app.Flag("lanes", "How many stacks run side by side; each takes a gigabyte and a twentieth of a core.").Default("4").Int()
	list := app.Flag("list", "Print the names of the incidents.").Bool()
	kingpin.MustParse(app.Parse(os.Args[1:]))
	if *list {
		for _, i := range incidents() {
			fmt.Printf("%-24s %s\n", i.name, i.what)
		}
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := record(ctx, *fault, *into, *logs, *lanes); err != nil {
		fmt.Fprintf(os.Stderr, "record: %v\n", err)
		os.Exit(1)
	}
}

// record records one incident, also if it has a recording, or all incidents without one.
func record(ctx context.Context, name, into, logs string, lanes int) error {
	if err := errors.Join(os.MkdirAll(logs, 0o755), os.MkdirAll(into, 0o755)); err != nil {
		return err
	}
	file := func(i incident) string { return filepath.Join(into, i.name+recording.Extension) }
	todo := incidents()
	if name == "all" {
		todo = slices.DeleteFunc(todo, func(i incident) bool {
			_, err := os.Stat(file(i))
			return err == nil
		})
	} else if todo = slices.DeleteFunc(todo, func(i incident) bool { return i.name != name }); len(todo) == 0 {
		var names []string
		for _, i := range incidents() {
			names = append(names, i.name)
		}
		return fmt.Errorf("no incident is named %q; there are: %s", name, strings.Join(names, ", "))
	}
	queue := make(chan incident)
	var mu sync.Mutex
	var failed []error
	var workers sync.WaitGroup
	for range max(1, min(lanes, len(todo))) {
		workers.Go(func() {
			for i := range queue {
				begin := time.Now()
				err := i.record(ctx, file(i), filepath.Join(logs, i.name+".log"))
				mu.Lock()
				if err != nil {
					failed = append(failed, fmt.Errorf("%s: %w", i.name, err))
					fmt.Printf("%s  FAILED  %s: %v\n", time.Now().Format("15:04:05"), i.name, err)
				} else {
					fmt.Printf("%s  recorded  %s in %s\n", time.Now().Format("15:04:05"), i.name, time.Since(begin).Round(time.Second))
				}
				mu.Unlock()
			}
		})
	}
	for _, i := range todo { // the longest comes first
		select {
		case queue <- i:
		case <-ctx.Done():
		}
	}
	close(queue)
	workers.Wait()
	return errors.Join(append(failed, ctx.Err())...)
}
