package shopify

import (
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
	TokenExpired    bool          // tokens that were given out before this came on are refused
	InvalidResponse bool          // 200 with a body that is none: cut off, HTML, empty, of another shape, in turn
	ErrorCode       string        // 200 with an error of this code, like SHOP_INACTIVE or INTERNAL_SERVER_ERROR
	Throttled       bool          // another app has used up all points
	MissingScopes   []string      // these have been taken away from the app
	LostTopics      []string      // webhooks of these topics (orders/create) are never sent
}

// Switch changes what is wrong in a shop.
func (f *Fake) Switch(domain string, change func(*Switches)) error {
	return f.withShop(domain, func(s *shop) error {
		before := s.switches.TokenExpired
		change(&s.switches)
		if s.switches.TokenExpired && !before {
			s.expiredSince = f.now()
		}
		return nil
	})
}

func (s Switches) drops(topic string) bool {
	return slices.Contains(s.LostTopics, topic) || slices.Contains(s.LostTopics, AllTopics)
}
