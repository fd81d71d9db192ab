package clerk

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"time"

	"github.com/clerk/clerk-sdk-go/v2/jwt"

	"github.com/consignwatch/consignwatch/exporters/integration/httpapi"
)

// verifier says whether a session token is accepted. An error means that there is no verdict. The keys are the
// current ones of Clerk; nil when they could not be fetched.
type verifier interface {
	verify(ctx context.Context, token *sessionToken, keys keySet) (accepted bool, err error)
}

// endpointVerifier verifies at the platform: it sends the token to an endpoint, as a browser would.
type endpointVerifier struct {
	url            string
	rejectedStatus []int
	http           *http.Client
}

// maxVerifyResponse is how much of a response is read.
const maxVerifyResponse = 64 << 10

func (v *endpointVerifier) verify(ctx context.Context, token *sessionToken, _ keySet) (bool, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, v.url, nil)
	if err != nil {
		return false, fmt.Errorf("token check: the address of the verification: %w", err)
	}
	req.Header.Set("Authorization", "Bearer "+token.text)
	req.Header.Set("User-Agent", httpapi.UserAgent())
	req.Header.Set("Accept", "application/json")
	req.Header.Set("Cache-Control", "no-cache") // a cached response belongs to another token
	resp, err := v.http.Do(req)
	if err != nil {
		outcome, what := httpapi.TransportOutcome(ctx, err)
		return false, v.unknown(outcome, what)
	}
	defer resp.Body.Close()
	_, _ = io.CopyN(io.Discard, resp.Body, maxVerifyResponse) // so that the connection can be reused; the body does not matter
	status := resp.StatusCode
	switch {
	case resp.Header.Get("Age") != "": // the response comes from a cache, perhaps to another token
		return false, v.unknown(httpapi.InvalidResponse, "the answer comes from a cache")
	case status >= 200 && status <= 299:
		return true, nil
	case slices.Contains(v.rejectedStatus, status):
		return false, nil
	}
	return false, v.unknown(httpapi.StatusOutcome(status), fmt.Sprintf("HTTP %d", status))
}

func (v *endpointVerifier) unknown(outcome, what string) error {
	return httpapi.Failed("token check: the platform gives no verdict", outcome, what)
}

// libraryVerifier verifies with Clerk's own library, as a platform that uses it would, by Clerk's clock: it judges tokens and
// keys, and a difference between Clerk's clock and ours is no fault of theirs.
type libraryVerifier struct {
	issuer  string
	parties []string
	now     func() time.Time
}

var (
	errNoKeys      = errors.New("token check: no verdict without Clerk's signing keys")
	errUnusableKey = errors.New("token check: no verdict: the token is signed with a key of a kind or size that is not supported")
)

func (v *libraryVerifier) verify(ctx context.Context, token *sessionToken, keys keySet) (bool, error) {
	if keys == nil {
		return false, errNoKeys
	}
	key, ok := keys[token.keyID]
	if !ok {
		return false, nil
	}
	if !key.usable() {
		return false, errUnusableKey
	}
	_, err := jwt.Verify(ctx, &jwt.VerifyParams{
		Token:    token.text,
		JWK:      key.key,
		Clock:    clock(func() time.Time { return token.issuerClock(v.now()) }),
		ProxyURL: &v.issuer, // the only valid issuer: without it the library accepts any that looks like Clerk's
		// A token without a party is for all of them, as Clerk's other libraries have it.
		AuthorizedPartyHandler: func(party string) bool { return party == "" || slices.Contains(v.parties, party) },
	})
	return err == nil, nil // no request is sent: every error is a rejection
}

// clock implements the library's interface for clocks.
type clock func() time.Time

func (c clock) Now() time.Time { return c() }
