package system

import "strings"

// conditionWindow is how many observations decide about a condition: with one every 15 seconds, two and a half minutes.
const conditionWindow = 10

// The conditions of a partition, from good to bad: a group is in the worst of its partitions'. After Burrow's rules, which
// need no threshold: what counts is how offsets and lag move.
type condition uint8

const (
	// undecided: too little was seen.
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

// course is what the last observations of one partition say, in so few bytes that tens of thousands are no burden: not the
// observations themselves, but how many of them ago each thing that counts was seen last.
type course struct {
	committed, lag int64
	before         int64 // the offset from which it went back
	seen           uint8 // observations so far, counted up to the window
	idle           uint8 // since the lag was within what is allowed
	moved          uint8 // since the offset moved
	fell           uint8 // since the lag fell
	back           uint8 // since the offset went back
}

// never is an age that no window reaches.
const never = 255

// observe takes the next observation.
func (c *course) observe(committed, lag, allowed int64) {
	if c.seen == 0 {
		*c = course{committed: committed, lag: lag, idle: never, moved: never, fell: never, back: never}
	}
	c.seen = min(c.seen+1, conditionWindow)
	for _, age := range []*uint8{&c.idle, &c.moved, &c.fell, &c.back} {
		*age = min(*age, never-1) + 1
	}
	if committed < c.committed {
		if c.back >= conditionWindow || c.committed > c.before {
			c.before = c.committed
		}
		c.back = 0
	}
	if committed != c.committed {
		c.moved = 0
	}
	if lag < c.lag {
		c.fell = 0
	}
	if lag <= allowed {
		c.idle = 0
	}
	c.committed, c.lag = committed, lag
}

// judge says in which condition the partition is, when its group has members or is abandoned. After Burrow: a lag that is
// allowed is no reason to look further; then rewound, ok when the lag was within what is allowed at any time, stopped or
// stalled, lagging. Burrow tells stopped from stalled by whether commits arrive; here it is by whether there is a member.
func (c *course) judge(allowed int64, abandoned bool) condition {
	full := c.seen >= conditionWindow
	switch {
	case c.seen == 0:
		return undecided
	case c.lag <= allowed:
		return conditionOK
	case c.back < conditionWindow && c.committed < c.before:
		return conditionRewound
	case c.idle < conditionWindow:
		return conditionOK
	case full && c.moved >= conditionWindow && abandoned:
		return conditionStopped
	case full && c.moved >= conditionWindow:
		return conditionStalled
	case c.fell < conditionWindow:
		return conditionOK
	case full:
		return conditionLagging
	}
	return undecided
}

// groupState writes a state as the catalog does. Empty stays empty: the broker does not say.
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
