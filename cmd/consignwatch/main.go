// Command consignwatch is the operator's command: it checks and renders the bundle, acknowledges alerts, drills and replays. It starts no server but ackd and
// its own receivers of notifications.
package main

import (
	"io"
	"os"

	"github.com/alecthomas/kingpin/v2"

	"github.com/consignwatch/consignwatch/pkg/cli"
)

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

func run(args []string, stdout, stderr io.Writer) int {
	if len(args) > 0 && args[0] == ackd {
		return runAckd(args[1:], stdout, stderr)
	}
	app := kingpin.New("consignwatch", "Operates the monitoring of a consignment-sale platform: checks and renders its rules, routing and dashboards, acknowledges alerts, drills them, and replays recorded incidents.")
	declareAckd(app)
	return cli.Main(app, []cli.Command{
		addCatalog, addCheck, addRender, addHealthcheck, addAck, addUnack, addDrill, addRecord, addReplay, addWebConfig,
	}, args, stdout, stderr)
}
