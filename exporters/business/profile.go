package business

import (
	"cmp"
	"math"
	"slices"
	"time"

	"github.com/consignwatch/consignwatch/pkg/yamlfile"
)

// A profile is what a sale event brought in each part of its time: orders, or listed items. Of sale events that have ended it is read
// once and kept, as all of history is. What a sale event that goes on should bring by now is the mean of its client's earlier ones
// in the same part of their time.
//
// The time is relative: an hour of a sale of three days is compared with forty minutes of one of two days. Sales of one client mostly last
// equally long, and then it is the same hour. The size is relative, too: with fewer consignors less is expected, and with more not more,
// so that a sale that grows is not held against itself.

const (
	fewestEarlier = 2 // sale events that an expectation is drawn from: one may have been unusual
	mostEarlier   = 4 // the latest ones: older ones say little about today
	lastPart      = 8 // lengths after the beginning, later than anybody asks for
)

// The columns of a row that feeds a profile, beside the mapping's own value.
const (
	partColumn   = "part"   // in which part of the time, counted from 0; NULL of what has not ended
	beginsColumn = "begins" // when part 0 begins
	lastsColumn  = "lasts"  // how many seconds the parts of the mapping's `profile` last together
	sizeColumn   = "size"   // how large the sale event is: its consignors
)

// place is where in a profile the value of a row belongs.
type place struct {
	part   int // less than 0: none
	begins float64
	each   float64 // seconds that a part lasts
	size   float64
}

// readPlace takes the columns of a profile from a row. ok is false when they do not say where it belongs.
func (m *Mapping) readPlace(r *row) (p *place, ok bool, err error) {
	p = &place{part: -1}
	if part, known, err := r.number64(partColumn); err != nil {
		return nil, false, err
	} else if known {
		if part < 0 || part != math.Trunc(part) {
			return nil, false, r.parseError(partColumn, "%v is not the number of a part, counted from 0", part)
		}
		p.part = int(min(part, float64(lastPart*m.Profile))) // whatever a wrong date says
	}
	var lasts float64
	for _, c := range []struct {
		name string
		into *float64
	}{{beginsColumn, &p.begins}, {lastsColumn, &lasts}, {sizeColumn, &p.size}} {
		var known bool
		if *c.into, known, err = r.number64(c.name); err != nil || !known {
			return nil, false, err
		}
	}
	p.each = lasts / float64(m.Profile)
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

// profile is what one sale event brought.
type profile struct {
	event *saleEvent
	place
	labels []string  // of the sale event's own series
	parts  []float64 // empty of what has not ended
}

// until returns what had come by a place, counted in parts. Within a part it comes evenly.
func (p *profile) until(x float64) float64 {
	sum := 0.0
	for i, n := range p.parts {
		sum += n * min(max(x-float64(i), 0), 1)
	}
	return sum
}

// profiles collects those of one mapping.
type profiles struct {
	mapping *Mapping
	of      map[uint64]*profile
}

func (ps *profiles) add(e *saleEvent, v told) {
	p := ps.of[e.id]
	if p == nil {
		p = &profile{event: e, place: *v.place, labels: v.labels}
		ps.of[e.id] = p
	}
	if v.place.part < 0 || e.changing {
		return
	}
	if missing := v.place.part + 1 - len(p.parts); missing > 0 {
		p.parts = append(p.parts, make([]float64, missing)...)
	}
	p.parts[v.place.part] += v.value
}

// tell adds what the sale events that go on should have brought by now, of clients whose history is known as a whole.
func (ps *profiles) tell(now time.Time, partial map[string]bool, sum *totals) error {
	past := map[string][]*profile{} // by client
	for _, p := range ps.of {
		if !p.event.changing && len(p.parts) > 0 {
			past[p.event.client] = append(past[p.event.client], p)
		}
	}
	for _, earlier := range past {
		slices.SortFunc(earlier, func(a, b *profile) int {
			return cmp.Or(cmp.Compare(b.begins, a.begins), cmp.Compare(b.event.id, a.event.id))
		})
	}
	for _, p := range ps.of {
		if !p.event.changing || !p.event.exposed || partial[p.event.client] {
			continue
		}
		earlier := slices.DeleteFunc(slices.Clone(past[p.event.client]), func(e *profile) bool { return e.begins >= p.begins })
		if len(earlier) < fewestEarlier {
			continue
		}
		earlier = earlier[:min(len(earlier), mostEarlier)]
		seconds := float64(now.UnixMicro())/1e6 - p.begins
		window := duration(ps.mapping.Window).Seconds()
		mean := 0.0
		for _, e := range earlier {
			came := e.until(seconds/p.each) - e.until(max(seconds-window, 0)/p.each)
			if e.size > 0 {
				came *= min(1, p.size/e.size)
			}
			mean += came / float64(len(earlier))
		}
		if err := sum.add(told{mapping: ps.mapping, labels: p.labels, value: mean}); err != nil {
			return err
		}
	}
	return nil
}
