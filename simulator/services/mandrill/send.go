package mandrill

import (
	"fmt"
	"strings"
	"time"

	"github.com/consignwatch/consignwatch/simulator/services/wire"
)

// Message is an e-mail to one address.
type Message struct {
	Subaccount string // its id; empty: none
	To, From   string
	Subject    string
	Template   string
	Tags       []string
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
	id                      string
	sentAt                  time.Time
	state                   string // sent, bounced, rejected or queued
	opened, clicked, closed bool
}

// messagesKept is how many messages can still be opened or complained about.
const messagesKept = 20_000

// hour counts messages in a clock hour, the window of the hourly quota: an assumption.
type hour struct {
	begun time.Time
	sent  int
}

func (h *hour) count(now time.Time) int {
	if begun := now.Truncate(time.Hour); !begun.Equal(h.begun) {
		h.begun, h.sent = begun, 0
	}
	return h.sent
}

// Send takes a message.
func (f *Fake) Send(m Message) (Sent, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := f.subaccounts[m.Subaccount]
	if m.Subaccount != "" && s == nil {
		return Sent{}, fmt.Errorf("mandrill: subaccount %q: %w", m.Subaccount, ErrUnknown)
	}
	f.drain()
	added := &message{Message: m, id: strings.ReplaceAll(wire.UUID(), "-", ""), sentAt: f.now()}
	f.remember(added)
	sent := Sent{Email: m.To, ID: added.id}
	because := func(reason string) *string { return &reason }
	switch {
	case f.denied[m.To]:
		added.state, added.closed = "rejected", true
		f.count(added, Counts{Rejects: 1})
		f.event(added, "reject", nil)
		sent.RejectReason = because("hard-bounce")
	case s != nil && s.paused:
		added.state, sent.QueuedReason = "queued", because("sending-paused")
		s.queue = append(s.queue, added)
	case !f.withinQuota(s):
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

func (f *Fake) remember(m *message) {
	if f.messages[m.id] = m; len(f.messages) > messagesKept {
		delete(f.messages, f.order[0])
		f.order = f.order[1:]
	}
	f.order = append(f.order, m.id)
}

// withinQuota says whether the quotas allow another message.
func (f *Fake) withinQuota(s *subaccount) bool {
	if f.switches.QuotaUsedUp {
		return false
	}
	now := f.now()
	if s != nil && s.CustomQuota > 0 && s.hour.count(now) >= s.CustomQuota {
		return false
	}
	return f.hour.count(now) < f.config.HourlyQuota
}

// drain sends what waits, as far as the quotas allow.
func (f *Fake) drain() {
	var waiting []*message
	for _, s := range f.subaccounts {
		if !s.paused && len(s.queue) > 0 {
			f.queue = append(f.queue, s.queue...)
			s.queue = nil
		}
	}
	for _, m := range f.queue {
		if f.withinQuota(f.subaccounts[m.Subaccount]) {
			f.deliver(m)
		} else {
			waiting = append(waiting, m)
		}
	}
	f.queue = waiting
}

// deliver sends a message, or has it bounce: evenly spread, so that the share is exact.
func (f *Fake) deliver(m *message) {
	now := f.now()
	f.hour.count(now)
	f.hour.sent++
	if s := f.subaccounts[m.Subaccount]; s != nil {
		s.hour.count(now)
		s.hour.sent++
	}
	m.state = "sent"
	f.count(m, Counts{Sent: 1})
	f.event(m, "send", nil)
	f.bounceShare += f.switches.Bouncing
	if f.bounceShare >= 1 {
		f.bounceShare--
		f.bounce(m, true)
		return
	}
	f.event(m, "delivered", nil)
}

func (f *Fake) bounce(m *message, hard bool) {
	m.state, m.closed = "bounced", true
	if hard {
		f.denied[m.To] = true
		f.count(m, Counts{HardBounces: 1})
		f.event(m, "hard_bounce", map[string]any{"bounce_description": "bad_mailbox", "bgtools_code": 10, "diag": "smtp;550 5.1.1 The email account that you tried to reach does not exist."})
		return
	}
	f.count(m, Counts{SoftBounces: 1})
	f.event(m, "soft_bounce", map[string]any{"bounce_description": "mailbox_full", "bgtools_code": 22, "diag": "smtp;552 5.2.2 Over quota"})
}

// What can happen to a message that was sent.
const (
	Open        = "open"
	Click       = "click"
	Complain    = "spam"
	Unsubscribe = "unsub"
	SoftBounce  = "soft_bounce"
	HardBounce  = "hard_bounce"
)

// Trigger lets something happen to a message that was sent. Opening and clicking may happen again and again.
func (f *Fake) Trigger(id, what string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	m := f.messages[id]
	if m == nil || m.state != "sent" || m.closed {
		return fmt.Errorf("mandrill: %s of message %q: no such message was sent: %w", what, id, ErrUnknown)
	}
	switch what {
	case Open:
		f.count(m, Counts{Opens: 1, UniqueOpens: once(&m.opened)})
	case Click:
		f.count(m, Counts{Clicks: 1, UniqueClicks: once(&m.clicked)})
	case Complain:
		f.count(m, Counts{Complaints: 1})
	case Unsubscribe:
		f.count(m, Counts{Unsubs: 1})
	case SoftBounce, HardBounce:
		f.bounce(m, what == HardBounce)
		return nil
	default:
		return fmt.Errorf("mandrill: %q cannot happen to a message: %w", what, ErrUnknown)
	}
	f.event(m, what, nil)
	return nil
}

func once(done *bool) int64 {
	if *done {
		return 0
	}
	*done = true
	return 1
}

func (f *Fake) count(m *message, c Counts) {
	now := f.now()
	f.history.add(now, c)
	if s := f.subaccounts[m.Subaccount]; s != nil {
		s.history.add(now, c)
	}
}
