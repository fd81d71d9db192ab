// Package dashboards declares the Grafana dashboards and renders them as JSON. There is one file of declarations for each Grafana folder; the
// JSON files beside them ship, and Render generates them. It sends no request to a server: package bundle checks the queries of the panels.
package dashboards

import (
	"embed"
	"slices"
)

// Files are the JSON files of the dashboards, in a folder for each Grafana folder.
//
//go:embed System/*.json Integrations/*.json Business/*.json Alerting/*.json Reports/*.json
var Files embed.FS

// All are the dashboards, in the order of the documentation.
func All() []Dashboard {
	return slices.Concat(system(), integrations(), business(), alerting(), reports())
}
