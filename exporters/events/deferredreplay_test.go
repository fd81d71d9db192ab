package events_test

import (
	"fmt"
	"sync"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// fetchedFrom notes the lowest offset of each partition that is fetched from.
type fetchedFrom struct {
	mu     sync.Mutex
	lowest map[string]int64
}

func (c fakeCluster) watchFetches() *fetchedFrom {
	topics := map[[16]byte]string{}
	for _, topic := range []string{telemetry, commerce, integration} {
		topics[c.TopicInfo(topic).TopicID] = topic
	}
	f := &fetchedFrom{lowest: map[string]int64{}}
	c.ControlKey(int16(kmsg.Fetch), func(request kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		f.mu.Lock()
		defer f.mu.Unlock()
		for _, t := range request.(*kmsg.FetchRequest).Topics {
			for _, p := range t.Partitions {
				at := fmt.Sprintf("%s/%d", topics[t.TopicID], p.Partition)
				if before, ok := f.lowest[at]; !ok || p.FetchOffset < before {
					f.lowest[at] = p.FetchOffset
				}
			}
		}
		return nil, nil, false
	})
	return f
}

func (f *fetchedFrom) of(topic string, partition int32) int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	if offset, ok := f.lowest[fmt.Sprintf("%s/%d", topic, partition)]; ok {
		return offset
	}
	return -1
}

// After a restart only the partition in which an event comes that counts once is read again, and only then.
func TestOnlyAPartitionWithEventsThatCountOnceIsReadAgain(t *testing.T) {
	t.Parallel()
	c := startFakeCluster(t, 2)
	var first []record
	for i := range 20 {
		first = append(first, order(fmt.Sprint("order-", i), "anna"))
	}
	write(t, c, append(times(100, request("anna")), first...)...)
	r := follow(t, c.Address(), "")
	r.await(t, map[string]float64{requests("anna"): 100, orders("anna"): 20})
	awaitCommitted(t, c, telemetry, 0, 100)
	awaitCommitted(t, c, commerce, 0, 20)
	r.Stop()

	fetches := c.watchFetches()
	next := follow(t, c.Address(), "")
	write(t, c, request("anna"))
	next.await(t, map[string]float64{requests("anna"): 1, lag(commerce, 0): 0, success: 1})
	await(t, "both partitions are fetched", func() bool { return fetches.of(telemetry, 0) >= 0 && fetches.of(commerce, 0) >= 0 })
	if got := fetches.of(telemetry, 0); got != 100 {
		t.Errorf("a partition without events that count once is fetched from offset %d, want 100", got)
	}
	if got := fetches.of(commerce, 0); got != 20 {
		t.Errorf("a partition is fetched from offset %d before an event comes that counts once, want 20", got)
	}
	write(t, c, append(first[5:10:10], order("order-new", "anna"))...) // five that were counted by the process before
	next.await(t, map[string]float64{orders("anna"): 1, recordsOf(commerce, "duplicate"): 5})
	if got := fetches.of(commerce, 0); got != 0 {
		t.Errorf("the partition is read again from offset %d, want 0", got)
	}
	if got := fetches.of(telemetry, 0); got != 100 {
		t.Errorf("the other one is fetched from offset %d, want 100", got)
	}
	awaitCommitted(t, c, commerce, 0, 26)
	next.Stop()

	write(t, c, first[0], order("order-newer", "anna"))
	last := follow(t, c.Address(), "")
	last.await(t, map[string]float64{orders("anna"): 1, recordsOf(commerce, "duplicate"): 1})
}
