package mandrill

import (
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
)

// Message is an e-mail to one address.
type Message struct {
	Subaccount string // its id; empty: none
	To, From   string
	Subject    string
	Metadata   map[string]string
}

// Sent is what became of a message at first.
type Sent struct {
	Email        string  `json:"email"`
	Status       string  `json:"status"` // sent, queued or rejected
	RejectReason *string `json:"reject_reason"`
	QueuedReason *string `json:"queued_reason"`
	ID           string  `json:"_id"`
}

type message struct {
	Message
	id     string
	sentAt time.Time
	state  string // sent, bounced, rejected or queued
}

// messagesKept is how many messages can still bounce or be complained about.
const messagesKept = 20_000

// Send takes a message.
func (f *Fake) Send(m Message) (Sent, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := f.subaccounts[m.Subaccount]
	if m.Subaccount != "" && s == nil {
		return Sent{}, fmt.Errorf("mandrill: subaccount %q: %w", m.Subaccount, ErrUnknown)
	}
	f.drain()
	added := &message{Message: m, id: strings.ReplaceAll(uuid.NewString(), "-", ""), sentAt: f.now()}
	f.messages.Add(added.id, added)
	sent := Sent{Email: m.To, ID: added.id}
	because := func(reason string) *string { return &reason }
	switch {
	case f.denied[m.To]:
		added.state = "rejected"
		f.count(added, Counts{Rejects: 1})
		f.event(added, "reject")
		sent.RejectReason = because("hard-bounce")
	case s != nil && s.paused:
		added.state, sent.QueuedReason = "queued", because("sending-paused")
		s.queue = append(s.queue, added)
	case f.switches.QuotaUsedUp:
		added.state, sent.QueuedReason = "queued", because("hourly-quota-exhausted")
		f.queue = append(f.queue, added)
	default:
		f.deliver(added)
	}
	sent.Status = added.state
	if sent.Status == "bounced" { // the answer comes before the bounce
		sent.Status = "sent"
	}
	return sent, nil
}

// drain sends what waits, as far as the quota allows.
func (f *Fake) drain() {
	for _, s := range f.subaccounts {
		if !s.paused {
			f.queue = append(f.queue, s.queue...)
			s.queue = nil
		}
	}
	if f.switches.QuotaUsedUp {
		return
	}
	for _, m := range f.queue {
		f.deliver(m)
	}
	f.queue = nil
}

// deliver sends a message, or has it bounce: evenly spread, so that the share is exact.
func (f *Fake) deliver(m *message) {
	m.state = "sent"
	f.count(m, Counts{Sent: 1})
	f.event(m, "send")
	f.bounceShare += f.switches.Bouncing
	if f.bounceShare >= 1 {
		f.bounceShare--
		f.bounce(m, true)
		return
	}
	f.event(m, "delivered")
}

func (f *Fake) bounce(m *message, hard bool) {
	m.state = "bounced"
	if hard {
		f.denied[m.To] = true
		f.count(m, Counts{HardBounces: 1})
		f.event(m, HardBounce)
		return
	}
	f.count(m, Counts{SoftBounces: 1})
	f.event(m, SoftBounce)
}

// What can happen to a message that was sent.
const (
	Complain   = "spam"
	SoftBounce = "soft_bounce"
	HardBounce = "hard_bounce"
)

// Trigger lets something happen to a message that was sent.
func (f *Fake) Trigger(id, what string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	m, ok := f.messages.Peek(id)
	if !ok || m.state != "sent" {
		return fmt.Errorf("mandrill: %s of message %q: no such message was sent: %w", what, id, ErrUnknown)
	}
	switch what {
	case Complain:
		f.count(m, Counts{Complaints: 1})
		f.event(m, what)
	case SoftBounce, HardBounce:
		f.bounce(m, what == HardBounce)
	default:
		return fmt.Errorf("mandrill: %q cannot happen to a message: %w", what, ErrUnknown)
	}
	return nil
}

func (f *Fake) count(m *message, c Counts) {
	now := f.now()
	f.history.add(now, c)
	if s := f.subaccounts[m.Subaccount]; s != nil {
		s.history.add(now, c)
	}
}
