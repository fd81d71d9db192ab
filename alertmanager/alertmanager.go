// Package alertmanager holds the routing as plain files for Alertmanager, and the inventory that they are made from; Files has
// them for programs that must not depend on a folder.
package alertmanager

import "embed"

// Files are site.yml, inhibition.yml, and what is made from them.
//
//go:embed site.yml inhibition.yml alertmanager.yml acknowledgement.yml templates/*.tmpl
var Files embed.FS
