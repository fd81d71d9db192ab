package aggregate

import (
	"github.com/consignwatch/consignwatch/exporters/events/internal/cloudevent"
	"github.com/consignwatch/consignwatch/exporters/events/internal/mapping"
)

// Each process of the platform reports a gauge of the stream repeatedly: the process is a source. The gauge's value is
// the sum over the sources of the last report of each, until that expires. The exactness guarantee excludes gauges: they
// do not wait for a delivery, and are dropped with the partition.

type gaugeKey struct {
	series *series
	source uint64 // hash of the event's source
}

type gauge struct {
	value      float64
	reportedAt int64 // milliseconds since 1970
	expires    int64
}

// maxGauges bounds the memory of a partition against sources that keep changing their name.
const maxGauges = 10_000

// setGauge keeps the report of a source.
func (s *Shard) setGauge(f *mapping.Rule, key uint64, now int64) {
	series := s.aggregator.registry.get(f.Metric, key)
	reportedAt := now
	if s.eventTime > 0 {
		reportedAt = min(s.eventTime, now)
	}
	k := gaugeKey{series, s.dedup.hash(s.decoder.Attribute(cloudevent.SlotSource), nil)}
	if _, ok := s.gauges[k]; !ok && len(s.gauges) >= maxGauges {
		if now >= s.lastSweep+1000 { // expire visits all gauges: once a second is enough
			s.expire(now)
			s.lastSweep = now
		}
		if len(s.gauges) >= maxGauges {
			f.Metric.Dropped.Add(1)
			return
		}
	}
	s.gauges[k] = gauge{value: s.floats[f.Value], reportedAt: reportedAt, expires: reportedAt + f.TTL.Milliseconds()}
}

// expire deletes reports that have expired.
func (s *Shard) expire(now int64) {
	for k, g := range s.gauges {
		if g.expires <= now {
			delete(s.gauges, k)
		}
	}
}
