package mandrill

import (
	"math"
	"time"
)

// Counts are what became of messages.
type Counts struct {
	Sent         int64 `json:"sent"`
	HardBounces  int64 `json:"hard_bounces"`
	SoftBounces  int64 `json:"soft_bounces"`
	Rejects      int64 `json:"rejects"`
	Complaints   int64 `json:"complaints"`
	Unsubs       int64 `json:"unsubs"`
	Opens        int64 `json:"opens"`
	UniqueOpens  int64 `json:"unique_opens"`
	Clicks       int64 `json:"clicks"`
	UniqueClicks int64 `json:"unique_clicks"`
}

func (c *Counts) add(o Counts) {
	c.Sent += o.Sent
	c.HardBounces += o.HardBounces
	c.SoftBounces += o.SoftBounces
	c.Rejects += o.Rejects
	c.Complaints += o.Complaints
	c.Unsubs += o.Unsubs
	c.Opens += o.Opens
	c.UniqueOpens += o.UniqueOpens
	c.Clicks += o.Clicks
	c.UniqueClicks += o.UniqueClicks
}

// daysKept is the longest window. Days are those of UTC: an assumption.
const daysKept = 90

// history is counts by day.
type history struct {
	allTime Counts
	days    map[int64]*Counts
	first   time.Time // when the first message was sent
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
		for d := range h.days {
			if d < day(now)-daysKept {
				delete(h.days, d)
			}
		}
	}
	today.add(c)
	if c.Sent > 0 && h.first.IsZero() {
		h.first = now
	}
}

// last adds up so many days, today included.
func (h *history) last(now time.Time, days int64) Counts {
	var sum Counts
	for d, c := range h.days {
		if d > day(now)-days && d <= day(now) {
			sum.add(*c)
		}
	}
	return sum
}

// windows are the spans that the API reports.
type windows struct {
	Today      Counts `json:"today"`
	Last7Days  Counts `json:"last_7_days"`
	Last30Days Counts `json:"last_30_days"`
	Last60Days Counts `json:"last_60_days"`
	Last90Days Counts `json:"last_90_days"`
	AllTime    Counts `json:"all_time"`
}

func (h *history) windows(now time.Time) windows {
	return windows{h.last(now, 1), h.last(now, 7), h.last(now, 30), h.last(now, 60), h.last(now, 90), h.allTime}
}

// reputation falls with the share of the last 30 days' messages that bounced or were complained about. How Mandrill
// computes it is not published.
func (h *history) reputation(now time.Time, best int) int {
	c := h.last(now, 30)
	if c.Sent == 0 {
		return best
	}
	bad := float64(c.HardBounces+2*c.Complaints) / float64(c.Sent)
	return max(0, best-int(math.Round(200*bad)))
}
