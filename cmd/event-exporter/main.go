// Command event-exporter exposes the platform's Kafka event stream as exact Prometheus counters. It holds nothing but main: the
// exporter is exporters/events.
package main

import (
	"os"

	"github.com/consignwatch/consignwatch/exporters/events"
)

func main() { os.Exit(events.App().Main(os.Args[1:], os.Stdout, os.Stderr)) }
