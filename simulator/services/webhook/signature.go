package webhook

import (
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"hash"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Tolerance is how far the time of a Svix signature may be from now, in both directions.
const Tolerance = 5 * time.Minute

// SignShopify returns the value of X-Shopify-Hmac-Sha256: over the body as it is sent, with the app's client secret.
func SignShopify(secret string, body []byte) string {
	return sign(sha256.New, []byte(secret), string(body))
}

// SignSvix returns the value of svix-signature for a message that is sent at a time. The secret is base64, with or
// without the prefix whsec_.
func SignSvix(secret, id string, at time.Time, body []byte) string {
	return "v1," + sign(sha256.New, svixKey(secret), id, ".", unixSeconds(at), ".", string(body))
}

// SignMandrill returns the value of X-Mandrill-Signature: over the webhook's URL as it is configured, and every form
// field in the order of its name.
func SignMandrill(key, address string, form url.Values) string {
	parts := []string{address}
	for _, field := range slices.Sorted(maps.Keys(form)) {
		for _, value := range form[field] {
			parts = append(parts, field, value)
		}
	}
	return sign(sha1.New, []byte(key), parts...)
}

func sign(algorithm func() hash.Hash, key []byte, parts ...string) string {
	mac := hmac.New(algorithm, key)
	for _, part := range parts {
		mac.Write([]byte(part))
	}
	return base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

// svixKey returns the key of a secret; none for what is not base64.
func svixKey(secret string) []byte {
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_"))
	if err != nil {
		return nil
	}
	return key
}

// same compares a signature with the right one. Without a secret none is right: anybody could make it.
func same(secret, given, right string) bool {
	return secret != "" && hmac.Equal([]byte(given), []byte(right))
}

// verifySvix accepts a message when one of its signatures is right, and its time is near enough.
func verifySvix(header http.Header, body []byte, now time.Time, secret string) bool {
	id := header.Get("svix-id")
	seconds, err := strconv.ParseInt(header.Get("svix-timestamp"), 10, 64)
	at := time.Unix(seconds, 0)
	if id == "" || err != nil || now.Sub(at).Abs() > Tolerance || len(svixKey(secret)) == 0 {
		return false
	}
	right := SignSvix(secret, id, at, body)
	return slices.ContainsFunc(strings.Fields(header.Get("svix-signature")), func(given string) bool { return same(secret, given, right) })
}
