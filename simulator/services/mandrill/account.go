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
	ID, Name    string
	Notes       string
	CustomQuota int       // messages an hour; 0: the account's
	CreatedAt   time.Time // zero: now
}

type subaccount struct {
	Subaccount
	paused  bool
	history history
	hour    hour
	queue   []*message
}

// Domain is a sending domain, whose records are all right when it is added.
type Domain struct {
	Name      string
	CreatedAt time.Time // zero: now
}

type domain struct {
	Domain
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
func (f *Fake) AddDomain(d Domain) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if d.CreatedAt.IsZero() {
		d.CreatedAt = f.now()
	}
	f.domains = append(f.domains, &domain{Domain: d, broken: map[string]bool{}})
}

// BreakDomain makes the records of one mechanism of a domain wrong, or right again.
func (f *Fake) BreakDomain(name, mechanism string, broken bool) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !slices.Contains(Mechanisms(), mechanism) {
		return fmt.Errorf("mandrill: mechanism %q: %w: there are %s", mechanism, ErrUnknown, strings.Join(Mechanisms(), ", "))
	}
	for _, d := range f.domains {
		if d.Name == name {
			d.broken[mechanism] = broken
			return nil
		}
	}
	return fmt.Errorf("mandrill: domain %q: %w", name, ErrUnknown)
}

// record is a mechanism as the API writes it.
type record struct {
	Valid      bool    `json:"valid"`
	ValidAfter *string `json:"valid_after"`
	Error      *string `json:"error"`
}

// domainJSON is a domain as the API writes it.
type domainJSON struct {
	Domain       string  `json:"domain"`
	CreatedAt    string  `json:"created_at"`
	LastTestedAt string  `json:"last_tested_at"`
	SPF          record  `json:"spf"`
	DKIM         record  `json:"dkim"`
	DKIM2        record  `json:"dkim2"`
	DMARC        record  `json:"dmarc"`
	VerifiedAt   *string `json:"verified_at"`
	ValidSigning bool    `json:"valid_signing"`
	VerifyTXTKey string  `json:"verify_txt_key"`
}

// json needs the lock.
func (d *domain) json(now time.Time) domainJSON {
	created := stamp(d.CreatedAt)
	mechanism := func(name string) record {
		if d.broken[name] {
			message := "No valid " + strings.ToUpper(name) + " record found"
			return record{Error: &message}
		}
		return record{Valid: true}
	}
	v := domainJSON{
		Domain: d.Name, CreatedAt: created, LastTestedAt: stamp(now), VerifiedAt: &created, VerifyTXTKey: "mandrill_verify.fake",
		SPF: mechanism("spf"), DKIM: mechanism("dkim"), DKIM2: mechanism("dkim2"), DMARC: mechanism("dmarc"),
	}
	v.ValidSigning = v.SPF.Valid && v.DKIM.Valid
	return v
}

// stamp is a time as the API writes it.
func stamp(t time.Time) string { return t.UTC().Format(time.DateTime) }

func stampOrNull(t time.Time) *string {
	if t.IsZero() {
		return nil
	}
	s := stamp(t)
	return &s
}
