package mandrill

import (
	"maps"
	"math"
	"time"
)

// Counts are what became of messages. Nobody opens or clicks.
type Counts struct {
	Sent        int64 `json:"sent"`
	HardBounces int64 `json:"hard_bounces"`
	SoftBounces int64 `json:"soft_bounces"`
	Rejects     int64 `json:"rejects"`
	Complaints  int64 `json:"complaints"`
	Unsubs      int64 `json:"unsubs"`
	Opens       int64 `json:"opens"`
	Clicks      int64 `json:"clicks"`
}

func (c *Counts) add(o Counts) {
	c.Sent += o.Sent
	c.HardBounces += o.HardBounces
	c.SoftBounces += o.SoftBounces
	c.Rejects += o.Rejects
	c.Complaints += o.Complaints
}

// daysKept is the window of what is recent. Days are those of UTC: an assumption.
const daysKept = 30

// history is counts by day.
type history struct {
	allTime Counts
	days    map[int64]*Counts
}

func day(t time.Time) int64 { return t.Unix() / int64(24*time.Hour/time.Second) }

func (h *history) add(now time.Time, c Counts) {
	h.allTime.add(c)
	if h.days == nil {
		h.days = map[int64]*Counts{}
	}
	today := h.days[day(now)]
	if today == nil {
		today = &Counts{}
		h.days[day(now)] = today
		maps.DeleteFunc(h.days, func(d int64, _ *Counts) bool { return d <= day(now)-daysKept })
	}
	today.add(c)
}

// recent adds up the last days, today included.
func (h *history) recent(now time.Time) Counts {
	var sum Counts
	for d, c := range h.days {
		if d > day(now)-daysKept {
			sum.add(*c)
		}
	}
	return sum
}

// bestReputation is that of an account whose messages all arrive.
const bestReputation = 98

// reputation falls with the share of the recent messages that bounced or were complained about. How Mandrill computes it is
// not published.
func (h *history) reputation(now time.Time) int {
	c := h.recent(now)
	if c.Sent == 0 {
		return bestReputation
	}
	bad := float64(c.HardBounces+2*c.Complaints) / float64(c.Sent)
	return max(0, bestReputation-int(math.Round(200*bad)))
}
