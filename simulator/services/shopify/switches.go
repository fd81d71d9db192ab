package shopify

import (
	"cmp"
	"slices"
	"time"
)

// AllTopics in LostTopics stands for every topic.
const AllTopics = "*"

// Switches are what goes wrong. Where several are on, the first in this order that answers the request wins.
type Switches struct {
	Slow            time.Duration // before any answer
	Down            bool          // connections end without an answer
	Status          int           // every answer has this HTTP status, with the body that belongs to it; 0: none
	Locked          bool          // 423
	Frozen          bool          // 402
	TokenExpired    bool          // tokens that were given out before this came on are refused
	InvalidResponse bool          // 200 with a body that is none: cut off, HTML, empty, of another shape, in turn
	ErrorCode       string        // 200 with an error of this code, like SHOP_INACTIVE or INTERNAL_SERVER_ERROR
	Throttled       bool          // another app has used up all points
	MissingScopes   []string      // these have been taken away from all apps
	LostTopics      []string      // webhooks of these topics (orders/create) are never sent
}

// with returns what is wrong when both apply.
func (s Switches) with(o Switches) Switches {
	return Switches{
		Slow:            max(s.Slow, o.Slow),
		Down:            s.Down || o.Down,
		Status:          cmp.Or(o.Status, s.Status),
		Locked:          s.Locked || o.Locked,
		Frozen:          s.Frozen || o.Frozen,
		TokenExpired:    s.TokenExpired || o.TokenExpired,
		InvalidResponse: s.InvalidResponse || o.InvalidResponse,
		ErrorCode:       cmp.Or(o.ErrorCode, s.ErrorCode),
		Throttled:       s.Throttled || o.Throttled,
		MissingScopes:   slices.Concat(s.MissingScopes, o.MissingScopes),
		LostTopics:      slices.Concat(s.LostTopics, o.LostTopics),
	}
}

func (s Switches) drops(topic string) bool {
	return slices.Contains(s.LostTopics, topic) || slices.Contains(s.LostTopics, AllTopics)
}
