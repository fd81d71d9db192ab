package clerk

import (
	"cmp"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"
)

const (
	sessionLife     = 7 * 24 * time.Hour
	sessionsPerPage = 10
	maxSessions     = 500
)

// Session is a session of a user.
type Session struct {
	ID     string // empty: given by the fake
	UserID string
	// AuthorizedParty is the origin that the session's tokens name; empty: none.
	AuthorizedParty string
	CreatedAt       time.Time // zero: now
	ExpiresAt       time.Time // zero: seven days after it was created
}

type session struct {
	Session
	clientID  string
	endStatus string // revoked, ended or removed; empty: it was not
	updatedAt time.Time
}

func (s *session) status(now time.Time) string {
	switch {
	case s.endStatus != "":
		return s.endStatus
	case !now.Before(s.ExpiresAt):
		return "expired"
	}
	return "active"
}

// SignIn begins a session of a user, and sends session.created.
func (f *Fake) SignIn(s Session) (Session, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.signIn(s)
}

// signIn needs the lock.
func (f *Fake) signIn(s Session) (Session, error) {
	u := f.users[s.UserID]
	if u == nil {
		return Session{}, fmt.Errorf("clerk: user %q: %w", s.UserID, ErrUnknown)
	}
	s.ID = cmp.Or(s.ID, newID("sess"))
	if f.sessions[s.ID] != nil {
		return Session{}, fmt.Errorf("clerk: session %q is there already", s.ID)
	}
	if s.CreatedAt.IsZero() {
		s.CreatedAt = f.now()
	}
	if s.ExpiresAt.IsZero() {
		s.ExpiresAt = s.CreatedAt.Add(sessionLife)
	}
	u.LastSignInAt, u.LastActiveAt = s.CreatedAt, s.CreatedAt
	added := &session{Session: s, clientID: newID("client"), updatedAt: s.CreatedAt}
	f.sessions[s.ID] = added
	f.sendWebhook("session.created", f.sessionJSON(added))
	return s, nil
}

// End ends a session: ended by itself, removed by signing out, or revoked. It sends session.… of the same name.
func (f *Fake) End(sessionID, how string) error {
	if !slices.Contains([]string{"ended", "removed", "revoked"}, how) {
		return fmt.Errorf("clerk: a session cannot be %q", how)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	s := f.sessions[sessionID]
	if s == nil {
		return fmt.Errorf("clerk: session %q: %w", sessionID, ErrUnknown)
	}
	s.endStatus, s.updatedAt = how, f.now()
	f.sendWebhook("session."+how, f.sessionJSON(s))
	return nil
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
	v := sessionJSON{
		Object: "session", ID: s.ID, UserID: s.UserID, ClientID: s.clientID, Status: s.status(f.now()),
		ExpireAt: s.ExpiresAt.UnixMilli(), AbandonAt: s.CreatedAt.Add(30 * 24 * time.Hour).UnixMilli(),
		LastActiveAt: s.updatedAt.UnixMilli(), CreatedAt: s.CreatedAt.UnixMilli(), UpdatedAt: s.updatedAt.UnixMilli(),
	}
	return v
}

func (x *exchange) noSession() {
	x.fail("not_found", http.StatusNotFound, apiError{"Session not found", "No session was found with id " + x.id, "resource_not_found", object{}})
}

func (x *exchange) getSession() {
	f := x.fake
	f.mu.Lock()
	s := f.sessions[x.id]
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

func (x *exchange) revokeSession() {
	if x.fake.End(x.id, "revoked") != nil {
		x.noSession()
		return
	}
	x.getSession()
}

// createSession is for tests only, as Clerk has it: production instances refuse it.
func (x *exchange) createSession() {
	if x.fake.production() {
		x.fail("bad_request", http.StatusBadRequest, apiError{"Invalid request for environment",
			"Request only valid for development instances.", "request_invalid_for_environment", object{}})
		return
	}
	var asked struct {
		UserID string `json:"user_id"`
	}
	if !x.body(&asked) {
		return
	}
	f := x.fake
	f.mu.Lock()
	s, err := f.signIn(Session{UserID: asked.UserID})
	var v sessionJSON
	if err == nil {
		v = f.sessionJSON(f.sessions[s.ID])
	}
	f.mu.Unlock()
	if err != nil {
		x.fail("not_found", http.StatusNotFound, apiError{"not found", "No user was found with id " + asked.UserID, "resource_not_found", object{}})
		return
	}
	x.json("ok", http.StatusOK, v)
}

// listSessions needs a user or a client: there is no list of all.
func (x *exchange) listSessions() {
	query := x.r.URL.Query()
	user, client := query.Get("user_id"), query.Get("client_id")
	if user == "" && client == "" {
		x.badParameter("user_id", "form_param_missing", "or client_id must be included")
		return
	}
	page, err := strconv.Atoi(cmp.Or(query.Get("limit"), strconv.Itoa(sessionsPerPage)))
	if err != nil || page < 1 || page > maxSessions {
		x.badParameter("limit", "form_param_format_invalid", fmt.Sprintf("must be between 1 and %d", maxSessions))
		return
	}
	offset, err := strconv.Atoi(cmp.Or(query.Get("offset"), "0"))
	if err != nil || offset < 0 {
		x.badParameter("offset", "form_param_format_invalid", "must not be negative")
		return
	}
	f := x.fake
	f.mu.Lock()
	found := []sessionJSON{}
	for _, s := range f.sessions {
		if (user == "" || s.UserID == user) && (client == "" || s.clientID == client) &&
			(query.Get("status") == "" || s.status(f.now()) == query.Get("status")) {
			found = append(found, f.sessionJSON(s))
		}
	}
	f.mu.Unlock()
	slices.SortFunc(found, func(a, b sessionJSON) int {
		return cmp.Or(cmp.Compare(b.CreatedAt, a.CreatedAt), cmp.Compare(a.ID, b.ID))
	})
	total := len(found)
	found = found[min(offset, total):min(offset+page, total)]
	if query.Get("paginated") != "true" {
		x.json("ok", http.StatusOK, found)
		return
	}
	x.json("ok", http.StatusOK, struct {
		Data  []sessionJSON `json:"data"`
		Total int           `json:"total_count"`
	}{found, total})
}
