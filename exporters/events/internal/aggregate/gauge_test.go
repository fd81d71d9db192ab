package aggregate

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/consignwatch/consignwatch/exporters/events/internal/cloudevent"
)

func pool(source string, age time.Duration, now time.Time, inUse int) string {
	return fmt.Sprintf(`{"specversion":"1.0","id":"1","source":%q,"type":"consign.db.pool","time":%q,"data":{"pool":"main","in_use":%d,"idle":0,"max":20}}`,
		source, now.Add(-age).Format(time.RFC3339Nano), inUse)
}

func TestAGaugeIsTheSumOfTheLastReportsOfItsSources(t *testing.T) {
	l := newAggregator(t, Options{})
	a, b := l.Shard("t", 0), l.Shard("t", 1)
	a.Assign(0, "")
	b.Assign(0, "")
	offset := int64(0)
	report := func(s *Shard, source string, age time.Duration, now time.Time, inUse int) {
		offset++
		if o, p := s.Count(now, &cloudevent.Record{Value: []byte(pool(source, age, now, inUse)), Offset: offset}); o != Counted {
			t.Fatal(o, p)
		}
	}
	inUse := func(now time.Time) float64 {
		v, ok := flatten(scrape(t, l, now))[`consign_db_pool_connections{pool="main",state="in_use"}`]
		if !ok {
			return -1
		}
		return v
	}
	if got := inUse(start); got != -1 {
		t.Errorf("before anything was reported: %v", got)
	}
	report(a, "api-1", 0, start, 5)
	report(a, "api-1", 0, start.Add(time.Second), 7)
	report(b, "api-2", 0, start, 10)
	if got := inUse(start.Add(time.Second)); got != 17 {
		t.Errorf("two sources: %v, want 17", got)
	}
	report(b, "api-1", 0, start.Add(2*time.Second), 8) // the source has moved to another partition
	if got := inUse(start.Add(2 * time.Second)); got != 18 {
		t.Errorf("a source in two partitions: %v, want 18", got)
	}
	report(b, "api-3", 3*time.Minute, start.Add(3*time.Second), 100) // from the past, while catching up
	if got := inUse(start.Add(3 * time.Second)); got != 18 {
		t.Errorf("with a report of three minutes ago: %v, want 18", got)
	}
	if got := inUse(start.Add(2*time.Minute + time.Second)); got != 8 {
		t.Errorf("after api-2 was silent for two minutes: %v, want 8", got)
	}
	report(a, "api-4", 50*365*24*time.Hour, start.Add(3*time.Minute), 3) // whose clock was never set
	if got := inUse(start.Add(3 * time.Minute)); got != 3 {
		t.Errorf("with an impossible time: %v, want 3", got)
	}
	a.Revoke()
	b.Revoke()
	if got := inUse(start.Add(2*time.Minute + time.Second)); got != -1 {
		t.Errorf("without the partition: %v", got)
	}
}

func TestSourcesWithoutEndDoNotFillTheMemory(t *testing.T) {
	l := newAggregator(t, Options{})
	s := l.Shard("t", 0)
	s.Assign(0, "")
	for i := range maxGauges {
		if o, _ := s.Count(start, &cloudevent.Record{Value: []byte(pool(fmt.Sprint("api-", i), 0, start, 1)), Offset: int64(i)}); o != Counted {
			t.Fatal(o)
		}
	}
	if len(s.gauges) != maxGauges {
		t.Errorf("%d values are remembered, want %d", len(s.gauges), maxGauges)
	}
	dropped := uint64(0)
	l.Dropped(func(metric string, n uint64) {
		if strings.HasPrefix(metric, "consign_db_pool") {
			dropped += n
		}
	})
	if dropped != 3*maxGauges-maxGauges {
		t.Errorf("%d were dropped, want %d", dropped, 2*maxGauges)
	}
	later := start.Add(3 * time.Minute)
	if s.Count(later, &cloudevent.Record{Value: []byte(pool("new", 0, later, 3)), Offset: maxGauges}); len(s.gauges) != 3 {
		t.Errorf("%d values are remembered after all but one have expired, want 3", len(s.gauges))
	}
}
