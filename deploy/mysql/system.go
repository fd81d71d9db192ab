package mysql

import (
	_ "embed"
	"strings"
)

//go:embed grants-system.sql
var systemGrants string

// SystemUser is the name of the system-exporter's user.
const SystemUser = "consignwatch_system"

// SystemGrants returns the statements of grants-system.sql for a user with the password who connects from the host.
func SystemGrants(password, host string) []string {
	all := statements(systemGrants)
	fill := strings.NewReplacer("{{password}}", quote(password), "{{host}}", quote(host))
	for i, s := range all {
		all[i] = fill.Replace(s)
	}
	return all
}
