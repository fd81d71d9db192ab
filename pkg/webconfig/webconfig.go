// Package webconfig writes web config files, with which the exporters ask for a password. It reads none: that is
// exporter-toolkit's.
package webconfig

import (
	"fmt"

	"go.yaml.in/yaml/v3"
	"golang.org/x/crypto/bcrypt"
)

// BasicAuth is the text of a web config file that lets in one user. It holds a hash of the password only.
func BasicAuth(user, password string) ([]byte, error) {
	hash, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.DefaultCost)
	if err != nil {
		return nil, fmt.Errorf("hash the password of %s: %w", user, err)
	}
	return yaml.Marshal(map[string]map[string]string{"basic_auth_users": {user: string(hash)}})
}
