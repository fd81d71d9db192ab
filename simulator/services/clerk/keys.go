package clerk

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"fmt"
	"net/http"
	"slices"

	"github.com/go-jose/go-jose/v4"
)

// JWKS is a set of public keys, as the API writes it.
type JWKS = jose.JSONWebKeySet

const keyBits = 2048

// newSigningKey returns a key that signs session tokens.
func newSigningKey() jose.JSONWebKey {
	private, err := rsa.GenerateKey(rand.Reader, keyBits)
	if err != nil {
		panic(fmt.Errorf("clerk: make a signing key: %w", err)) // only without a source of random numbers
	}
	return jose.JSONWebKey{Key: private, KeyID: "ins_" + rand.Text(), Algorithm: string(jose.RS256), Use: "sig"}
}

// Keys returns the public keys that are valid now.
func (f *Fake) Keys(context.Context) (JWKS, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	set := JWKS{Keys: slices.Clone(f.keys)}
	for i, k := range set.Keys {
		set.Keys[i] = k.Public()
	}
	return set, nil
}

// RotateKey signs with a new key from now on. With an overlap the old ones stay valid until RetireKeys; without, tokens
// that they signed are at once those of an unknown key.
func (f *Fake) RotateKey(overlap bool) {
	added := newSigningKey() // takes long: outside the lock
	f.mu.Lock()
	defer f.mu.Unlock()
	if !overlap {
		f.keys = nil
	}
	f.keys = append(f.keys, added)
}

// RetireKeys leaves only the key that signs.
func (f *Fake) RetireKeys() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.keys = f.keys[len(f.keys)-1:]
}

func (x *exchange) jwks() {
	set, _ := x.fake.Keys(x.r.Context()) // never fails
	x.json("ok", http.StatusOK, set)
}
