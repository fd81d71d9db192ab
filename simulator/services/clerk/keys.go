package clerk

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"fmt"
	"math/big"
	"net/http"
)

const keyBits = 2048

// signingKey signs session tokens.
type signingKey struct {
	id      string
	private *rsa.PrivateKey
}

func newSigningKey() *signingKey {
	private, err := rsa.GenerateKey(rand.Reader, keyBits)
	if err != nil {
		panic(fmt.Errorf("clerk: make a signing key: %w", err)) // only without a source of random numbers
	}
	return &signingKey{id: "ins_" + rand.Text(), private: private}
}

// JWK is a public key as the API writes it.
type JWK struct {
	Use       string `json:"use"`
	Type      string `json:"kty"`
	KeyID     string `json:"kid"`
	Algorithm string `json:"alg"`
	N         string `json:"n"`
	E         string `json:"e"`
}

// JWKS is a set of public keys.
type JWKS struct {
	Keys []JWK `json:"keys"`
}

func (k *signingKey) public() JWK {
	encode := func(n *big.Int) string { return base64.RawURLEncoding.EncodeToString(n.Bytes()) }
	return JWK{"sig", "RSA", k.id, "RS256", encode(k.private.N), encode(big.NewInt(int64(k.private.E)))}
}

// Keys returns the public keys that are valid now.
func (f *Fake) Keys(context.Context) (JWKS, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.publicKeys(), nil
}

func (f *Fake) publicKeys() JWKS {
	set := JWKS{Keys: []JWK{}}
	for _, k := range f.keys {
		set.Keys = append(set.Keys, k.public())
	}
	return set
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
	x.fake.mu.Lock()
	set := x.fake.publicKeys()
	x.fake.mu.Unlock()
	x.json("ok", http.StatusOK, set)
}
