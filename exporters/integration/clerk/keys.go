package clerk

import (
	"context"
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
	key  *clerk.JSONWebKey
	text string // the key's material: a key that changes under its id is another one
}

// readKeySet reads a JSON Web Key Set. A set without keys is invalid: no user could be signed in.
func readKeySet(body []byte) (keySet, error) {
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := httpapi.ReadJSON(&set)(body); err != nil {
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
	sink.Gauge("consign_clerk_signing_keys", float64(len(keys)))
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
