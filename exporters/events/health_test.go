package events

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/consignwatch/consignwatch/exporters/events/internal/aggregate"
)

// judged is a consumer of one partition, which is counted up to offset 10, and how it is judged.
func judged(t *testing.T) (n *consumer, p *partition, judge func(end int64, now time.Time) error) {
	t.Helper()
	id := partitionID{"t", 0}
	p = &partition{id: id, shard: loadAggregator(t).Shard("t", 0), counting: true, position: 10}
	p.shard.Assign(10, "")
	n = &consumer{joined: true, owned: map[partitionID]*partition{id: p}, wake: make(chan struct{}, 1)}
	states := map[string]topicState{"t": {partitions: map[int32]error{0: nil}}}
	return n, p, func(end int64, now time.Time) error {
		return n.judge(states, map[partitionID]bounds{id: {0, end}}, nil, now)
	}
}

// A partition whose fetches are never answered has no error of its own: it stands still.
func TestAPartitionThatStandsStillIsUnhealthy(t *testing.T) {
	n, p, judge := judged(t)
	begin := time.Now()
	p.stalled, p.seen = begin, p.position
	for _, tt := range []struct {
		after   time.Duration
		end     int64
		looked  bool
		healthy bool
	}{
		{0, 10, false, true},
		{time.Hour, 10, false, true}, // at the end
		{time.Hour + 5*time.Second, 15, false, true},
		{time.Hour + suspiciousStall, 15, false, true},
		{time.Hour + suspiciousStall + time.Second, 15, true, true}, // since the last look at which it was at the end
		{time.Hour + toleratedStall, 15, true, true},
		{time.Hour + toleratedStall + time.Second, 15, true, false},
		{24 * time.Hour, 1000, true, false},
	} {
		err := judge(tt.end, begin.Add(tt.after))
		if (err == nil) != tt.healthy || p.broken != tt.looked {
			t.Errorf("after %v: %v, looked at: %v, want healthy %v, looked at %v", tt.after, err, p.broken, tt.healthy, tt.looked)
		}
	}
	n.mu.Lock()
	n.resume(p, p.position) // the batch there is no reason
	n.mu.Unlock()
	if err := judge(1000, begin.Add(25*time.Hour)); err == nil || !strings.Contains(err.Error(), "t/0: there are 990 records, and none of them comes") {
		t.Errorf("a partition that is read again from where it stood is judged as %v", err)
	}
	p.position = 1000
	if err := judge(1000, begin.Add(26*time.Hour)); err != nil {
		t.Errorf("at the end it is %v", err)
	}
}

// A partition that has just begun, at offset 0 with records before it, has not stood still.
func TestAPartitionThatHasJustBegunIsHealthy(t *testing.T) {
	n, p, judge := judged(t)
	n.resume(p, 0)
	if err := judge(15, time.Now()); err != nil {
		t.Error(err)
	}
}

func TestFetchesThatFailForLongAreUnhealthy(t *testing.T) {
	for _, failure := range []error{kerr.TopicAuthorizationFailed, kerr.NotLeaderForPartition, kerr.KafkaStorageError, kerr.UnsupportedCompressionType} {
		n, p, judge := judged(t)
		f := fetched{}
		f.Err, f.LastStableOffset = failure, -1
		for range 3 { // it goes on since the first time
			if !n.fetched(p, f, 10) {
				t.Errorf("%v ends the reading of the partition", failure)
			}
		}
		if err := judge(10, p.troubled.Add(toleratedFetchFailure)); err != nil {
			t.Errorf("%v is no failure yet: %v", failure, err)
		}
		err := judge(10, p.troubled.Add(toleratedFetchFailure+time.Second))
		if !errors.Is(err, failure) || !strings.Contains(err.Error(), "t/0") {
			t.Errorf("after %v of %v it is %v", toleratedFetchFailure, failure, err)
		}
		f.Err = nil
		n.fetched(p, f, 10)
		if err := judge(10, time.Now().Add(time.Hour)); err != nil {
			t.Errorf("when fetches succeed again it is %v", err)
		}
	}
}

// A revocation waits for what was exposed of a partition, also while it is read again or moves.
func TestAPartitionThatIsNotCountedNowWasExposed(t *testing.T) {
	a := loadAggregator(t)
	a.EndFirstScrape()
	p := &partition{shard: a.Shard("t", 0), start: 10, started: true}
	p.shard.Assign(10, "")
	if p.exposed() {
		t.Error("nothing was exposed")
	}
	p.shard.Skip(10, 12, aggregate.Oversized, 2)
	scrape, err := a.StartScrape(time.Now(), 0)
	if err != nil {
		t.Fatal(err)
	}
	scrape.Exposed()
	if !p.exposed() {
		t.Error("a partition that is not counted now was exposed, and does not say so")
	}
	p.shard.Move(5, "another topic")
	p.start, p.counted = 5, map[topicID]int64{{}: 12}
	if !p.exposed() {
		t.Error("a partition that has moved was exposed before, and does not say so")
	}
}
