package clerk

import (
	"encoding/base64"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/consignwatch/consignwatch/pkg/catalog"
	"github.com/consignwatch/consignwatch/pkg/secret"
)

func TestAnAnswerThatWasOvertakenIsNoChangeOfKeys(t *testing.T) {
	t.Parallel()
	instance := newInstance(t)
	asked, release := make(chan struct{}), make(chan struct{})
	var requests atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if requests.Add(1) != 2 {
			instance.ServeHTTP(w, r)
			return
		}
		old := httptest.NewRecorder()
		instance.ServeHTTP(old, r)
		close(asked)
		<-release
		_, _ = w.Write(old.Body.Bytes())
	}))
	t.Cleanup(server.Close)
	metrics := catalog.Shipped().ForExporter(catalog.Integration)
	c := &Config{URL: server.URL + "/v1"}
	c.Fill()
	keys := newKeysTarget(newAPIClient(c, secret.New(secretKey), newTestClient(t), slog.New(slog.DiscardHandler)), metrics)
	fetch := func() {
		if _, err := keys.fetch(t.Context()); err != nil {
			t.Error(err)
		}
	}
	fetch()
	overtaken := make(chan struct{})
	go func() { defer close(overtaken); fetch() }()
	<-asked
	instance.RotateKey(false)
	fetch()
	close(release)
	<-overtaken
	now, err := instance.Keys(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := keys.last[now.Keys[0].KeyID]; !ok || len(keys.last) != 1 {
		t.Error("the answer that came late replaced the later one: its key would come and go again")
	}
}

// jwk is an RSA key as a key set has it.
func jwk(id, more string, bits int) string {
	modulus := make([]byte, bits/8)
	for i := range modulus {
		modulus[i] = 0xff
	}
	return fmt.Sprintf(`{"kty":"RSA","alg":"RS256","e":"AQAB","kid":%q,"n":%q%s}`, id, base64.RawURLEncoding.EncodeToString(modulus), more)
}

func TestAKeyThatIsNotUnderstoodIsIgnored(t *testing.T) {
	good := jwk("good", `,"use":"sig"`, 2048)
	for name, other := range map[string]string{
		"an unknown kind":                   `{"kty":"AKP","alg":"ML-DSA-65","kid":"pq","use":"sig","pub":"AAAA"}`,
		"an unknown kind without an id":     `{"kty":"AKP","alg":"ML-DSA-65","pub":"AAAA"}`,
		"not for signatures and no id":      `{"kty":"RSA","use":"enc","n":"AQAB","e":"AQAB"}`,
		"an unknown use":                    `{"kty":"RSA","kid":"x","use":"later","n":"AQAB","e":"AQAB"}`,
		"an unusable key of the same id":    `{"kty":"AKP","kid":"good","use":"sig","pub":"AAAA"}`,
		"no object":                         `"key"`,
		"null":                              `null`,
		"an id that is no text":             `{"kty":"RSA","kid":7}`,
		"a modulus over the limit":          jwk("large", "", 2*maxModulusBits),
		"more bytes than a key may have":    jwk("larger", "", 16*maxKeyBytes),
		"an elliptic curve of no such name": `{"kty":"EC","kid":"ec","crv":"P-999","x":"AA","y":"AA"}`,
	} {
		t.Run(name, func(t *testing.T) {
			for _, set := range []string{good + "," + other, other + "," + good} {
				keys, err := readKeySet([]byte(`{"keys":[` + set + `]}`))
				if err != nil || keys.usable() != 1 || !keys["good"].usable() {
					t.Errorf("%d usable keys, %v", keys.usable(), err)
				}
			}
		})
	}
}

func TestAKeySetHasALimit(t *testing.T) {
	set := slices.Repeat([]string{jwk("x", "", 2048)}, maxKeys+1)
	if keys, err := readKeySet([]byte(`{"keys":[` + strings.Join(set, ",") + `]}`)); err == nil {
		t.Errorf("a set over the limit has %d keys", len(keys))
	}
	if _, err := readKeySet([]byte(`{"keys":[` + strings.Join(set[1:], ",") + `]}`)); err != nil {
		t.Error(err)
	}
	if _, err := readKeySet([]byte(`{"keys":[]}`)); err == nil {
		t.Error("an empty set is valid")
	}
}

func TestATokenOfAKeyThatIsNotSupportedHasNoVerdict(t *testing.T) {
	verifier := &libraryVerifier{issuer: theIssuer, now: time.Now}
	if accepted, err := verifier.verify(t.Context(), &sessionToken{keyID: "pq"}, keySet{"pq": {}}); accepted || err == nil {
		t.Errorf("accepted %v, %v, want no verdict", accepted, err)
	}
}
