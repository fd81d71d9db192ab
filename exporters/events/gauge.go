package events

// A gauge of the stream is told again and again by each of its sources, the processes of the platform. Its value is the
// sum over the sources of what each has told last, unless that was too long ago. It is no part of exactness: it does
// not wait for a delivery, and is dropped with the partition.

type gaugeKey struct {
	series *series
	source uint64 // hash of the event's source
}

type gauge struct {
	value   float64
	told    int64 // milliseconds since 1970
	expires int64
}

// maxGauges bounds what sources that keep changing their name can cost a partition.
const maxGauges = 10_000

// set notes what a source has told.
func (s *Shard) set(f *feedPlan, key uint64, now int64, r *Record) {
	series := s.ledger.registry.get(f.metric, key)
	told := now
	if v := s.decoder.get(slotTime); v != nil && v.kind == text {
		if ms, ok := parseTime(v.b); ok {
			told = min(ms, now)
		}
	} else if r.Timestamp > 0 {
		told = min(r.Timestamp, now)
	}
	d := &s.decoder
	k := gaugeKey{series, s.window.hash(d.text(&d.slots[slotSource]), nil)}
	if _, ok := s.gauges[k]; !ok && len(s.gauges) >= maxGauges {
		if now >= s.swept+1000 { // the sweep looks at all of them
			s.expire(now)
			s.swept = now
		}
		if len(s.gauges) >= maxGauges {
			f.metric.dropped.Add(1)
			return
		}
	}
	s.gauges[k] = gauge{value: s.floats[f.value], told: told, expires: told + f.ttl.Milliseconds()}
}

// expire forgets what was told too long ago.
func (s *Shard) expire(now int64) {
	for k, g := range s.gauges {
		if g.expires <= now {
			delete(s.gauges, k)
		}
	}
}
