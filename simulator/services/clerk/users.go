package clerk

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/consignwatch/consignwatch/simulator/services/wire"
)

// ErrUnknown says that there is no such user or session.
var ErrUnknown = errors.New("not known")

// User is a user.
type User struct {
	ID            string // empty: given by the fake
	Email         string
	CreatedAt     time.Time // zero: now
	LastActiveAt  time.Time // zero: never
	LastSignInAt  time.Time // zero: never
	Banned        bool
	Organizations []string // ids
}

// AddUser adds a user without a webhook.
func (f *Fake) AddUser(u User) (User, error) { return f.addUser(u, false) }

// SignUp adds a user, and sends user.created.
func (f *Fake) SignUp(u User) (User, error) { return f.addUser(u, true) }

func (f *Fake) addUser(u User, notify bool) (User, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if u.ID == "" {
		u.ID = newID("user")
	}
	if f.users[u.ID] != nil {
		return User{}, fmt.Errorf("clerk: user %q is there already", u.ID)
	}
	if u.CreatedAt.IsZero() {
		u.CreatedAt = f.now()
	}
	added := u
	f.users[u.ID] = &added
	if notify {
		f.sendWebhook("user.created", object{"object": "user", "id": u.ID, "created_at": u.CreatedAt.UnixMilli(), "updated_at": u.CreatedAt.UnixMilli()})
	}
	return u, nil
}

// UpdateUser changes a user without a webhook: the time of the last activity, for example.
func (f *Fake) UpdateUser(id string, change func(*User)) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	u := f.users[id]
	if u == nil {
		return fmt.Errorf("clerk: user %q: %w", id, ErrUnknown)
	}
	change(u)
	u.ID = id
	return nil
}

// DeleteUser removes a user with all sessions, and sends user.deleted.
func (f *Fake) DeleteUser(id string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.users[id] == nil {
		return fmt.Errorf("clerk: user %q: %w", id, ErrUnknown)
	}
	delete(f.users, id)
	for key, s := range f.sessions {
		if s.UserID == id {
			delete(f.sessions, key)
		}
	}
	f.sendWebhook("user.deleted", object{"object": "user", "id": id, "deleted": true})
	return nil
}

// filters of GET /v1/users/count: what a user has to be.
func filters() map[string]func(value string) (func(*User) bool, error) {
	instant := func(of func(*User) time.Time, holds func(at, limit time.Time) bool) func(string) (func(*User) bool, error) {
		return func(value string) (func(*User) bool, error) {
			ms, err := strconv.ParseInt(value, 10, 64)
			if err != nil {
				return nil, fmt.Errorf("must be an integer")
			}
			limit := time.UnixMilli(ms)
			return func(u *User) bool { at := of(u); return !at.IsZero() && holds(at, limit) }, nil
		}
	}
	after := func(at, limit time.Time) bool { return at.After(limit) }
	since := func(at, limit time.Time) bool { return !at.Before(limit) }
	before := func(at, limit time.Time) bool { return at.Before(limit) }
	active := func(u *User) time.Time { return u.LastActiveAt }
	created := func(u *User) time.Time { return u.CreatedAt }
	signedIn := func(u *User) time.Time { return u.LastSignInAt }
	return map[string]func(string) (func(*User) bool, error){
		"last_active_at_since":   instant(active, since),
		"last_active_at_after":   instant(active, after),
		"last_active_at_before":  instant(active, before),
		"created_at_after":       instant(created, after),
		"created_at_before":      instant(created, before),
		"last_sign_in_at_after":  instant(signedIn, after),
		"last_sign_in_at_before": instant(signedIn, before),
		"banned": func(value string) (func(*User) bool, error) {
			want, err := strconv.ParseBool(value)
			if err != nil {
				return nil, fmt.Errorf("must be a boolean")
			}
			return func(u *User) bool { return u.Banned == want }, nil
		},
		"query": func(value string) (func(*User) bool, error) {
			return func(u *User) bool {
				return strings.Contains(u.ID, value) || strings.Contains(strings.ToLower(u.Email), strings.ToLower(value))
			}, nil
		},
	}
}

// anyOf are filters that may be given several times: one of the values has to fit.
func anyOf() map[string]func(u *User, values []string) bool {
	return map[string]func(*User, []string) bool{
		"user_id":       func(u *User, values []string) bool { return slices.Contains(values, u.ID) },
		"email_address": func(u *User, values []string) bool { return slices.Contains(values, u.Email) },
		"organization_id": func(u *User, values []string) bool {
			return slices.ContainsFunc(u.Organizations, func(id string) bool { return slices.Contains(values, id) })
		},
	}
}

// countUsers answers GET /v1/users/count. Parameters that Clerk does not know are refused.
func (x *exchange) countUsers() {
	query, err := url.ParseQuery(x.r.URL.RawQuery)
	if err != nil {
		x.badParameter("query", "form_param_format_invalid", "cannot be read")
		return
	}
	single, several := filters(), anyOf()
	var holds []func(*User) bool
	for name, values := range query {
		if of, ok := several[name]; ok {
			holds = append(holds, func(u *User) bool { return of(u, values) })
			continue
		}
		parse, ok := single[name]
		if !ok {
			x.badParameter(name, "form_param_unknown", "is not a valid parameter for this request")
			return
		}
		condition, err := parse(values[0])
		if err != nil {
			x.badParameter(name, "form_param_format_invalid", err.Error())
			return
		}
		holds = append(holds, condition)
	}
	f := x.fake
	f.mu.Lock()
	n := 0
	for _, u := range f.users {
		if !slices.ContainsFunc(holds, func(condition func(*User) bool) bool { return !condition(u) }) {
			n++
		}
	}
	f.mu.Unlock()
	x.json("ok", http.StatusOK, struct {
		Object string `json:"object"`
		Total  int    `json:"total_count"`
	}{"total_count", n})
}

func (x *exchange) badParameter(name, code, problem string) {
	message := "is invalid"
	if code == "form_param_unknown" {
		message = "is unknown"
	}
	x.fail("bad_request", http.StatusUnprocessableEntity, apiError{message, name + " " + problem + ".", code, object{"param_name": name}})
}

// newID returns an id like user_….
func newID(kind string) string { return kind + "_" + strings.ReplaceAll(wire.UUID(), "-", "")[:27] }
