package interner

import (
	"bytes"
	"regexp"
)

// identifying are the marks of values that identify somebody or something.
var identifying = []*regexp.Regexp{
	regexp.MustCompile(`[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}`),         // a UUID
	regexp.MustCompile(`[0-9]{6}`),                                                   // a number of six or more digits
	regexp.MustCompile(`[0-9A-Fa-f]{16}`),                                            // a hash, or the id of a trace
	regexp.MustCompile(`(^|[^0-9A-Za-z_-])sk_`),                                      // a secret key, as of Stripe and Clerk
	regexp.MustCompile(`(^|[^0-9A-Za-z_-])ey[0-9A-Za-z_-]*[0-9A-Z]`),                 // {" in base64: a JSON Web Token; eyewear is none
	regexp.MustCompile(`@`),                                                          // an e-mail address
	regexp.MustCompile(`(^|[^0-9A-Za-z.])[A-Z][a-z]+\.[A-Z][a-z]+($|[^0-9A-Za-z.])`), // First.Last
}

// word is a run of letters and digits that is long enough for a token.
var word = regexp.MustCompile(`[0-9A-Za-z]{20,}`)

// Identifying reports whether a value of the stream looks like an id, a token or a person. Such values would make a series
// each, and what they name must not be kept for years. These do, anywhere in the value:
//
//   - a UUID
//   - six or more digits in a row
//   - 16 or more hexadecimal digits in a row
//   - 20 or more letters and digits in a row, with capitals, small letters and digits among them
//   - a part that begins with sk_, or with ey and has a capital letter or a digit: keys, and JSON Web Tokens
//   - an @
//   - a part like First.Last: two words with capitals, joined by a dot
func Identifying(value string) bool {
	for _, mark := range identifying {
		if mark.MatchString(value) {
			return true
		}
	}
	for _, w := range word.FindAll([]byte(value), -1) {
		if bytes.ContainsAny(w, "0123456789") && !bytes.Equal(w, bytes.ToLower(w)) && !bytes.Equal(w, bytes.ToUpper(w)) {
			return true
		}
	}
	return false
}
