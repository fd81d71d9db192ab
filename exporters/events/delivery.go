package events

import (
	"slices"

	"google.golang.org/protobuf/types/known/timestamppb"
)

// What happens to a shard between batches. All of it holds the ledger's lock first, and then the shard's.

// Assign makes the shard count from an offset on, with nothing pending. A shard that is assigned is revoked first.
// Follow with Warm for the offsets before it.
func (s *Shard) Assign(start int64) {
	s.ledger.mu.Lock()
	defer s.ledger.mu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.revoke()
	s.assigned = true
	s.next, s.frozenOffset, s.baseOffset, s.delivered = start, start, start, start
	s.open()
}

// Revoke drops what is pending, because the partition's next owner counts it. What was delivered stays on the page, and
// so does what a scrape in flight exposes, because nobody knows yet whether it arrives: settle the scrape first.
func (s *Shard) Revoke() {
	s.ledger.mu.Lock()
	defer s.ledger.mu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.revoke()
}

func (s *Shard) revoke() {
	s.deliver()
	s.generation++
	s.grow()
	for _, i := range s.dirty {
		c := &s.cells[i]
		words := c.series.metric.words
		copy(s.now[c.at+1:c.at+1+words], s.base[c.at+1:])
		copy(s.frozen[c.at+1:c.at+1+words], s.base[c.at+1:]) // a scrape may have frozen it in vain
		s.now[c.at] &^= dirtyBit
	}
	s.dirty = s.dirty[:0]
	s.assigned = false
	s.end, s.newest = -1, 0
	s.window.clear()
	clear(s.gauges)
}

// zero sets all numbers back to 0, and makes all cells such that were never exposed. The shard is revoked.
func (s *Shard) zero() {
	for i := range s.cells {
		c := &s.cells[i]
		words := c.series.metric.words
		clear(s.now[c.at+1 : c.at+1+words])
		clear(s.frozen[c.at+1 : c.at+1+words])
		clear(s.base[c.at+1 : c.at+1+words])
	}
	clear(s.exemplars)
	clear(s.state)
}

// Next is the offset up to which the shard has counted: where to read on.
func (s *Shard) Next() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.next
}

// DeliveredOffset is the offset up to which the numbers were delivered for sure: what may be committed.
func (s *Shard) DeliveredOffset() int64 {
	s.ledger.mu.Lock()
	defer s.ledger.mu.Unlock()
	return s.delivered
}

// ExposedOffset is the offset up to which some scrape was answered, whether it arrived or not, and where the shard
// started. Nothing was exposed since the start when they are the same.
func (s *Shard) ExposedOffset() int64 {
	s.ledger.mu.Lock()
	defer s.ledger.mu.Unlock()
	return s.baseOffset
}

// SetEnd tells the offset at which the partition ends, for the lag.
func (s *Shard) SetEnd(offset int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.end = offset
}

// freeze makes what is pending in flight. It costs as much as cells have changed.
func (s *Shard) freeze(now int64, created *timestamppb.Timestamp) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.grow()
	for _, i := range s.dirty {
		c := &s.cells[i]
		words := c.series.metric.words
		copy(s.frozen[c.at+1:c.at+1+words], s.now[c.at+1:])
		s.now[c.at] &^= dirtyBit
		s.touched[i] = now
		if s.state[i] == unseen {
			s.state[i] = flying
		}
		if c.series.created == nil {
			c.series.created = created
		}
		if c.exemplars >= 0 {
			c.series.show(s.exemplars[c.exemplars : c.exemplars+words-1])
		}
	}
	s.inFlight, s.dirty = s.dirty, slices.Grow(s.inFlight[:0], cap(s.cells))
	s.frozenOffset = s.next
}

// grow gives the cells that are new their places in the other two.
func (s *Shard) grow() {
	s.frozen = append(s.frozen, make([]uint64, len(s.now)-len(s.frozen))...)
	s.base = append(s.base, make([]uint64, len(s.now)-len(s.base))...)
	s.state = append(s.state, make([]cellState, len(s.cells)-len(s.state))...)
	s.touched = append(s.touched, make([]int64, len(s.cells)-len(s.touched))...)
}

// deliver makes what is in flight part of the base.
func (s *Shard) deliver() {
	for _, i := range s.inFlight {
		c := &s.cells[i]
		words := c.series.metric.words
		copy(s.base[c.at+1:c.at+1+words], s.frozen[c.at+1:])
		s.state[i] = exposed
	}
	s.inFlight = s.inFlight[:0]
	s.baseOffset = s.frozenOffset
}

// takeBack makes what is in flight pending again: now has it anyway, so that the next freeze only has to look at it.
func (s *Shard) takeBack() {
	for _, i := range s.inFlight {
		s.touch(s.cells[i].at)
		if s.state[i] == flying {
			s.state[i] = unseen
		}
	}
	s.inFlight = s.inFlight[:0]
	s.frozenOffset = s.baseOffset
}

// drop removes the cells of series that have retired. Nothing is in flight.
func (s *Shard) drop(gone func(*series) bool) {
	s.grow()
	old := struct {
		cells             []cell
		now, frozen, base []uint64
		state             []cellState
		touched           []int64
		exemplars         []exemplar
		records           [outcomes]int
		delay             int
	}{s.cells, s.now, s.frozen, s.base, s.state, s.touched, s.exemplars, s.records, s.delay}
	s.table = newCellTable(64)
	s.cells, s.now, s.frozen, s.base, s.state, s.touched, s.dirty, s.exemplars = nil, nil, nil, nil, nil, nil, nil, nil
	for i := range old.cells {
		c := &old.cells[i]
		if gone(c.series) {
			continue
		}
		words := c.series.metric.words
		at := s.newCell(c.series)
		s.grow()
		copy(s.now[at+1:], old.now[c.at+1:c.at+1+words])
		copy(s.frozen[at+1:], old.frozen[c.at+1:c.at+1+words])
		copy(s.base[at+1:], old.base[c.at+1:c.at+1+words])
		n := len(s.cells) - 1
		s.state[n], s.touched[n] = old.state[i], old.touched[i]
		if old.now[c.at]&dirtyBit != 0 {
			s.touch(at)
		}
		if c.exemplars >= 0 {
			s.cells[n].exemplars = len(s.exemplars)
			s.exemplars = append(s.exemplars, old.exemplars[c.exemplars:c.exemplars+words-1]...)
		}
		for o := range s.records {
			if old.records[o] == c.at {
				s.records[o] = at
			}
		}
		if old.delay == c.at {
			s.delay = at
		}
	}
	for k := range s.gauges {
		if gone(k.series) {
			delete(s.gauges, k)
		}
	}
}
