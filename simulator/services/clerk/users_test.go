package clerk

import (
	"testing"
	"time"
)

func TestUsersAreCounted(t *testing.T) {
	t.Parallel()
	r := newFixture(t, Config{})
	for _, u := range []User{
		{ID: "user_a", LastActiveAt: noon.Add(-time.Hour), CreatedAt: noon.Add(-time.Hour)},
		{ID: "user_b", LastActiveAt: noon.Add(-30 * time.Hour)},
		{ID: "user_c"},
	} {
		if _, err := r.AddUser(u); err != nil {
			t.Fatal(err)
		}
	}
	dayAgo := "1795348800000" // noon, a day before
	for query, want := range map[string]string{
		"":                                `{"object":"total_count","total_count":4}`,
		"?last_active_at_after=" + dayAgo: `{"object":"total_count","total_count":2}`,
	} {
		if got := r.ask(t, "GET", "/v1/users/count"+query, ""); got.Status != 200 || got.Body != want {
			t.Errorf("%s: %d %s, want %s", query, got.Status, got.Body, want)
		}
	}
}

func TestFiltersThatClerkDoesNotKnowAreRefused(t *testing.T) {
	t.Parallel()
	r := newFixture(t, Config{})
	for query, code := range map[string]string{
		"last_active=1":                 "form_param_unknown",
		"last_active_at_after=noon":     "form_param_format_invalid",
		"last_active_at_after=1&nope=1": "form_param_unknown",
	} {
		got := r.ask(t, "GET", "/v1/users/count?"+query, "")
		if e := errorOf(t, got); got.Status != 422 || e.Code != code {
			t.Errorf("%s: %d %s, want %s", query, got.Status, got.Body, code)
		}
	}
}
