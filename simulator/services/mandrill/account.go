package mandrill

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// ErrUnknown says that there is no such subaccount, domain, webhook or message.
var ErrUnknown = errors.New("not known")

// Subaccount is a part of the account with counters of its own: the platform has one for each client.
type Subaccount struct {
	ID        string
	CreatedAt time.Time // zero: now
}

type subaccount struct {
	Subaccount
	paused  bool
	history history
	queue   []*message
}

// domain is a sending domain, whose records are all right when it is added.
type domain struct {
	name   string
	broken map[string]bool // by mechanism
}

// Mechanisms that authenticate a domain, as the API names them.
func Mechanisms() []string { return []string{"spf", "dkim", "dkim2", "dmarc"} }

// AddSubaccount adds a subaccount.
func (f *Fake) AddSubaccount(s Subaccount) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if s.ID == "" || f.subaccounts[s.ID] != nil {
		return fmt.Errorf("mandrill: subaccount %q cannot be added: it is there, or has no id", s.ID)
	}
	if s.CreatedAt.IsZero() {
		s.CreatedAt = f.now()
	}
	f.subaccounts[s.ID] = &subaccount{Subaccount: s}
	return nil
}

// PauseSubaccount makes messages of a subaccount wait, or lets them go.
func (f *Fake) PauseSubaccount(id string, paused bool) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := f.subaccounts[id]
	if s == nil {
		return fmt.Errorf("mandrill: subaccount %q: %w", id, ErrUnknown)
	}
	s.paused = paused
	f.drain()
	return nil
}

// AddDomain adds a sending domain.
func (f *Fake) AddDomain(name string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.domains = append(f.domains, &domain{name, map[string]bool{}})
}

// BreakDomain makes the records of one mechanism of a domain wrong, or right again.
func (f *Fake) BreakDomain(name, mechanism string, broken bool) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	i := slices.IndexFunc(f.domains, func(d *domain) bool { return d.name == name })
	if i < 0 || !slices.Contains(Mechanisms(), mechanism) {
		return fmt.Errorf("mandrill: %s of domain %q: %w", mechanism, name, ErrUnknown)
	}
	f.domains[i].broken[mechanism] = broken
	return nil
}

// json returns a domain as the API writes it. It needs the lock.
func (d *domain) json(verified time.Time) map[string]any {
	v := map[string]any{"domain": d.name, "verified_at": stamp(verified), "valid_signing": !d.broken["spf"] && !d.broken["dkim"]}
	for _, mechanism := range Mechanisms() {
		v[mechanism] = map[string]any{"valid": true, "valid_after": nil, "error": nil}
		if d.broken[mechanism] {
			v[mechanism] = map[string]any{"valid": false, "valid_after": nil, "error": "No valid " + strings.ToUpper(mechanism) + " record found"}
		}
	}
	return v
}

// stamp is a time as the API writes it.
func stamp(t time.Time) string { return t.UTC().Format(time.DateTime) }
