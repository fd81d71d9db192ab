package probe

import (
	"bufio"
	"fmt"
	"net/http"
	"os"
	"regexp"
	"strings"

	"github.com/consignwatch/consignwatch/pkg/secret"
)

// Header is a header line of a probe. The value may be a secret.
type Header struct {
	name  string
	value secret.Value
}

var (
	headerName  = regexp.MustCompile("^[A-Za-z0-9!#$%&'*+.^_`|~-]+$")
	headerValue = regexp.MustCompile(`^[^\x00-\x08\x0a-\x1f\x7f]*$`)
)

// ReadHeaders reads lines of the form `Name: value`. Empty lines and those that begin with # are left out. A message never
// shows what stands in a line.
func ReadHeaders(path string) ([]Header, error) {
	if path == "" {
		return nil, nil
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var headers []Header
	lines := bufio.NewScanner(f)
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		name, value, ok := strings.Cut(line, ":")
		value = strings.TrimSpace(value)
		if !ok || !headerName.MatchString(name) || !headerValue.MatchString(value) {
			return nil, fmt.Errorf("%s: line %d is not of the form `Name: value`", path, n)
		}
		if scheme, credentials, ok := strings.Cut(value, " "); ok && isScheme(scheme) {
			secret.Register(credentials) // a server may repeat them without their scheme
		}
		headers = append(headers, Header{http.CanonicalHeaderKey(name), secret.New(value)})
	}
	return headers, lines.Err()
}

func isScheme(s string) bool { return strings.EqualFold(s, "Basic") || strings.EqualFold(s, "Bearer") }

func (h Header) set(r *http.Request) {
	if h.name == "Host" {
		r.Host = h.value.Reveal()
		return
	}
	r.Header.Add(h.name, h.value.Reveal())
}
