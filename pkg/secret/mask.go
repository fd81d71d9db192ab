package secret

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"io"
	"log/slog"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// known are the secrets of this process. It is one registry and not a parameter, because the log belongs to the whole process, and
// must mask also what a reload or a server has brought since.
var known = newRegistry()

const (
	// maxKnown bounds the registry: tokens that are renewed come in without end, and the oldest are of no use to anybody.
	maxKnown = 10_000
	// minKnown is the shortest secret that is masked in the words of others: shorter ones are parts of words.
	minKnown = 6
)

// registry is a set of secrets, and finds them in texts.
type registry struct {
	mu      sync.RWMutex
	secrets []string // oldest first
	held    map[string]bool
	forms   map[string]int      // all forms of the secrets, with how often each was added
	by      map[string][]string // forms by their first minKnown bytes, the longest first: one may begin another
}

func newRegistry() *registry {
	return &registry{held: map[string]bool{}, forms: map[string]int{}, by: map[string][]string{}}
}

func (r *registry) add(secret string) {
	if len(secret) < minKnown {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.held[secret] {
		return
	}
	if len(r.secrets) == maxKnown {
		delete(r.held, r.secrets[0])
		for _, form := range forms(r.secrets[0]) {
			r.remove(form)
		}
		r.secrets = slices.Delete(r.secrets, 0, 1)
	}
	r.secrets = append(r.secrets, secret)
	r.held[secret] = true
	for _, form := range forms(secret) {
		if r.forms[form]++; r.forms[form] == 1 {
			start := form[:minKnown]
			i, _ := slices.BinarySearchFunc(r.by[start], form, func(a, b string) int { return len(b) - len(a) })
			r.by[start] = slices.Insert(r.by[start], i, form)
		}
	}
}

func (r *registry) remove(form string) {
	if r.forms[form]--; r.forms[form] > 0 {
		return
	}
	delete(r.forms, form)
	start := form[:minKnown]
	if r.by[start] = slices.DeleteFunc(r.by[start], func(f string) bool { return f == form }); len(r.by[start]) == 0 {
		delete(r.by, start)
	}
}

// mask masks all secrets.
func (r *registry) mask(text string) string {
	r.mu.RLock()
	defer r.mu.RUnlock()
	var b strings.Builder
	copied := 0
	for i := 0; len(r.by) > 0 && i+minKnown <= len(text); {
		n := r.secretAt(text[i:])
		if n == 0 {
			i++
			continue
		}
		b.WriteString(text[copied:i])
		b.WriteString(mask)
		i += n
		copied = i
	}
	if copied == 0 {
		return text
	}
	b.WriteString(text[copied:])
	return b.String()
}

// secretAt is the length of the secret with which a text begins; 0 of another text.
func (r *registry) secretAt(text string) int {
	for _, form := range r.by[text[:minKnown]] {
		if strings.HasPrefix(text, form) {
			return len(form)
		}
	}
	return 0
}

// maxQuotations is how often what is sent may be quoted: by the request, the server, the driver and the log.
const maxQuotations = 4

// forms are a secret as it stands in a text, a quotation, JSON, an address and a header, or as a server decodes it; and each of these
// quoted again. Almost every secret has a handful: quoting changes only what is special.
func forms(s string) []string {
	all := append(quotations(s), s, base64.StdEncoding.EncodeToString([]byte(s)))
	for _, form := range slices.Clone(all) {
		all = append(all, url.QueryEscape(form), url.PathEscape(form))
		for _, unescape := range []func(string) (string, error){url.QueryUnescape, url.PathUnescape} {
			if decoded, err := unescape(form); err == nil {
				all = append(all, decoded)
			}
		}
	}
	seen := map[string]bool{}
	fresh := all
	all = nil
	for range maxQuotations {
		var next []string
		for _, form := range fresh {
			if seen[form] || len(form) < minKnown {
				continue
			}
			seen[form] = true
			all = append(all, form)
			next = append(next, quotations(form)...)
		}
		fresh = next
	}
	return all
}

// quotations are a text within the quotation marks of Go, of JSON, which may escape what is special in HTML, and of the log in JSON,
// which writes some signs as no one else does.
func quotations(s string) []string {
	inner := func(quoted string) string { return quoted[1 : len(quoted)-1] }
	all := []string{inner(strconv.Quote(s))}
	for _, escape := range []bool{false, true} {
		var b strings.Builder
		encoder := json.NewEncoder(&b)
		encoder.SetEscapeHTML(escape)
		if encoder.Encode(s) == nil { // a string has no error
			all = append(all, inner(strings.TrimSuffix(b.String(), "\n")))
		}
	}
	var line strings.Builder
	if slog.NewJSONHandler(&line, nil).Handle(context.Background(), slog.NewRecord(time.Time{}, slog.LevelInfo, s, 0)) == nil {
		_, logged, _ := strings.Cut(line.String(), `"msg":"`)
		all = append(all, strings.TrimSuffix(logged, "\"}\n"))
	}
	return all
}

// credentials are what stands before the @ of an address.
var credentials = regexp.MustCompile(`([a-zA-Z][a-zA-Z0-9+.-]*://)[^/\s"'<>@?#]+@`)

// Register makes Mask know a secret of which nobody holds a Value: a part of another one.
func Register(secret string) { known.add(secret) }

// Mask masks each secret of the process that stands in a text, as it is or quoted, and the user and password of each address,
// which may be in nobody's configuration.
func Mask(text string) string {
	return credentials.ReplaceAllString(known.mask(text), "${1}"+mask+"@")
}

// Address masks what stands before the last @ of an address that cannot be read: it may be a user and a password, wherever its
// parts begin.
func Address(text string) string {
	if i := strings.LastIndex(text, "@"); i >= 0 {
		return mask + text[i:]
	}
	return text
}

// Writer masks what is written to another. A secret must be in one Write: a log writes a line at a time.
func Writer(to io.Writer) io.Writer { return writer{to, Mask} }

type writer struct {
	to   io.Writer
	mask func(string) string
}

// Write writes the masked text.
func (w writer) Write(p []byte) (int, error) {
	if _, err := io.WriteString(w.to, w.mask(string(p))); err != nil {
		return 0, err
	}
	return len(p), nil
}
