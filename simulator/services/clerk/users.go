package clerk

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
)

// ErrUnknown says that there is no such user.
var ErrUnknown = errors.New("not known")

// User is a user.
type User struct {
	ID           string    // empty: given by the fake
	CreatedAt    time.Time // zero: now
	LastActiveAt time.Time // zero: never
}

// AddUser adds a user without a webhook.
func (f *Fake) AddUser(u User) (User, error) { return f.addUser(u, false) }

// SignUp adds a user, and sends user.created.
func (f *Fake) SignUp(u User) (User, error) { return f.addUser(u, true) }

func (f *Fake) addUser(u User, notify bool) (User, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	u.ID = cmp.Or(u.ID, newID("user"))
	if f.users[u.ID] != nil {
		return User{}, fmt.Errorf("clerk: user %q is there already", u.ID)
	}
	if u.CreatedAt.IsZero() {
		u.CreatedAt = f.now()
	}
	f.users[u.ID] = &u
	if notify {
		f.sendWebhook("user.created", object{"object": "user", "id": u.ID, "created_at": u.CreatedAt.UnixMilli(), "updated_at": u.CreatedAt.UnixMilli()})
	}
	return u, nil
}

// activeAfter is the one filter of GET /v1/users/count that the fake knows: those who were active after a time.
const activeAfter = "last_active_at_after"

// countUsers answers GET /v1/users/count. Parameters that it does not know are refused.
func (x *exchange) countUsers() {
	after := time.Time{}
	for name, values := range x.r.URL.Query() {
		ms, err := strconv.ParseInt(values[0], 10, 64)
		switch {
		case name != activeAfter:
			x.badParameter("is unknown", name+" is not a valid parameter for this request.", "form_param_unknown", name)
			return
		case err != nil:
			x.badParameter("is invalid", name+" must be an integer.", "form_param_format_invalid", name)
			return
		}
		after = time.UnixMilli(ms)
	}
	f := x.fake
	f.mu.Lock()
	n := 0
	for _, u := range f.users {
		if after.IsZero() || u.LastActiveAt.After(after) {
			n++
		}
	}
	f.mu.Unlock()
	x.json("ok", http.StatusOK, struct {
		Object string `json:"object"`
		Total  int    `json:"total_count"`
	}{"total_count", n})
}

func (x *exchange) badParameter(message, long, code, name string) {
	x.fail("bad_request", http.StatusUnprocessableEntity, apiError{message, long, code, object{"param_name": name}})
}

// newID returns an id like user_….
func newID(kind string) string {
	return kind + "_" + strings.ReplaceAll(uuid.NewString(), "-", "")[:27]
}
