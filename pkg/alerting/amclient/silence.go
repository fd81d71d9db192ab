package amclient

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"time"
)

// The states of a silence.
const (
	Active  = "active"
	Pending = "pending"
	Expired = "expired"
)

// Silence suppresses the notifications of the alerts that it matches, for a time.
type Silence struct {
	ID        string        `json:"id,omitempty"`
	Matchers  []Matcher     `json:"matchers"`
	StartsAt  time.Time     `json:"startsAt"`
	EndsAt    time.Time     `json:"endsAt"`
	UpdatedAt time.Time     `json:"updatedAt"`
	CreatedBy string        `json:"createdBy"`
	Comment   string        `json:"comment"`
	Status    SilenceStatus `json:"status"`
}

// SilenceStatus has the state of a silence.
type SilenceStatus struct {
	State string `json:"state"`
}

// Active reports whether the silence is active.
func (s *Silence) Active() bool { return s.Status.State == Active }

// UnmarshalJSON decodes and validates a silence.
func (s *Silence) UnmarshalJSON(text []byte) error {
	type plain Silence
	if err := json.Unmarshal(text, (*plain)(s)); err != nil {
		return err
	}
	switch {
	case s.ID == "", len(s.Matchers) == 0, s.StartsAt.IsZero(), s.EndsAt.IsZero():
		return errors.New("a silence has no ID, matchers, start or end")
	case s.Status.State != Active && s.Status.State != Pending && s.Status.State != Expired:
		return fmt.Errorf("silence %s is %q", s.ID, s.Status.State)
	}
	return nil
}

// postable returns the silence without the fields that only Alertmanager sets.
func (s *Silence) postable() any {
	return struct {
		ID        string    `json:"id,omitempty"`
		Matchers  []Matcher `json:"matchers"`
		StartsAt  time.Time `json:"startsAt"`
		EndsAt    time.Time `json:"endsAt"`
		CreatedBy string    `json:"createdBy"`
		Comment   string    `json:"comment"`
	}{s.ID, s.Matchers, s.StartsAt, s.EndsAt, s.CreatedBy, s.Comment}
}

// Matcher is a condition on the value of one label. The value of a missing label is empty.
type Matcher struct {
	Name    string `json:"name"`
	Value   string `json:"value"`
	IsRegex bool   `json:"isRegex"` // matches the whole value
	IsEqual bool   `json:"isEqual"` // false: the value must differ
}

// String writes the matcher as amtool does.
func (m Matcher) String() string {
	operator := map[[2]bool]string{{false, true}: "=", {false, false}: "!=", {true, true}: "=~", {true, false}: "!~"}
	return fmt.Sprintf("%s%s%q", m.Name, operator[[2]bool{m.IsRegex, m.IsEqual}], m.Value)
}

// Selector is a list of compiled matchers.
type Selector []condition

type condition struct {
	Matcher
	regex *regexp.Regexp
}

// Select compiles matchers.
func Select(matchers ...Matcher) (Selector, error) {
	s := make(Selector, len(matchers))
	for i, m := range matchers {
		s[i].Matcher = m
		if m.IsRegex {
			regex, err := regexp.Compile("^(?:" + m.Value + ")$")
			if err != nil {
				return nil, fmt.Errorf("matcher %s: %w", m, err)
			}
			s[i].regex = regex
		}
	}
	return s, nil
}

// Matches reports whether labels fulfil all conditions, as Alertmanager decides it.
func (s Selector) Matches(labels map[string]string) bool {
	for i := range s {
		c := &s[i]
		value := labels[c.Name]
		matches := value == c.Value
		if c.regex != nil {
			matches = c.regex.MatchString(value)
		}
		if matches != c.IsEqual {
			return false
		}
	}
	return true
}
