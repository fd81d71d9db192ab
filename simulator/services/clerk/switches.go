package clerk

import "time"

// Switches are what goes wrong with the Backend API. Where several are on, the first in this order that answers the
// request wins.
type Switches struct {
	Slow            time.Duration // before any answer
	Down            bool          // connections end without an answer
	Status          int           // every answer has this HTTP status; 0: none
	Throttled       bool          // the instance's rate limit is used up
	InvalidResponse bool          // 200 with a body that is none
	WebhooksLost    bool          // webhooks are never sent
}

// Switch changes what is wrong.
func (f *Fake) Switch(change func(*Switches)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change(&f.switches)
}
