package webhook

import (
	"net/http"
	"net/url"
	"strconv"
	"testing"
	"time"
)

// The vectors: one computed with another program, the one that Svix publishes, and one computed with another program.
const (
	shopifySecret    = "hush"
	shopifyBody      = `{"id":820982911946154508,"name":"#9999"}`
	shopifySignature = "YBwnJ9vsibq7srObgXybmGHWuwos+jDEL//7749XS78="

	svixSecret    = "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	svixID        = "msg_p5jXN8AQM9LWM0D4loKWxJek"
	svixSeconds   = 1614265330
	svixBody      = `{"test": 2432232314}`
	svixSignature = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="

	mandrillKey       = "test-webhook-key"
	mandrillURL       = "https://hooks.example.test/mandrill?client=1"
	mandrillEvents    = `[{"event":"send","_id":"abc","ts":1384954004,"msg":{"ts":1384954004,"_id":"abc","state":"sent","email":"a@example.com","sender":"s@example.com","subject":"Hi","tags":["t"],"metadata":{"client_id":"1"}}}]`
	mandrillSignature = "8LXO8uMCPR8cQ2HjT1A5SRtIQQk="
)

func svixHeader(id, stamp, signature string) http.Header {
	h := http.Header{}
	h.Set("svix-id", id)
	h.Set("svix-timestamp", stamp)
	h.Set("svix-signature", signature)
	return h
}

func TestSignaturesAreThoseOfTheVectors(t *testing.T) {
	t.Parallel()
	if got := SignShopify(shopifySecret, []byte(shopifyBody)); got != shopifySignature {
		t.Errorf("shopify: %s", got)
	}
	for _, secret := range []string{svixSecret, "whsec_" + svixSecret} {
		if got := SignSvix(secret, svixID, time.Unix(svixSeconds, 0), []byte(svixBody)); got != svixSignature {
			t.Errorf("svix: %s", got)
		}
	}
	if got := SignMandrill(mandrillKey, mandrillURL, url.Values{"mandrill_events": {mandrillEvents}}); got != mandrillSignature {
		t.Errorf("mandrill: %s", got)
	}
}

// scheme is a signature scheme: a verification, and the bits that it covers.
type scheme struct {
	name                    string
	secret, body, signature string
	verify                  func(secret, body, signature string) bool
}

func schemes() []scheme {
	form := func(events string) url.Values { return url.Values{"mandrill_events": {events}} }
	return []scheme{
		{"shopify", shopifySecret, shopifyBody, shopifySignature, func(secret, body, signature string) bool {
			return same(secret, signature, SignShopify(secret, []byte(body)))
		}},
		{"svix", svixSecret, svixBody, svixSignature, func(secret, body, signature string) bool {
			return verifySvix(svixHeader(svixID, strconv.Itoa(svixSeconds), signature), []byte(body), time.Unix(svixSeconds, 0), secret)
		}},
		{"mandrill", mandrillKey, mandrillEvents, mandrillSignature, func(secret, body, signature string) bool {
			return same(secret, signature, SignMandrill(secret, mandrillURL, form(body)))
		}},
		{"mandrill's URL", mandrillKey, mandrillURL, mandrillSignature, func(secret, body, signature string) bool {
			return same(secret, signature, SignMandrill(secret, body, form(mandrillEvents)))
		}},
	}
}

func TestNoBitOfAWebhookCanBeTurnedOver(t *testing.T) {
	t.Parallel()
	for _, s := range schemes() {
		if !s.verify(s.secret, s.body, s.signature) {
			t.Errorf("%s: refused", s.name)
		}
		for what, text := range map[string]string{"secret": s.secret, "body": s.body, "signature": s.signature} {
			for i := range len(text) * 8 {
				changed := []byte(text)
				changed[i/8] ^= 1 << (i % 8)
				secret, body, signature := s.secret, s.body, s.signature
				switch what {
				case "secret":
					secret = string(changed)
				case "body":
					body = string(changed)
				case "signature":
					signature = string(changed)
				}
				if s.verify(secret, body, signature) {
					t.Errorf("%s: accepted with bit %d of the %s turned over", s.name, i, what)
				}
			}
		}
	}
}

func TestNoSecretVerifiesNothing(t *testing.T) {
	t.Parallel()
	if same("", SignShopify("", []byte(shopifyBody)), SignShopify("", []byte(shopifyBody))) { // anybody can make this one without a secret
		t.Error("accepted without a secret")
	}
	for _, secret := range []string{"", "no base64"} {
		signature := SignSvix(secret, svixID, time.Unix(svixSeconds, 0), []byte(svixBody))
		if verifySvix(svixHeader(svixID, strconv.Itoa(svixSeconds), signature), []byte(svixBody), time.Unix(svixSeconds, 0), secret) {
			t.Errorf("svix with %q: accepted", secret)
		}
	}
}

func TestOneOfSeveralSignaturesOfSvixIsEnough(t *testing.T) {
	t.Parallel()
	other := SignSvix("AAAA", svixID, time.Unix(svixSeconds, 0), []byte(svixBody))
	h := svixHeader(svixID, strconv.Itoa(svixSeconds), "v2,unknown "+other+" "+svixSignature)
	if !verifySvix(h, []byte(svixBody), time.Unix(svixSeconds, 0), svixSecret) {
		t.Error("refused")
	}
}

func TestSvixVersionAndTimeCount(t *testing.T) {
	t.Parallel()
	at := time.Unix(svixSeconds, 0)
	for _, test := range []struct {
		name   string
		header http.Header
		now    time.Time
		right  bool
	}{
		{"just young enough", svixHeader(svixID, strconv.Itoa(svixSeconds), svixSignature), at.Add(Tolerance), true},
		{"too old", svixHeader(svixID, strconv.Itoa(svixSeconds), svixSignature), at.Add(Tolerance + time.Second), false},
		{"just early enough", svixHeader(svixID, strconv.Itoa(svixSeconds), svixSignature), at.Add(-Tolerance), true},
		{"from the future", svixHeader(svixID, strconv.Itoa(svixSeconds), svixSignature), at.Add(-Tolerance - time.Second), false},
		{"another time", svixHeader(svixID, strconv.Itoa(svixSeconds+1), svixSignature), at, false},
		{"another id", svixHeader(svixID+"x", strconv.Itoa(svixSeconds), svixSignature), at, false},
		{"no id", svixHeader("", strconv.Itoa(svixSeconds), svixSignature), at, false},
		{"no time", svixHeader(svixID, "", svixSignature), at, false},
		{"another version", svixHeader(svixID, strconv.Itoa(svixSeconds), "v2"+svixSignature[2:]), at, false},
		{"the signature alone", svixHeader(svixID, strconv.Itoa(svixSeconds), svixSignature[3:]), at, false},
	} {
		if verifySvix(test.header, []byte(svixBody), test.now, svixSecret) != test.right {
			t.Errorf("%s: accepted %t", test.name, !test.right)
		}
	}
}

func TestMandrillSignsFieldsInTheOrderOfTheirNames(t *testing.T) {
	t.Parallel()
	form := url.Values{"b": {"2"}, "a": {"1"}, "c": {""}}
	const want = "ZtKW2O57hF+XG681OFzQ5Hi1i4Q=" // openssl: HMAC-SHA1 with "k" of "https://x/a1b2c"
	if got := SignMandrill("k", "https://x/", form); got != want {
		t.Errorf("%s, want %s", got, want)
	}
}
