package secret

import (
	"cmp"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// known are the secrets of this process. It is one registry and not a parameter, because the log belongs to the whole process, and
// must mask also what a reload or a server has brought since.
var known = &registry{}

const (
	// maxKnown bounds the registry: tokens that are renewed come in without end, and the oldest are of no use to anybody.
	maxKnown = 10_000
	// minKnown is the shortest secret that is masked in the words of others: shorter ones are parts of words.
	minKnown = 6
)

// registry is a set of secrets.
type registry struct {
	mu       sync.Mutex
	secrets  []string // oldest first
	replacer *strings.Replacer
}

func (r *registry) add(secret string) {
	if len(secret) < minKnown {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if slices.Contains(r.secrets, secret) {
		return
	}
	if len(r.secrets) == maxKnown {
		r.secrets = slices.Delete(r.secrets, 0, 1)
	}
	r.secrets = append(r.secrets, secret)
	r.replacer = nil
}

// mask masks all secrets.
func (r *registry) mask(text string) string {
	r.mu.Lock()
	if r.replacer == nil {
		r.replacer = replacerOf(r.secrets)
	}
	replacer := r.replacer
	r.mu.Unlock()
	return replacer.Replace(text)
}

// replacerOf masks secrets in all their forms, the longest first: one may be a part of another.
func replacerOf(secrets []string) *strings.Replacer {
	var all []string
	for _, s := range secrets {
		all = append(all, forms(s)...)
	}
	slices.SortFunc(all, func(a, b string) int { return cmp.Or(len(b)-len(a), strings.Compare(a, b)) })
	var pairs []string
	for _, form := range slices.Compact(all) {
		pairs = append(pairs, form, mask)
	}
	return strings.NewReplacer(pairs...)
}

// forms are a secret as it stands in a text, a quotation, JSON, an address and a header, and each of these quoted once more, as a
// log does.
func forms(s string) []string {
	plain := append(quotations(s), s, url.QueryEscape(s), url.PathEscape(s), base64.StdEncoding.EncodeToString([]byte(s)))
	all := slices.Clone(plain)
	for _, form := range plain {
		all = append(all, quotations(form)...)
	}
	return all
}

// quotations are a text within the quotation marks of Go and of JSON, which may escape what is special in HTML.
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
