package mysql

import _ "embed"

//go:embed grants-integration.sql
var integrationGrants string

// IntegrationUser is the name of the integration-exporter's user.
const IntegrationUser = "consignwatch_integration"

// IntegrationGrants returns the statements of grants-integration.sql for a reader.
func IntegrationGrants(r Reader) []string { return r.fill(integrationGrants) }
