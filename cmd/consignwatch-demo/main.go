// Command consignwatch-demo runs the whole stack on one machine, and stands in for a pager. Nothing in production needs it.
package main

import (
	"os"

	"github.com/alecthomas/kingpin/v2"

	"github.com/consignwatch/consignwatch/pkg/cli"
)

func main() {
	app := kingpin.New("consignwatch-demo", "A demo of consignwatch: a simulated platform with the whole stack beside it, and a receiver of notifications.")
	os.Exit(cli.Main(app, []cli.Command{addDemo, addPager}, os.Args[1:], os.Stdout, os.Stderr))
}
