package clerk

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"time"
)

// sessionToken is a token of Clerk, decoded without verifying it.
type sessionToken struct {
	text   string
	keyID  string
	party  string // claim azp
	header json.RawMessage
	claims json.RawMessage
	// issued is when the token was issued by Clerk's clock, and requested when it was requested by the exporter's.
	issued, requested time.Time
	// expires is when the token expires by the exporter's clock, counted from before the request: Clerk's clock does not matter.
	expires time.Time
}

const (
	minTokenLife = 30 * time.Second // the shortest that Clerk gives
	maxTokenLife = time.Hour
	// maxNumericDate is the last second that a time of a token can name: that of the year 9999.
	maxNumericDate = 253402300799
)

var errToken = errors.New("the answer holds no session token: a JWT with kid, iat and exp")

// readToken decodes a token that was requested at the given time.
func readToken(text string, requested time.Time) (*sessionToken, error) {
	parts := strings.Split(text, ".")
	if len(parts) != 3 {
		return nil, errToken
	}
	t := &sessionToken{text: text}
	var err error
	if t.header, err = base64.RawURLEncoding.DecodeString(parts[0]); err != nil {
		return nil, errToken
	}
	if t.claims, err = base64.RawURLEncoding.DecodeString(parts[1]); err != nil {
		return nil, errToken
	}
	var header struct {
		KeyID string `json:"kid"`
	}
	var claims struct {
		IssuedAt float64 `json:"iat"`
		Expiry   float64 `json:"exp"`
		Party    string  `json:"azp"`
	}
	if json.Unmarshal(t.header, &header) != nil || json.Unmarshal(t.claims, &claims) != nil {
		return nil, errToken
	}
	life := time.Duration((claims.Expiry - claims.IssuedAt) * float64(time.Second))
	if header.KeyID == "" || claims.IssuedAt < 0 || claims.IssuedAt > maxNumericDate || life <= 0 || life > maxTokenLife {
		return nil, errToken
	}
	t.keyID, t.party, t.expires = header.KeyID, claims.Party, requested.Add(life)
	t.issued, t.requested = time.UnixMilli(int64(claims.IssuedAt*1000)), requested
	return t, nil
}

// issuerClock is the time by the clock of the token's issuer when it is now by ours.
func (t *sessionToken) issuerClock(now time.Time) time.Time {
	return t.issued.Add(now.Sub(t.requested))
}
