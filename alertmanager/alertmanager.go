// Package alertmanager holds the routing as a plain file for Alertmanager; Files has it for programs that must not
// depend on a folder.
package alertmanager

import "embed"

// Files has alertmanager.yml.
//
//go:embed alertmanager.yml
var Files embed.FS
