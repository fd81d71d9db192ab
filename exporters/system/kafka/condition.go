package kafka

import "strings"

// conditionWindow is the number of observations in the window of a condition: with one every 15 seconds, two and a half minutes.
const conditionWindow = 10

// The conditions of a partition, from good to bad: a group is in the worst of its partitions'. After Burrow's rules, which
// need no threshold: what counts is how offsets and lag move.
type condition uint8

const (
	// undecided: too few observations.
	undecided condition = iota
	// ok: nothing to read, or nothing at times, or the lag falls at times.
	conditionOK
	// lagging: the lag has never fallen.
	conditionLagging
	// stopped: there is something to read, nothing is committed, and the group has no members.
	conditionStopped
	// stalled: there is something to read, the group has members, and nothing is committed, or always the same.
	conditionStalled
	// rewound: an offset went back, and what had been read before is not read again yet.
	conditionRewound
)

func (c condition) String() string {
	return [...]string{"", "ok", "lagging", "stopped", "stalled", "rewound"}[c]
}

// progress summarizes the last observations of one partition in a few bytes, because there may be tens of thousands of
// partitions: not the observations themselves, but how many observations ago each event happened last.
type progress struct {
	committed, lag int64
	rewoundFrom    int64 // the committed offset before the rewind
	seen           uint8 // observations so far, counted up to the window
	sinceAllowed   uint8 // since the lag was within what is allowed
	sinceMoved     uint8 // since the offset moved
	sinceFell      uint8 // since the lag fell
	sinceRewound   uint8 // since the offset went back
}

// never is an age that no window reaches.
const never = 255

// observe adds an observation.
func (p *progress) observe(committed, lag, allowed int64) {
	if p.seen == 0 {
		*p = progress{committed: committed, lag: lag, sinceAllowed: never, sinceMoved: never, sinceFell: never, sinceRewound: never}
	}
	p.seen = min(p.seen+1, conditionWindow)
	for _, age := range []*uint8{&p.sinceAllowed, &p.sinceMoved, &p.sinceFell, &p.sinceRewound} {
		*age = min(*age, never-1) + 1
	}
	if committed < p.committed {
		if p.sinceRewound >= conditionWindow || p.committed > p.rewoundFrom {
			p.rewoundFrom = p.committed
		}
		p.sinceRewound = 0
	}
	if committed != p.committed {
		p.sinceMoved = 0
	}
	if lag < p.lag {
		p.sinceFell = 0
	}
	if lag <= allowed {
		p.sinceAllowed = 0
	}
	p.committed, p.lag = committed, lag
}

// condition returns the condition of the partition, whose group has members or is abandoned. After Burrow: a lag that is
// allowed is no reason to look further; then rewound, ok when the lag was within what is allowed at any time, stopped or
// stalled, lagging. Burrow distinguishes stopped and stalled by whether commits arrive, condition by whether there is a member.
func (p *progress) condition(allowed int64, abandoned bool) condition {
	full := p.seen >= conditionWindow
	switch {
	case p.seen == 0:
		return undecided
	case p.lag <= allowed:
		return conditionOK
	case p.sinceRewound < conditionWindow && p.committed < p.rewoundFrom:
		return conditionRewound
	case p.sinceAllowed < conditionWindow:
		return conditionOK
	case full && p.sinceMoved >= conditionWindow && abandoned:
		return conditionStopped
	case full && p.sinceMoved >= conditionWindow:
		return conditionStalled
	case p.sinceFell < conditionWindow:
		return conditionOK
	case full:
		return conditionLagging
	}
	return undecided
}

// groupState writes a state as the catalog does. Empty stays empty: the broker is too old for states.
func groupState(s string) string {
	switch s {
	case "":
		return ""
	case "PreparingRebalance":
		return "preparing_rebalance"
	case "CompletingRebalance", "AwaitingSync":
		return "completing_rebalance"
	case "NotReady":
		return "not_ready"
	case "Stable", "Assigning", "Reconciling", "Empty", "Dead":
		return strings.ToLower(s)
	}
	return "unknown"
}

func groupKind(s string) string { return strings.ToLower(s) }
