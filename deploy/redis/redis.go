// Package redis holds what an administrator gives to a Redis or Valkey server before the system-exporter reads it: the rights of
// its user. The file is for people; the tests run the same one. It never connects.
package redis

import (
	_ "embed"
	"strings"
)

//go:embed acl.txt
var acl string

// User is the name of the exporter's user.
const User = "consignwatch"

// ACL returns the arguments of ACL SETUSER, the user's name first.
func ACL(password string) []string {
	fields := strings.Fields(acl)
	for i, f := range fields {
		fields[i] = strings.ReplaceAll(f, "{{password}}", password)
	}
	return fields[1:] // without "user", which only the file has
}
