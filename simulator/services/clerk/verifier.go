package clerk

import (
	"context"
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/big"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

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
	// KeysKept is how long a key is believed without asking again; 0: an hour, as Clerk's Go library does.
	KeysKept time.Duration
}

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
	keys     map[string]*rsa.PublicKey
	fetched  time.Time
	verdicts map[string]int64
}

// NewVerifier returns a verifier that makes no mistakes.
func NewVerifier(config VerifierConfig) *Verifier {
	if config.Now == nil {
		config.Now = time.Now
	}
	if config.KeysKept == 0 {
		config.KeysKept = time.Hour
	}
	return &Verifier{config: config, verdicts: map[string]int64{}}
}

// Switch changes the mistakes.
func (v *Verifier) Switch(change func(*Mistakes)) {
	v.mu.Lock()
	defer v.mu.Unlock()
	change(&v.mistakes)
}

// Verdicts returns how many tokens were accepted, under "accepted", and how many refused, under the reason.
func (v *Verifier) Verdicts() map[string]int64 {
	v.mu.Lock()
	defer v.mu.Unlock()
	return maps.Clone(v.verdicts)
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
	var keys *keysError
	if errors.As(err, &keys) {
		wire.Answer(w, http.StatusServiceUnavailable, "application/json", wire.Marshal(object{"error": "signing_keys_unavailable"}))
		return
	}
	v.mu.Lock()
	if err != nil {
		v.verdicts[err.Error()]++
	} else {
		v.verdicts["accepted"]++
	}
	v.mu.Unlock()
	if err != nil {
		w.Header().Set("WWW-Authenticate", `Bearer error="invalid_token"`)
		wire.Answer(w, http.StatusUnauthorized, "application/json", wire.Marshal(object{"error": err.Error()}))
		return
	}
	wire.Answer(w, http.StatusOK, "application/json", claims)
}

// keysError says that there is no verdict, because there are no keys.
type keysError struct{ err error }

func (e *keysError) Error() string { return fmt.Sprintf("signing keys: %v", e.err) }
func (e *keysError) Unwrap() error { return e.err }

// verify returns the claims as they stand in the token.
func (v *Verifier) verify(ctx context.Context, token string, m Mistakes) (json.RawMessage, error) {
	if token == "" {
		return nil, ErrNoToken
	}
	if m.RejectValid {
		return nil, errRejectValid
	}
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return nil, ErrMalformed
	}
	var h header
	var c Claims
	rawClaims, err := decode(parts[1], &c)
	if err != nil {
		return nil, err
	}
	if _, err := decode(parts[0], &h); err != nil {
		return nil, err
	}
	if err := v.checkSignature(ctx, h, parts, m); err != nil {
		return nil, err
	}
	now := v.config.Now()
	switch {
	case !m.AcceptExpired && !now.Add(-v.config.Leeway).Before(time.Unix(c.ExpiresAt, 0)):
		return nil, ErrExpired
	case now.Add(v.config.Leeway).Before(time.Unix(c.NotBefore, 0)):
		return nil, ErrNotYet
	case c.Issuer != v.config.Issuer:
		return nil, ErrIssuer
	case !m.AcceptWrongParty && c.AuthorizedParty != "" && !slices.Contains(v.config.Parties, c.AuthorizedParty):
		return nil, ErrParty
	}
	return rawClaims, nil
}

func decode(part string, into any) (json.RawMessage, error) {
	raw, err := base64.RawURLEncoding.Strict().DecodeString(part)
	if err != nil || json.Unmarshal(raw, into) != nil {
		return nil, ErrMalformed
	}
	return raw, nil
}

func (v *Verifier) checkSignature(ctx context.Context, h header, parts []string, m Mistakes) error {
	key, err := v.key(ctx, h.KeyID)
	switch {
	case err != nil:
		return err
	case key == nil && m.AcceptUnknownKey, key != nil && m.AcceptTampered:
		return nil
	case key == nil:
		return ErrUnknownKey
	case h.Algorithm != "RS256":
		return ErrSignature
	}
	signature, err := base64.RawURLEncoding.Strict().DecodeString(parts[2])
	sum := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	if err != nil || rsa.VerifyPKCS1v15(key, crypto.SHA256, sum[:], signature) != nil {
		return ErrSignature
	}
	return nil
}

// key returns a key that is known, asking anew for one that is not, and when what is known is old; nil: there is none.
func (v *Verifier) key(ctx context.Context, id string) (*rsa.PublicKey, error) {
	v.mu.Lock()
	key, fresh := v.keys[id], v.config.Now().Before(v.fetched.Add(v.config.KeysKept))
	v.mu.Unlock()
	if key != nil && fresh {
		return key, nil
	}
	set, err := v.config.Keys(ctx)
	if err != nil {
		return nil, &keysError{err}
	}
	keys := map[string]*rsa.PublicKey{}
	for _, k := range set.Keys {
		n, errN := base64.RawURLEncoding.DecodeString(k.N)
		e, errE := base64.RawURLEncoding.DecodeString(k.E)
		if errN != nil || errE != nil || len(e) > 4 {
			return nil, &keysError{fmt.Errorf("key %s cannot be read", k.KeyID)}
		}
		keys[k.KeyID] = &rsa.PublicKey{N: new(big.Int).SetBytes(n), E: int(new(big.Int).SetBytes(e).Int64())}
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.keys, v.fetched = keys, v.config.Now()
	return keys[id], nil
}
