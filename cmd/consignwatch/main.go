// Command consignwatch is the operator's command.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kingpin/v2"
	"github.com/prometheus/common/version"
)

// action runs a subcommand. Ctrl-C cancels the context.
type action func(ctx context.Context, stdout *os.File) error

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

func run(args []string, stdout, stderr *os.File) int {
	if len(args) > 0 && args[0] == ackd {
		return runAckd(args[1:], stdout, stderr)
	}
	app := kingpin.New("consignwatch", "Monitoring of an online consignment-sale platform.")
	app.HelpFlag.Short('h')
	app.Version(version.Print("consignwatch"))
	app.UsageWriter(stdout)
	app.ErrorWriter(stderr)
	actions := map[string]action{}
	for _, add := range []func(*kingpin.Application) (string, action){
		addDemo, addCatalog, addCheck, addRender, addHealthcheck, addPager, addAck, addUnack, addDrill, addRecord, addReplay,
	} {
		name, act := add(app)
		actions[name] = act
	}
	declareAckd(app)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	// When the reader of our output goes away, a write fails, and the command
	// shuts down instead of being killed.
	signal.Ignore(syscall.SIGPIPE)
	name, err := app.Parse(args)
	if err == nil {
		err = actions[name](ctx, stdout)
	}
	switch {
	case err == nil:
		return 0
	case ctx.Err() != nil && errors.Is(err, context.Canceled):
		fmt.Fprintln(stderr, "consignwatch: interrupted")
	default:
		fmt.Fprintf(stderr, "consignwatch: %v\n", err)
	}
	return 1
}
