package shopify

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/json"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// maxBody is what a request may send.
const maxBody = 1 << 20

// grant is the client-credentials grant of OAuth. Shopify documents the grant; the names of its errors are an
// assumption.
func (x *exchange) grant(refused bool) {
	x.operation = "access_token"
	if x.r.Method != http.MethodPost {
		x.refuse(http.StatusNotFound)
		return
	}
	form, ok := x.credentials()
	if !ok {
		x.json("bad_request", http.StatusBadRequest, oauthError("invalid_request", "The request is missing a required parameter."))
		return
	}
	if form.Get("grant_type") != "client_credentials" {
		x.json("bad_request", http.StatusBadRequest, oauthError("unsupported_grant_type", "The grant type is not supported."))
		return
	}
	f := x.fake
	f.mu.Lock()
	a := f.shops[x.shop].app(form.Get("client_id"))
	if refused || form.Get("client_id") == "" || a == nil || a.ClientSecret == "" ||
		subtle.ConstantTimeCompare([]byte(a.ClientSecret), []byte(form.Get("client_secret"))) != 1 {
		f.mu.Unlock()
		x.json("auth", http.StatusBadRequest, oauthError("invalid_client", "Client authentication failed."))
		return
	}
	now := f.now()
	for value, t := range a.tokens { // so that the tokens of a shop do not pile up
		if !t.expires.IsZero() && !now.Before(t.expires) {
			delete(a.tokens, value)
		}
	}
	value := "shpat_" + strings.ToLower(rand.Text())
	a.tokens[value] = token{issued: now, expires: now.Add(a.TokenLife)}
	answer := object{{"access_token", value}, {"scope", strings.Join(a.Scopes, ",")}, {"expires_in", int64(a.TokenLife / time.Second)}}
	f.mu.Unlock()
	x.json("ok", http.StatusOK, answer)
}

func oauthError(name, description string) object {
	return object{{"error", name}, {"error_description", description}}
}

// credentials reads a form, or the same as JSON.
func (x *exchange) credentials() (url.Values, bool) {
	body, err := io.ReadAll(http.MaxBytesReader(x.w, x.r.Body, maxBody))
	if err != nil {
		return nil, false
	}
	switch kind, _, _ := mime.ParseMediaType(x.r.Header.Get("Content-Type")); kind {
	case "application/x-www-form-urlencoded":
		form, err := url.ParseQuery(string(body))
		return form, err == nil
	case "application/json":
		var fields map[string]string
		if json.Unmarshal(body, &fields) != nil {
			return nil, false
		}
		form := url.Values{}
		for name, value := range fields {
			form.Set(name, value)
		}
		return form, true
	}
	return nil, false
}

// authorise returns the app that a token belongs to, or nil. It needs the lock.
func (f *Fake) authorise(s *shop, value string) *app {
	for _, a := range s.apps {
		t, ok := a.tokens[value]
		if !ok {
			continue
		}
		expired := !t.expires.IsZero() && !f.now().Before(t.expires) ||
			f.all.TokenExpired && !t.issued.After(f.expiredSince) ||
			s.switches.TokenExpired && !t.issued.After(s.expiredSince)
		if expired {
			return nil
		}
		return a
	}
	return nil
}
