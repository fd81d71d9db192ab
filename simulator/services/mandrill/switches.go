package mandrill

import "time"

// Switches are what goes wrong. Where several are on, the first in this order that answers the request wins.
type Switches struct {
	Slow            time.Duration // before any answer
	Down            bool          // connections end without an answer
	Status          int           // every answer has this HTTP status; 0: none
	InvalidResponse bool          // 200 with a body that is none
	ErrorName       string        // every answer is an error with this name, like GeneralError

	Backlog     int     // so many messages wait more than really do
	QuotaUsedUp bool    // the hourly quota is used up: every message waits
	Bouncing    float64 // the share of messages that bounce, on top of none
}

// Switch changes what is wrong.
func (f *Fake) Switch(change func(*Switches)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change(&f.switches)
}
