package business

import (
	"cmp"
	"math"
	"slices"
	"time"

	"github.com/consignwatch/consignwatch/pkg/catalog"
	"github.com/consignwatch/consignwatch/pkg/yamlfile"
)

// A profile is the number of orders, or of listed items, in each part of a sale event's duration. That of an ended sale event is
// read once and cached, as all of history is. The expected number of a live sale event is the mean of its client's earlier ones
// in the same part of their duration.
//
// The time is relative: an hour of a sale of three days is compared with forty minutes of one of two days. Sales of one client mostly last
// equally long, and then it is the same hour. The size is relative, too: with fewer consignors the expectation is lower, and with
// more it is not higher, so that a growing sale does not look too quiet.

const (
	minEarlier = 2 // sale events that an expectation needs: a single one may have been unusual
	maxEarlier = 4 // the latest sale events are used: older ones say little about today
	maxParts   = 8 // durations after the start: later parts are not used
)

// The columns of a row that feeds a profile, beside the mapping's own value.
const (
	partColumn  = "part"   // in which part of the time, counted from 0; NULL of what has not ended
	startColumn = "begins" // when part 0 begins
	lastsColumn = "lasts"  // how many seconds the parts of the mapping's `profile` last together
	sizeColumn  = "size"   // how large the sale event is: its consignors
)

// profilePart is the part of a profile that the value of a row belongs to.
type profilePart struct {
	part    int // less than 0: none
	start   float64
	seconds float64 // seconds that a part lasts
	size    float64
}

// readProfilePart reads the columns of a profile from a row. ok is false when they do not determine a part.
func (m *Mapping) readProfilePart(r *row) (p *profilePart, ok bool, err error) {
	p = &profilePart{part: -1}
	if part, known, err := r.number64(partColumn); err != nil {
		return nil, false, err
	} else if known {
		if part < 0 || part != math.Trunc(part) {
			return nil, false, r.rejected(catalog.NotANumber, partColumn, "%v is not the number of a part, counted from 0", part)
		}
		p.part = int(min(part, float64(maxParts*m.Profile))) // bounds the parts of a wrong date
	}
	var lasts float64
	for _, c := range []struct {
		name string
		into *float64
	}{{startColumn, &p.start}, {lastsColumn, &lasts}, {sizeColumn, &p.size}} {
		var known bool
		if *c.into, known, err = r.number64(c.name); err != nil || !known {
			return nil, false, err
		}
	}
	p.seconds = lasts / float64(m.Profile)
	return p, lasts > 0, nil
}

// checkProfile checks a mapping with the keys `profile` and `window`.
func (m *Mapping) checkProfile(f *yamlfile.File, key string, q *Query) error {
	switch {
	case m.Profile < 1 || m.Profile > 1000:
		return f.Errorf(key+".profile", "%d is not between 1 and 1000", m.Profile)
	case m.Window <= 0:
		return f.Errorf(key+".window", "must be longer than 0, like 1h: the metric is what should have come within it")
	case q.Per != "event" || q.Events != "all" || !slices.Equal(m.metric.LabelNames(), []string{"client", "event"}):
		return f.Errorf(key+".profile", "goes with `per: event`, `events: all`, and a metric with the labels client and event")
	case m.Value == "" || m.Combine != "" || m.Zero || m.MinorUnits:
		return f.Errorf(key+".profile", "goes with value, and without combine, zero and minor_units")
	}
	return nil
}

// profile is the profile of one sale event.
type profile struct {
	event *saleEvent
	profilePart
	labels []string  // of the sale event's own series
	parts  []float64 // empty for a live sale event
}

// until returns the cumulative number at a position, counted in parts. Within a part it grows linearly.
func (p *profile) until(x float64) float64 {
	sum := 0.0
	for i, n := range p.parts {
		sum += n * min(max(x-float64(i), 0), 1)
	}
	return sum
}

// profiles holds the profiles of one mapping.
type profiles struct {
	mapping *Mapping
	byEvent map[id]*profile
}

func (ps *profiles) add(e *saleEvent, v rowValue) {
	p := ps.byEvent[e.id]
	if p == nil {
		p = &profile{event: e, profilePart: *v.profilePart, labels: v.labels}
		ps.byEvent[e.id] = p
	}
	if v.profilePart.part < 0 || e.changing {
		return
	}
	if missing := v.profilePart.part + 1 - len(p.parts); missing > 0 {
		p.parts = append(p.parts, make([]float64, missing)...)
	}
	p.parts[v.profilePart.part] += v.value
}

// addExpected adds the expected numbers of live sale events, of clients whose history was read completely.
func (ps *profiles) addExpected(now time.Time, partial map[string]bool, sum *totals) error {
	past := map[string][]*profile{} // by client
	for _, p := range ps.byEvent {
		if !p.event.changing && len(p.parts) > 0 {
			past[p.event.client] = append(past[p.event.client], p)
		}
	}
	for _, earlier := range past {
		slices.SortFunc(earlier, func(a, b *profile) int {
			return cmp.Or(cmp.Compare(b.start, a.start), b.event.id.compare(a.event.id))
		})
	}
	for _, p := range ps.byEvent {
		if !p.event.changing || !p.event.exposed || partial[p.event.client] {
			continue
		}
		earlier := slices.DeleteFunc(slices.Clone(past[p.event.client]), func(e *profile) bool { return e.start >= p.start })
		if len(earlier) < minEarlier {
			continue
		}
		earlier = earlier[:min(len(earlier), maxEarlier)]
		seconds := float64(now.UnixMicro())/1e6 - p.start
		window := duration(ps.mapping.Window).Seconds()
		mean := 0.0
		for _, e := range earlier {
			came := e.until(seconds/p.seconds) - e.until(max(seconds-window, 0)/p.seconds)
			if e.size > 0 {
				came *= min(1, p.size/e.size)
			}
			mean += came / float64(len(earlier))
		}
		if err := sum.addOf(p.event.client, rowValue{mapping: ps.mapping, labels: p.labels, value: mean}); err != nil {
			return err
		}
	}
	return nil
}
