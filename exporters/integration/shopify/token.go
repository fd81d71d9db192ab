package shopify

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/consignwatch/consignwatch/pkg/secret"
)

// accessToken is a token for the Admin API of one shop.
type accessToken struct {
	value   secret.Value
	expires time.Time // the zero time: never, or not known
	renew   time.Time // when to request a new one; the zero time: not before it is rejected
}

// tokenSource has the token of a shop: one from a file, or one that is requested for the credentials of an app.
type tokenSource struct {
	clientID     string // empty: the token is from a file, and there is no other
	clientSecret secret.Value

	mu      sync.Mutex // guards current: requests are sent one at a time, but the expiry is reported at any time
	current accessToken
}

// renewEarly is how long before its end a token is renewed; a short one in the last fifth of its life.
const renewEarly = 30 * time.Minute

func (t *tokenSource) requested() bool { return t.clientID != "" }

func (t *tokenSource) get() accessToken {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.current
}

func (t *tokenSource) set(a accessToken) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.current = a
}

// mask masks all secrets in a text that comes from outside.
func (t *tokenSource) mask(text string) string {
	return t.clientSecret.Mask(t.get().value.Mask(text))
}

// token is the token for the next request. A token that expires soon is renewed; while it is valid, that may fail.
func (s *shop) token(ctx context.Context) (accessToken, error) {
	current := s.tokens.get()
	now := time.Now()
	known := !current.value.IsZero()
	if !s.tokens.requested() || known && (current.renew.IsZero() || now.Before(current.renew)) {
		return current, nil
	}
	next, err := s.requestToken(ctx)
	if err != nil {
		if known && now.Before(current.expires) {
			s.log.Warn("the access token cannot be renewed, and is still valid", "until", current.expires, "err", err)
			return current, nil
		}
		return accessToken{}, err
	}
	return next, nil
}

// requestToken requests a token by the client credentials grant.
func (s *shop) requestToken(ctx context.Context) (accessToken, error) {
	form := url.Values{
		"grant_type":    {"client_credentials"},
		"client_id":     {s.tokens.clientID},
		"client_secret": {s.tokens.clientSecret.Reveal()},
	}
	var granted struct {
		AccessToken string  `json:"access_token"`
		ExpiresIn   float64 `json:"expires_in"`
	}
	err := s.send(ctx, operationToken, s.grantURL, "application/x-www-form-urlencoded", secret.Value{}, form.Encode(), func(r response) error {
		if r.status != http.StatusOK {
			return s.grantError(r)
		}
		if err := json.Unmarshal(r.body, &granted); err != nil || granted.AccessToken == "" || granted.ExpiresIn < 0 {
			// The body may hold a token under another name: it is not logged.
			return errorf(outcomeInvalidResponse, "the answer holds no access token")
		}
		return nil
	})
	if err != nil {
		return accessToken{}, err
	}
	a := accessToken{value: secret.New(granted.AccessToken)}
	if granted.ExpiresIn > 0 {
		life := time.Duration(min(granted.ExpiresIn, 10*365*24*3600) * float64(time.Second))
		a.expires = time.Now().Add(life)
		a.renew = a.expires.Add(-min(renewEarly, life/5))
	}
	s.tokens.set(a)
	return a, nil
}

// grantError classifies the OAuth errors with status 400.
func (s *shop) grantError(r response) error {
	var oauth struct {
		Error string `json:"error"`
	}
	if r.status == http.StatusBadRequest && json.Unmarshal(r.body, &oauth) == nil {
		if strings.HasSuffix(oauth.Error, "_client") || oauth.Error == "invalid_grant" || oauth.Error == "application_cannot_be_found" {
			return errorf(outcomeAuth, "no token for these credentials: %s", s.excerpt(r.body))
		}
	}
	return s.statusError(r)
}
