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

func (s *Session) status(now time.Time) string {
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
	f.sessions[s.ID] = &s
	f.sendWebhook("session.created", s.json(f.now()))
	return s, nil
}

// json returns a session as the API writes it.
func (s *Session) json(now time.Time) object {
	return object{
		"object": "session", "id": s.ID, "user_id": s.UserID, "status": s.status(now),
		"created_at": s.createdAt.UnixMilli(), "expire_at": s.ExpiresAt.UnixMilli(),
	}
}

func (x *exchange) noSession() {
	x.fail("not_found", http.StatusNotFound, apiError{"Session not found", "No session was found with id " + x.r.PathValue("id"), "resource_not_found", object{}})
}

func (x *exchange) getSession() {
	f := x.fake
	f.mu.Lock()
	s := f.sessions[x.r.PathValue("id")]
	f.mu.Unlock()
	if s == nil {
		x.noSession()
		return
	}
	x.json("ok", http.StatusOK, s.json(f.now())) // a session never changes
}
