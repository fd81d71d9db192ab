package clerk

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/consignwatch/consignwatch/simulator/services/wire"
)

// VerifierConfig configures a verifier.
type VerifierConfig struct {
	Now func() time.Time // the platform's clock; nil: time.Now
	// Keys asks for the valid keys, as Fake.Keys does.
	Keys    func(context.Context) (JWKS, error)
	Issuer  string
	Parties []string      // origins that tokens may name; a token that names none is accepted, as Clerk's libraries do
	Leeway  time.Duration // for clocks that differ
}

// keysKept is how long a key is believed without asking again, as Clerk's Go library does.
const keysKept = time.Hour

// Mistakes are what a verifier does wrong.
type Mistakes struct {
	AcceptExpired    bool
	AcceptTampered   bool // signatures of known keys are not checked; no algorithm is as good as any
	AcceptUnknownKey bool // signatures of unknown keys are not checked
	AcceptWrongParty bool
	RejectValid      bool          // nothing is accepted
	Slow             time.Duration // before any answer
	Down             bool          // connections end without an answer
}

// Verifier is a platform's verification of session tokens: a request with a bearer token gets 200 and the token's claims, or
// 401 and the reason.
type Verifier struct {
	config VerifierConfig

	mu       sync.Mutex
	mistakes Mistakes
	keys     JWKS
	fetched  time.Time
}

// NewVerifier returns a verifier that makes no mistakes.
func NewVerifier(config VerifierConfig) *Verifier {
	if config.Now == nil {
		config.Now = time.Now
	}
	return &Verifier{config: config}
}

// Switch changes the mistakes.
func (v *Verifier) Switch(change func(*Mistakes)) {
	v.mu.Lock()
	defer v.mu.Unlock()
	change(&v.mistakes)
}

// Reasons for which a token is refused.
var (
	ErrNoToken     = errors.New("token_missing")
	ErrMalformed   = errors.New("token_malformed")
	ErrUnknownKey  = errors.New("token_unknown_key")
	ErrSignature   = errors.New("token_signature_invalid")
	ErrExpired     = errors.New("token_expired")
	ErrNotYet      = errors.New("token_not_active_yet")
	ErrIssuer      = errors.New("token_issuer_invalid")
	ErrParty       = errors.New("token_authorized_party_invalid")
	errRejectValid = errors.New("token_refused")
)

// errNoKeys says that there is no verdict, because there are no keys.
var errNoKeys = errors.New("signing_keys_unavailable")

// ServeHTTP implements http.Handler.
func (v *Verifier) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	v.mu.Lock()
	mistakes := v.mistakes
	v.mu.Unlock()
	if !wire.Wait(r, mistakes.Slow) {
		return
	}
	if mistakes.Down {
		wire.Drop()
	}
	token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	claims, err := v.verify(r.Context(), token, mistakes)
	switch {
	case errors.Is(err, errNoKeys):
		wire.Answer(w, http.StatusServiceUnavailable, "application/json", wire.Marshal(object{"error": errNoKeys.Error()}))
	case err != nil:
		w.Header().Set("WWW-Authenticate", `Bearer error="invalid_token"`)
		wire.Answer(w, http.StatusUnauthorized, "application/json", wire.Marshal(object{"error": err.Error()}))
	default:
		wire.Answer(w, http.StatusOK, "application/json", wire.Marshal(claims))
	}
}

// verify returns the claims of a token. Algorithms that only forgers use are parsed, too: a token without a valid signature is not malformed.
func (v *Verifier) verify(ctx context.Context, text string, m Mistakes) (c Claims, err error) {
	switch {
	case text == "":
		return c, ErrNoToken
	case m.RejectValid:
		return c, errRejectValid
	}
	token, err := jwt.ParseSigned(text, []jose.SignatureAlgorithm{jose.RS256, jose.HS256, "none"})
	if err != nil || token.UnsafeClaimsWithoutVerification(&c) != nil {
		return c, ErrMalformed
	}
	key, err := v.key(ctx, token.Headers[0].KeyID)
	now := v.config.Now()
	switch {
	case err != nil:
		return c, err
	case key == nil && !m.AcceptUnknownKey:
		return c, ErrUnknownKey
	case key != nil && !m.AcceptTampered && token.Claims(key, &c) != nil:
		return c, ErrSignature
	case !m.AcceptExpired && !now.Add(-v.config.Leeway).Before(time.Unix(c.ExpiresAt, 0)):
		return c, ErrExpired
	case now.Add(v.config.Leeway).Before(time.Unix(c.NotBefore, 0)):
		return c, ErrNotYet
	case c.Issuer != v.config.Issuer:
		return c, ErrIssuer
	case !m.AcceptWrongParty && c.AuthorizedParty != "" && !slices.Contains(v.config.Parties, c.AuthorizedParty):
		return c, ErrParty
	}
	return c, nil
}

// key returns a key that is known, asking anew for one that is not, and when what is known is old; nil: there is none.
func (v *Verifier) key(ctx context.Context, id string) (*jose.JSONWebKey, error) {
	v.mu.Lock()
	found, fresh := v.keys.Key(id), v.config.Now().Before(v.fetched.Add(keysKept))
	v.mu.Unlock()
	if len(found) == 0 || !fresh {
		set, err := v.config.Keys(ctx)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", errNoKeys, err)
		}
		v.mu.Lock()
		v.keys, v.fetched = set, v.config.Now()
		v.mu.Unlock()
		if found = set.Key(id); len(found) == 0 {
			return nil, nil
		}
	}
	return &found[0], nil
}
