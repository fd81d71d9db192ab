package clerk

import (
	"cmp"
	"fmt"
	"net/http"
	"time"
)

const sessionLife = 7 * 24 * time.Hour

// Session is a session of a user.
type Session struct {
	ID     string // empty: given by the fake
	UserID string
	// AuthorizedParty is the origin that the session's tokens name; empty: none.
	AuthorizedParty string
	ExpiresAt       time.Time // zero: seven days after it was created
	createdAt       time.Time
}

type session struct {
	Session
	clientID string
}

func (s *session) status(now time.Time) string {
	if !now.Before(s.ExpiresAt) {
		return "expired"
	}
	return "active"
}

// SignIn begins a session of a user, and sends session.created.
func (f *Fake) SignIn(s Session) (Session, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	u := f.users[s.UserID]
	if u == nil {
		return Session{}, fmt.Errorf("clerk: user %q: %w", s.UserID, ErrUnknown)
	}
	s.ID = cmp.Or(s.ID, newID("sess"))
	if f.sessions[s.ID] != nil {
		return Session{}, fmt.Errorf("clerk: session %q is there already", s.ID)
	}
	s.createdAt = f.now()
	if s.ExpiresAt.IsZero() {
		s.ExpiresAt = s.createdAt.Add(sessionLife)
	}
	u.LastActiveAt = s.createdAt
	added := &session{Session: s, clientID: newID("client")}
	f.sessions[s.ID] = added
	f.sendWebhook("session.created", f.sessionJSON(added))
	return s, nil
}

// sessionJSON is a session as the API writes it.
type sessionJSON struct {
	Object       string  `json:"object"`
	ID           string  `json:"id"`
	UserID       string  `json:"user_id"`
	ClientID     string  `json:"client_id"`
	Actor        *object `json:"actor"`
	Status       string  `json:"status"`
	Organization *string `json:"last_active_organization_id"`
	LastActiveAt int64   `json:"last_active_at"`
	ExpireAt     int64   `json:"expire_at"`
	AbandonAt    int64   `json:"abandon_at"`
	CreatedAt    int64   `json:"created_at"`
	UpdatedAt    int64   `json:"updated_at"`
}

// sessionJSON needs the lock.
func (f *Fake) sessionJSON(s *session) sessionJSON {
	created := s.createdAt.UnixMilli()
	return sessionJSON{
		Object: "session", ID: s.ID, UserID: s.UserID, ClientID: s.clientID, Status: s.status(f.now()),
		ExpireAt: s.ExpiresAt.UnixMilli(), AbandonAt: s.createdAt.Add(30 * 24 * time.Hour).UnixMilli(),
		LastActiveAt: created, CreatedAt: created, UpdatedAt: created,
	}
}

func (x *exchange) noSession() {
	x.fail("not_found", http.StatusNotFound, apiError{"Session not found", "No session was found with id " + x.r.PathValue("id"), "resource_not_found", object{}})
}

func (x *exchange) getSession() {
	f := x.fake
	f.mu.Lock()
	s := f.sessions[x.r.PathValue("id")]
	var v sessionJSON
	if s != nil {
		v = f.sessionJSON(s)
	}
	f.mu.Unlock()
	if s == nil {
		x.noSession()
		return
	}
	x.json("ok", http.StatusOK, v)
}
