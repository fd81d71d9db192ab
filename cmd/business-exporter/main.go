// Command business-exporter exposes the state of a consignment-sale platform's business as Prometheus metrics. It holds nothing but main: the
// exporter is exporters/business.
package main

import (
	"os"

	"github.com/consignwatch/consignwatch/exporters/business"
)

func main() { os.Exit(business.App().Main(os.Args[1:], os.Stdout, os.Stderr)) }
