package clerk

import (
	"context"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"sync"

	clerk "github.com/clerk/clerk-sdk-go/v2"

	"github.com/consignwatch/consignwatch/exporters/integration/httpapi"
	"github.com/consignwatch/consignwatch/pkg/catalog"
	"github.com/consignwatch/consignwatch/pkg/exporter"
)

// keySet is the keys with which tokens may be signed, by their ids.
type keySet map[string]signingKey

type signingKey struct {
	key  *clerk.JSONWebKey // nil: of a kind or size that is not supported
	text string            // the key's material: a key that changes under its id is another one
}

func (k signingKey) usable() bool { return k.key != nil }

const (
	// maxKeys bounds the number of keys in a set.
	maxKeys = 100
	// maxKeyBytes bounds the JSON of a key: an RSA key of maxModulusBits, with its chain of certificates, has half of it.
	maxKeyBytes = 32 << 10
	// maxModulusBits bounds an RSA key: the time of a verification grows with the square of it.
	maxModulusBits = 8192
)

// readKeySet reads a JSON Web Key Set. A set without signing keys is invalid: no user could be signed in. A key that is not
// understood is ignored, as RFC 7517, section 5, demands: it makes no other key invalid. Its id is kept, because there is
// no verdict on a token that is signed with it.
func readKeySet(body []byte) (keySet, error) {
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := httpapi.ReadJSON(&set)(body); err != nil {
		return nil, err
	}
	if len(set.Keys) > maxKeys {
		return nil, fmt.Errorf("the set has %d keys, and at most %d are read", len(set.Keys), maxKeys)
	}
	keys := keySet{}
	for _, raw := range set.Keys {
		var about struct {
			KeyID string `json:"kid"`
			Use   string `json:"use"`
		}
		if json.Unmarshal(raw, &about) != nil || about.KeyID == "" || about.Use != "" && about.Use != "sig" {
			continue
		}
		if key := readKey(raw); key != nil {
			keys[about.KeyID] = signingKey{key: key, text: fmt.Sprint(key.Algorithm, key.Key)}
		} else if !keys[about.KeyID].usable() { // a usable key of the same id remains
			keys[about.KeyID] = signingKey{}
		}
	}
	if len(keys) == 0 {
		return nil, errors.New("there is no signing key in the set")
	}
	return keys, nil
}

// readKey reads a key, or returns nil if it is not supported.
func readKey(raw []byte) *clerk.JSONWebKey {
	if len(raw) > maxKeyBytes { // before a number of this size is computed
		return nil
	}
	key := &clerk.JSONWebKey{}
	if err := key.UnmarshalJSON(raw); err != nil {
		return nil
	}
	if public, ok := key.Key.(*rsa.PublicKey); ok && public.N.BitLen() > maxModulusBits {
		return nil
	}
	return key
}

// usable are the keys that can verify a token.
func (k keySet) usable() int {
	n := 0
	for _, key := range k {
		if key.usable() {
			n++
		}
	}
	return n
}

func (k keySet) equal(other keySet) bool {
	return maps.EqualFunc(k, other, func(a, b signingKey) bool { return a.text == b.text })
}

// keysTarget is the target for the signing keys.
type keysTarget struct {
	api      *apiClient
	recorder *exporter.Recorder

	mu       sync.Mutex
	requests int // number of requests so far
	latest   int // the number of the request that has set the fields below
	known    bool
	up       bool
	last     keySet
}

func newKeysTarget(api *apiClient, c *catalog.Catalog) *keysTarget {
	k := &keysTarget{api: api, recorder: exporter.NewRecorder(c)}
	api.keys.InitSeries(k.recorder, "jwks")
	k.recorder.Init("consign_clerk_signing_key_changes_total")
	return k
}

// Name is the name of the target.
func (k *keysTarget) Name() string { return "keys" }

// Collect fetches the keys.
func (k *keysTarget) Collect(ctx context.Context, sink *exporter.Sink) error {
	keys, err := k.fetch(ctx)
	k.recorder.Collect(sink.Status())
	k.mu.Lock()
	known, up := k.known, k.up
	k.mu.Unlock()
	if known {
		sink.Status().Gauge("consign_clerk_up", exporter.Bool(up))
	}
	if err != nil {
		return err
	}
	sink.Gauge("consign_clerk_signing_keys", float64(keys.usable()))
	if offset, ok := k.api.clockOffset(); ok {
		sink.Gauge("consign_clerk_clock_offset_seconds", offset.Seconds())
	}
	return nil
}

// fetch fetches the keys, and counts changes. The token check calls it, too, perhaps at the same time: a response that a later
// request has overtaken is stale, and no change.
func (k *keysTarget) fetch(ctx context.Context) (keySet, error) {
	k.mu.Lock()
	k.requests++
	request := k.requests
	k.mu.Unlock()
	keys, err := k.api.signingKeys(ctx, k.recorder)
	k.mu.Lock()
	defer k.mu.Unlock()
	if request < k.latest {
		return keys, err
	}
	k.latest = request
	switch {
	case err == nil:
		if k.last != nil && !k.last.equal(keys) {
			k.recorder.Add("consign_clerk_signing_key_changes_total", 1)
		}
		k.known, k.up, k.last = true, true, keys
	case httpapi.OutcomeOf(err) != "": // a request was sent; during a backoff the last state stays valid
		k.known, k.up = true, httpapi.OutcomeOf(err) == httpapi.Throttled
	}
	return keys, err
}
