// Package dashboards declares the Grafana dashboards and renders them as the JSON files that ship in grafana-dashboards. There is one file of
// declarations for each Grafana folder. It sends no request to a server, and judges nothing: dashboardlint checks the JSON and its queries.
package dashboards

import "slices"

// All are the dashboards, in the order of the documentation.
func All() []Dashboard {
	return slices.Concat(system(), integrations(), business(), alerting(), reports())
}
