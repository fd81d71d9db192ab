package webhook

import (
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// ErrSignature is wrapped by every refusal of a signature.
var ErrSignature = errors.New("signature refused")

// Tolerance is how far the time of a Svix signature may be from now, in both directions.
const Tolerance = 5 * time.Minute

// SignShopify returns the value of X-Shopify-Hmac-Sha256: over the body as it is sent, with the app's client secret.
func SignShopify(secret string, body []byte) string {
	return base64.StdEncoding.EncodeToString(shopifyMAC(secret, body))
}

// VerifyShopify accepts a signature that was made with any of the secrets: for an hour after a change Shopify may still
// sign with the one before.
func VerifyShopify(signature string, body []byte, secrets ...string) error {
	given, err := base64.StdEncoding.Strict().DecodeString(signature)
	if err != nil {
		return fmt.Errorf("shopify: the header is not base64: %w", ErrSignature)
	}
	for _, secret := range secrets {
		if secret != "" && hmac.Equal(given, shopifyMAC(secret, body)) {
			return nil
		}
	}
	return fmt.Errorf("shopify: no secret makes this signature: %w", ErrSignature)
}

func shopifyMAC(secret string, body []byte) []byte {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write(body)
	return mac.Sum(nil)
}

// SignSvix returns the value of svix-signature for a message that is sent at a time. The secret is base64, with or
// without the prefix whsec_.
func SignSvix(secret, id string, at time.Time, body []byte) (string, error) {
	mac, err := svixMAC(secret, id, strconv.FormatInt(at.Unix(), 10), body)
	if err != nil {
		return "", err
	}
	return "v1," + base64.StdEncoding.EncodeToString(mac), nil
}

// VerifySvix accepts a message when one signature of version 1 in its header fits one of the secrets, and its time is
// near enough.
func VerifySvix(header http.Header, body []byte, now time.Time, secrets ...string) error {
	id, stamp := header.Get("svix-id"), header.Get("svix-timestamp")
	seconds, err := strconv.ParseInt(stamp, 10, 64)
	if id == "" || err != nil {
		return fmt.Errorf("svix: svix-id or svix-timestamp is missing or wrong: %w", ErrSignature)
	}
	if off := now.Sub(time.Unix(seconds, 0)).Abs(); off > Tolerance {
		return fmt.Errorf("svix: the timestamp is off by %s: %w", off, ErrSignature)
	}
	for _, secret := range secrets {
		mac, err := svixMAC(secret, id, stamp, body)
		if err != nil {
			return err
		}
		for signature := range strings.FieldsSeq(header.Get("svix-signature")) {
			version, encoded, _ := strings.Cut(signature, ",")
			given, err := base64.StdEncoding.Strict().DecodeString(encoded)
			if version == "v1" && err == nil && hmac.Equal(given, mac) {
				return nil
			}
		}
	}
	return fmt.Errorf("svix: no secret makes any of the signatures: %w", ErrSignature)
}

func svixMAC(secret, id, stamp string, body []byte) ([]byte, error) {
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_"))
	if err != nil || len(key) == 0 {
		return nil, errors.New("svix: the signing secret is not base64") // never quoted: it is a secret
	}
	mac := hmac.New(sha256.New, key)
	fmt.Fprintf(mac, "%s.%s.%s", id, stamp, body)
	return mac.Sum(nil), nil
}

// SignMandrill returns the value of X-Mandrill-Signature: over the webhook's URL as it is configured, and every form
// field in the order of its name.
func SignMandrill(key, address string, form url.Values) string {
	return base64.StdEncoding.EncodeToString(mandrillMAC(key, address, form))
}

// VerifyMandrill accepts a signature that was made with any of the keys.
func VerifyMandrill(signature, address string, form url.Values, keys ...string) error {
	given, err := base64.StdEncoding.Strict().DecodeString(signature)
	if err != nil {
		return fmt.Errorf("mandrill: the header is not base64: %w", ErrSignature)
	}
	for _, key := range keys {
		if key != "" && hmac.Equal(given, mandrillMAC(key, address, form)) {
			return nil
		}
	}
	return fmt.Errorf("mandrill: no key makes this signature: %w", ErrSignature)
}

func mandrillMAC(key, address string, form url.Values) []byte {
	mac := hmac.New(sha1.New, []byte(key))
	mac.Write([]byte(address))
	for _, field := range slices.Sorted(maps.Keys(form)) {
		for _, value := range form[field] {
			mac.Write([]byte(field))
			mac.Write([]byte(value))
		}
	}
	return mac.Sum(nil)
}
