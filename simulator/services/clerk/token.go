package clerk

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/consignwatch/consignwatch/simulator/services/wire"
)

// How long session tokens live.
const (
	tokenLife = 60 * time.Second
	// notBefore is how much earlier than its issue a token is valid already, for clocks that are slow. An assumption.
	notBefore = 10 * time.Second
)

// Claims are what a session token of version 2 says.
type Claims struct {
	AuthorizedParty string `json:"azp,omitempty"`
	ExpiresAt       int64  `json:"exp"` // Unix seconds, like the other times
	FactorAge       [2]int `json:"fva"` // minutes since the factors were verified; -1: never
	IssuedAt        int64  `json:"iat"`
	Issuer          string `json:"iss"`
	NotBefore       int64  `json:"nbf"`
	Session         string `json:"sid"`
	SessionStatus   string `json:"sts"`
	Subject         string `json:"sub"`
	Version         int    `json:"v"`
}

// mint needs the lock.
func (f *Fake) mint(s *Session, life time.Duration) string {
	now := f.now()
	key := f.keys[len(f.keys)-1]
	return sign(key, Claims{
		AuthorizedParty: s.AuthorizedParty, ExpiresAt: now.Add(life).Unix(),
		FactorAge: [2]int{int(now.Sub(s.createdAt).Minutes()), -1}, IssuedAt: now.Unix(), Issuer: f.config.Issuer,
		NotBefore: now.Add(-notBefore).Unix(), Session: s.ID, SessionStatus: s.status(now), Subject: s.UserID, Version: 2,
	})
}

func sign(key jose.JSONWebKey, claims Claims) string {
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: key}, new(jose.SignerOptions).WithType("JWT"))
	if err != nil {
		panic(fmt.Errorf("clerk: sign a token: %w", err)) // the key fits
	}
	signed, err := signer.Sign(wire.Marshal(claims))
	if err != nil {
		panic(fmt.Errorf("clerk: sign a token: %w", err)) // the key is large enough
	}
	text, _ := signed.CompactSerialize() // one signature is compact
	return text
}

// createToken answers POST /v1/sessions/{id}/tokens.
func (x *exchange) createToken() {
	var asked struct {
		ExpiresIn *float64 `json:"expires_in_seconds"`
	}
	if !x.body(&asked) {
		return
	}
	life := tokenLife
	if asked.ExpiresIn != nil {
		life = time.Duration(*asked.ExpiresIn * float64(time.Second))
	}
	f := x.fake
	f.mu.Lock()
	s := f.sessions[x.r.PathValue("id")]
	text := ""
	if s != nil && s.status(f.now()) == "active" {
		text = f.mint(s, life)
	}
	f.mu.Unlock()
	if text == "" {
		x.noSession()
		return
	}
	x.json("ok", http.StatusOK, struct {
		Object string `json:"object"`
		JWT    string `json:"jwt"`
	}{"token", text})
}

// body reads a JSON body, or answers. No body is an empty one.
func (x *exchange) body(into any) bool {
	err := json.NewDecoder(http.MaxBytesReader(x, x.r.Body, 1<<20)).Decode(into)
	if err == nil || errors.Is(err, io.EOF) {
		return true
	}
	x.fail("bad_request", http.StatusBadRequest, apiError{"Request body invalid",
		"The request body is invalid. Please consult the API documentation for more information.", "request_body_invalid", object{}})
	return false
}
