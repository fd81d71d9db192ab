// Command integration-exporter exposes the state of the services that a platform depends on, Shopify, Clerk and Mandrill, as
// Prometheus metrics. It holds nothing but main: the exporter is exporters/integration.
package main

import (
	"os"

	"github.com/consignwatch/consignwatch/exporters/integration"
)

func main() { os.Exit(integration.App().Main(os.Args[1:], os.Stdout, os.Stderr)) }
