package aggregate

import (
	"slices"

	"google.golang.org/protobuf/types/known/timestamppb"
)

// The life cycle of a shard: assign, freeze, acknowledge, revoke. All methods take the Aggregator's lock first, and then
// the shard's.

// Assign makes the shard count from a start offset on, with nothing pending. A shard that is assigned is revoked first.
// Follow with Replay for the offsets before the start offset, or with DeferReplay. topicID is Kafka's id of the topic, which scrapes expose with
// the offset: offsets of a topic that was made anew have another one. It is empty when the brokers do not know ids.
func (s *Shard) Assign(start int64, topicID string) {
	s.aggregator.mu.Lock()
	defer s.aggregator.mu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.revoke()
	s.assigned, s.topicID = true, topicID
	s.start, s.replayed = start, true
	s.next, s.inFlightOffset, s.acknowledgedOffset = start, start, start
	s.initStreamSeries()
}

// Move makes a shard that is assigned go on at another offset, before or after the one where it stands, or in a topic of
// the same name that was made anew. What is pending stays: those records were there. A scrape in flight counts as
// acknowledged, and commits nothing. Follow with Replay.
func (s *Shard) Move(offset int64, topicID string) {
	s.aggregator.mu.Lock()
	defer s.aggregator.mu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.assigned {
		return
	}
	s.acknowledge()
	s.generation++
	s.topicID = topicID
	s.start, s.next, s.inFlightOffset, s.acknowledgedOffset = offset, offset, offset, offset
	s.end, s.newest = -1, 0
	s.dedup.clear()
}

// Next is the offset up to which the shard has counted.
func (s *Shard) Next() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.next
}

// Revoke drops the pending values, because the partition's next owner counts them. Delivered values stay exposed, and so
// do the values in flight, because it is unknown whether they arrive: finish the scrape first.
func (s *Shard) Revoke() {
	s.aggregator.mu.Lock()
	defer s.aggregator.mu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.revoke()
}

func (s *Shard) revoke() {
	s.acknowledge()
	s.generation++
	s.grow()
	for _, i := range s.dirty {
		c := &s.states[i]
		words := c.series.metric.Words
		copy(s.current[c.at+1:c.at+1+words], s.acknowledged[c.at+1:])
		s.current[c.at] &^= dirtyBit
	}
	s.dirty = s.dirty[:0]
	s.assigned = false
	s.end, s.newest = -1, 0
	s.dedup.clear()
	clear(s.gauges)
}

// reset sets all values to 0, and all series to unexposed. The shard is revoked.
func (s *Shard) reset() {
	for i := range s.states {
		c := &s.states[i]
		words := c.series.metric.Words
		clear(s.current[c.at+1 : c.at+1+words])
		clear(s.inFlight[c.at+1 : c.at+1+words])
		clear(s.acknowledged[c.at+1 : c.at+1+words])
	}
	clear(s.exemplars)
	clear(s.exposure)
}

// ExposedOffset is the offset up to which some scrape was answered, whether it arrived or not, and where the shard
// started. Nothing was exposed since the start when they are the same.
func (s *Shard) ExposedOffset() int64 {
	s.aggregator.mu.Lock()
	defer s.aggregator.mu.Unlock()
	return s.acknowledgedOffset
}

// SetEnd sets the end offset of the partition, for the lag.
func (s *Shard) SetEnd(offset int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.end = offset
}

// freeze makes the pending values in flight. Its cost is proportional to the number of dirty states.
func (s *Shard) freeze(now int64, created *timestamppb.Timestamp) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.grow()
	for _, i := range s.dirty {
		c := &s.states[i]
		words := c.series.metric.Words
		copy(s.inFlight[c.at+1:c.at+1+words], s.current[c.at+1:])
		s.current[c.at] &^= dirtyBit
		s.frozenAt[i] = now
		if s.exposure[i] == unexposed {
			s.exposure[i] = inFlight
		}
		if c.series.created == nil {
			c.series.created = created
		}
		if c.exemplars >= 0 {
			c.series.updateExemplars(s.exemplars[c.exemplars : c.exemplars+words-1])
		}
	}
	s.inFlightStates, s.dirty = s.dirty, slices.Grow(s.inFlightStates[:0], cap(s.states))
	s.inFlightOffset = s.next
}

// grow extends the slices that the Aggregator's lock guards to the series that are new.
func (s *Shard) grow() {
	s.inFlight = append(s.inFlight, make([]uint64, len(s.current)-len(s.inFlight))...)
	s.acknowledged = append(s.acknowledged, make([]uint64, len(s.current)-len(s.acknowledged))...)
	s.exposure = append(s.exposure, make([]exposureState, len(s.states)-len(s.exposure))...)
	s.frozenAt = append(s.frozenAt, make([]int64, len(s.states)-len(s.frozenAt))...)
}

// acknowledge makes the values in flight acknowledged.
func (s *Shard) acknowledge() {
	for _, i := range s.inFlightStates {
		c := &s.states[i]
		words := c.series.metric.Words
		copy(s.acknowledged[c.at+1:c.at+1+words], s.inFlight[c.at+1:])
		s.exposure[i] = exposed
	}
	s.inFlightStates = s.inFlightStates[:0]
	s.acknowledgedOffset = s.inFlightOffset
}

// removeSeries removes the series that were evicted. Nothing is in flight.
func (s *Shard) removeSeries(evicted func(*series) bool) {
	s.grow()
	old := struct {
		states                          []seriesState
		current, inFlight, acknowledged []uint64
		exposure                        []exposureState
		frozenAt                        []int64
		exemplars                       []exemplar
		records                         [outcomes]int
		delay                           int
	}{s.states, s.current, s.inFlight, s.acknowledged, s.exposure, s.frozenAt, s.exemplars, s.records, s.delay}
	s.index = newKeyIndex(64)
	s.states, s.current, s.inFlight, s.acknowledged, s.exposure, s.frozenAt, s.dirty, s.exemplars = nil, nil, nil, nil, nil, nil, nil, nil
	for i := range old.states {
		c := &old.states[i]
		if evicted(c.series) {
			continue
		}
		words := c.series.metric.Words
		at := s.addSeries(c.series)
		s.grow()
		copy(s.current[at+1:], old.current[c.at+1:c.at+1+words])
		copy(s.inFlight[at+1:], old.inFlight[c.at+1:c.at+1+words])
		copy(s.acknowledged[at+1:], old.acknowledged[c.at+1:c.at+1+words])
		n := len(s.states) - 1
		s.exposure[n], s.frozenAt[n] = old.exposure[i], old.frozenAt[i]
		if old.current[c.at]&dirtyBit != 0 {
			s.markDirty(at)
		}
		if c.exemplars >= 0 {
			s.states[n].exemplars = len(s.exemplars)
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
		if evicted(k.series) {
			delete(s.gauges, k)
		}
	}
}
