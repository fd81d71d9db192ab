package shopify

import (
	"crypto/rand"
	"crypto/subtle"
	"maps"
	"net/http"
	"strings"
	"time"
)

// maxBody is what a request may send.
const maxBody = 1 << 20

// grant is the client-credentials grant of OAuth. Shopify documents the grant; the names of its errors are an
// assumption.
func (x *exchange) grant() {
	x.operation = "access_token"
	x.r.Body = http.MaxBytesReader(x.w, x.r.Body, maxBody)
	if x.r.PostFormValue("grant_type") != "client_credentials" {
		x.json("bad_request", http.StatusBadRequest, oauthError("unsupported_grant_type", "The grant type is not supported."))
		return
	}
	f := x.fake
	f.mu.Lock()
	s, secret := f.shops[x.shop], x.r.PostFormValue("client_secret")
	if s.App.ClientSecret == "" || x.r.PostFormValue("client_id") != s.App.ClientID ||
		subtle.ConstantTimeCompare([]byte(s.App.ClientSecret), []byte(secret)) != 1 {
		f.mu.Unlock()
		x.json("auth", http.StatusBadRequest, oauthError("invalid_client", "Client authentication failed."))
		return
	}
	now := f.now()
	maps.DeleteFunc(s.tokens, func(_ string, t token) bool { return t.ended(now) }) // so that they do not pile up
	value := "shpat_" + strings.ToLower(rand.Text())
	s.tokens[value] = token{issued: now, expires: now.Add(s.App.TokenLife)}
	answer := object{"access_token": value, "scope": strings.Join(s.App.Scopes, ","), "expires_in": int64(s.App.TokenLife / time.Second)}
	f.mu.Unlock()
	x.json("ok", http.StatusOK, answer)
}

func oauthError(name, description string) object {
	return object{"error": name, "error_description": description}
}

type token struct {
	issued  time.Time
	expires time.Time // zero: never
}

func (t token) ended(now time.Time) bool { return !t.expires.IsZero() && !now.Before(t.expires) }

// authorised says whether a token is valid. It needs the lock.
func (f *Fake) authorised(s *shop, value string) bool {
	t, ok := s.tokens[value]
	return ok && !t.ended(f.now()) && (!s.switches.TokenExpired || t.issued.After(s.expiredSince))
}
