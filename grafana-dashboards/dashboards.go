// Package dashboards declares the Grafana dashboards and writes them as JSON. The declarations, a file for each of Grafana's
// folders, read like a table; the JSON beside them is what ships, and is what Render makes of them. It asks no server: what a
// panel asks Prometheus is checked by pkg/bundle.
package dashboards

import (
	"embed"
	"slices"
)

// Files are the dashboards as they ship: a folder for each of Grafana's folders.
//
//go:embed System/*.json Integrations/*.json Business/*.json Alerting/*.json Reports/*.json
var Files embed.FS

// All are the dashboards, in the order in which they are presented.
func All() []Dashboard {
	return slices.Concat(system(), integrations(), business(), alerting(), reports())
}
