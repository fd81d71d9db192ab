package integration

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"sync"

	clerk "github.com/clerk/clerk-sdk-go/v2"

	"github.com/consignwatch/consignwatch/pkg/catalog"
	"github.com/consignwatch/consignwatch/pkg/exporter"
)

// keySet is the keys with which tokens may be signed, by their ids.
type keySet map[string]signingKey

type signingKey struct {
	key  *clerk.JSONWebKey
	text string // what the key is made of: a key that changes under its id is another one
}

// readKeySet reads a JSON Web Key Set. A set without keys cannot be: nobody could be signed in.
func readKeySet(body []byte) (keySet, error) {
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := readJSON(&set)(body); err != nil {
		return nil, err
	}
	keys := keySet{}
	for _, raw := range set.Keys {
		key := &clerk.JSONWebKey{}
		if err := key.UnmarshalJSON(raw); err != nil || key.KeyID == "" {
			return nil, errors.New("a key of the set cannot be read")
		}
		if key.Use != "" && key.Use != "sig" {
			continue
		}
		keys[key.KeyID] = signingKey{key: key, text: fmt.Sprint(key.Algorithm, key.Key)}
	}
	if len(keys) == 0 {
		return nil, errors.New("there is no signing key in the set")
	}
	return keys, nil
}

func (k keySet) equal(other keySet) bool {
	return maps.EqualFunc(k, other, func(a, b signingKey) bool { return a.text == b.text })
}

// clerkKeys is the target that watches the signing keys.
type clerkKeys struct {
	api   *clerkAPI
	tally *exporter.Tally

	mu    sync.Mutex
	asked bool
	up    bool
	last  keySet
}

func newClerkKeys(api *clerkAPI, c *catalog.Catalog) *clerkKeys {
	k := &clerkKeys{api: api, tally: exporter.NewTally(c)}
	api.keys.begin(k.tally, "jwks")
	k.tally.Begin("consign_clerk_signing_key_changes_total")
	return k
}

// Name is the name of the target.
func (k *clerkKeys) Name() string { return "keys" }

// Collect asks for the keys.
func (k *clerkKeys) Collect(ctx context.Context, sink *exporter.Sink) error {
	keys, err := k.fetch(ctx)
	k.tally.Tell(sink.Always())
	k.mu.Lock()
	asked, up := k.asked, k.up
	k.mu.Unlock()
	if asked {
		sink.Always().Gauge("consign_clerk_up", truth(up))
	}
	if err != nil {
		return err
	}
	sink.Gauge("consign_clerk_signing_keys", float64(len(keys)))
	return nil
}

// fetch asks for the keys, and sees whether they have changed. The token check calls it too.
func (k *clerkKeys) fetch(ctx context.Context) (keySet, error) {
	keys, err := k.api.signingKeys(ctx, k.tally)
	k.mu.Lock()
	defer k.mu.Unlock()
	switch {
	case err == nil:
		if k.last != nil && !k.last.equal(keys) {
			k.tally.Add("consign_clerk_signing_key_changes_total", 1)
		}
		k.asked, k.up, k.last = true, true, keys
	case serviceOutcomeOf(err) != "": // it was asked; a pause leaves the last word in force
		k.asked, k.up = true, serviceOutcomeOf(err) == serviceThrottled
	}
	return keys, err
}
