package clerk

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// forgery is a token that every verifier must reject.
type forgery struct {
	what string // how it was forged, for a log
	text string
}

// tamperings are tokens that Clerk has signed, changed afterwards.
func tamperings(t *sessionToken) ([]forgery, error) {
	_, signature, ok := cutLast(t.text)
	if !ok {
		return nil, errToken
	}
	raw, err := base64.RawURLEncoding.DecodeString(signature)
	if err != nil || len(raw) == 0 {
		return nil, errToken
	}
	promoted, err := with(t.claims, "sub", "user_"+rand.Text())
	if err != nil {
		return nil, err
	}
	unsigned, err := with(t.header, "alg", "none")
	if err != nil {
		return nil, err
	}
	raw[len(raw)/2] ^= 1
	return []forgery{
		{"another user, with the old signature", signed(t.header, promoted) + "." + signature},
		{"one bit of the signature flipped", signed(t.header, t.claims) + "." + base64.RawURLEncoding.EncodeToString(raw)},
		{"no signature, and alg none", signed(unsigned, t.claims) + "."},
	}, nil
}

// foreignKeys are tokens with the claims of one of Clerk's, signed with another key.
func foreignKeys(t *sessionToken, key *rsa.PrivateKey) ([]forgery, error) {
	unknown, err := with(t.header, "kid", "ins_"+rand.Text())
	if err != nil {
		return nil, err
	}
	var forgeries []forgery
	for _, f := range []struct {
		what   string
		header []byte
	}{
		{"signed with a foreign key, under its own name", unknown},
		{"signed with a foreign key, under the name of Clerk's", t.header},
	} {
		text := signed(f.header, t.claims)
		sum := sha256.Sum256([]byte(text))
		signature, err := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, sum[:])
		if err != nil {
			return nil, fmt.Errorf("token check: sign with a key of our own: %w", err)
		}
		forgeries = append(forgeries, forgery{f.what, text + "." + base64.RawURLEncoding.EncodeToString(signature)})
	}
	return forgeries, nil
}

// signed is the part of a token that the signature is over.
func signed(header, claims []byte) string {
	return base64.RawURLEncoding.EncodeToString(header) + "." + base64.RawURLEncoding.EncodeToString(claims)
}

// with sets one member of a JSON object and leaves the others to the letter.
func with(object json.RawMessage, name, value string) (json.RawMessage, error) {
	members := map[string]json.RawMessage{}
	if err := json.NewDecoder(bytes.NewReader(object)).Decode(&members); err != nil {
		return nil, errors.New("token check: a part of the token is not a JSON object")
	}
	text, err := json.Marshal(value)
	if err != nil {
		return nil, fmt.Errorf("token check: %w", err)
	}
	members[name] = text
	return json.Marshal(members)
}

// cutLast cuts a token before its signature.
func cutLast(token string) (head, signature string, ok bool) {
	at := strings.LastIndexByte(token, '.')
	if at < 0 {
		return "", "", false
	}
	return token[:at], token[at+1:], true
}
