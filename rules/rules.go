// Package rules holds the recording and alert rules as plain files, ready to be named in prometheus.yml; Files has them
// for programs that must not depend on a folder.
package rules

import "embed"

// Files are the rule files below recording/ and alerts/.
//
//go:embed recording/*.yml alerts/*.yml
var Files embed.FS
