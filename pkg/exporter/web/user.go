package web

import (
	"context"
	"net/http"
	"os"
	"slices"

	"go.yaml.in/yaml/v3"
)

// IsUser reports whether a request was authenticated as this user: the user of basic auth, or the common name or a DNS name
// of the client certificate, as far as the web config has them checked.
func IsUser(r *http.Request, user string) bool {
	users, _ := r.Context().Value(usersKey{}).([]string)
	return user != "" && slices.Contains(users, user)
}

type usersKey struct{}

// authenticated notes the users of each request. The toolkit has refused those with a wrong password, but only where the web
// config has users; without any, a user is just what the client says.
func authenticated(configFile string, h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var users []string
		if r.TLS != nil && len(r.TLS.VerifiedChains) > 0 {
			certificate := r.TLS.VerifiedChains[0][0]
			users = append(certificate.DNSNames[:len(certificate.DNSNames):len(certificate.DNSNames)], certificate.Subject.CommonName)
		}
		if user, _, basic := r.BasicAuth(); basic && hasUser(configFile, user) {
			users = append(users, user)
		}
		h.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), usersKey{}, users)))
	})
}

// hasUser reports whether the web config knows a user. The toolkit reads the file at each request, too.
func hasUser(configFile, user string) bool {
	text, err := os.ReadFile(configFile)
	if err != nil {
		return false
	}
	var config struct {
		Users map[string]string `yaml:"basic_auth_users"`
	}
	if yaml.Unmarshal(text, &config) != nil {
		return false
	}
	_, known := config.Users[user]
	return known
}
