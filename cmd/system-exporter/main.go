// Command system-exporter exposes the state of a platform's database, cache and queues as Prometheus metrics. It holds nothing but main: the
// exporter is exporters/system.
package main

import (
	"os"

	"github.com/consignwatch/consignwatch/exporters/system"
)

func main() { os.Exit(system.App().Main(os.Args[1:], os.Stdout, os.Stderr)) }
