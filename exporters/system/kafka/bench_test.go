package kafka

import (
	"context"
	"fmt"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/consignwatch/consignwatch/pkg/catalog"
	"github.com/consignwatch/consignwatch/pkg/exporter"
)

// largeCluster is a cluster of three brokers with many topics of 4 partitions, each with 10 records, and groups that each read many
// topics and stand at different places.
type largeCluster struct {
	*testCluster
	topics       []string
	groups, each int
}

func newLargeCluster(t testing.TB, topics, groups, each int) *largeCluster {
	t.Helper()
	c := &largeCluster{groups: groups, each: each}
	for i := range topics {
		c.topics = append(c.topics, fmt.Sprintf("platform.queue.%04d", i))
	}
	c.testCluster = newTestCluster(t, Config{}, kfake.NumBrokers(3), kfake.SeedTopics(4, c.topics...))
	var records []*kgo.Record
	for _, name := range c.topics {
		for i := range 40 {
			records = append(records, &kgo.Record{Topic: name, Partition: int32(i % 4), Value: []byte("x"), Timestamp: time.Now().Add(-time.Duration(100-i) * time.Second)})
		}
	}
	c.write(t, records...)
	for group := range groups {
		c.move(t, group, 0)
	}
	return c
}

// move lets a group commit a step further in all of its topics.
func (c *largeCluster) move(t testing.TB, group, step int) {
	t.Helper()
	topics := map[string][]int64{}
	for i := range c.each {
		at := int64((step + group) % 8)
		topics[c.topics[(group*17+i*49)%len(c.topics)]] = []int64{at, at + 1, at + 2, 10}
	}
	if err := commitAll(t.Context(), c.client, fmt.Sprintf("group-%03d", group), topics); err != nil {
		t.Fatal(err)
	}
}

// mostRequests is the largest number of requests that one broker got since the last call.
func (q *requests) mostRequests() (most int, by map[string]int) {
	for _, kinds := range q.take() {
		sum := 0
		for _, n := range kinds {
			sum += n
		}
		if sum > most {
			most, by = sum, kinds
		}
	}
	return most, by
}

// TestARoundSendsFewRequestsToEachBroker holds the number of requests, at a tenth of the size that the benchmark measures.
func TestARoundSendsFewRequestsToEachBroker(t *testing.T) {
	t.Parallel()
	c := newLargeCluster(t, 300, 20, 60)
	count := c.countRequests()
	for round := range 12 {
		series := c.round(t)
		most, by := count.mostRequests()
		if most > 30 {
			t.Errorf("round %d: a broker got %d requests: %v", round, most, by)
		}
		for kind, n := range map[string]int{"Metadata": 1, "ListGroups": 1, "OffsetFetch": 1, "ListOffsets": 3, "DescribeGroups": 1, "FindCoordinator": 0} {
			if by[kind] > n {
				t.Errorf("round %d: %d times %s, want at most %d", round, by[kind], kind, n)
			}
		}
		if series[`messages{topic="platform.queue.0007"}`] != 40 {
			t.Errorf("round %d: %v messages", round, series[`messages{topic="platform.queue.0007"}`])
		}
		for group := range c.groups {
			if group%2 == round%2 {
				c.move(t, group, round)
			}
		}
		count.take()
	}
}

// BenchmarkKafkaRound measures rounds over 3,000 topics of 4 partitions and 200 groups that each read 60 topics: when nothing
// moves, and when half of the groups commit before each round. The time and the memory are those of the exporter and of the three
// brokers, which run in the same process.
func BenchmarkKafkaRound(b *testing.B) {
	c := newLargeCluster(b, 3000, 200, 60)
	sizes, err := shippedCatalog().WithQueueSizes(catalog.QueueSizes{Topics: 3000, Groups: 200, TopicsPerGroup: 60})
	if err != nil {
		b.Fatal(err)
	}
	for _, moving := range []bool{false, true} {
		b.Run(fmt.Sprintf("moving=%v", moving), func(b *testing.B) {
			c.restart(b, Config{})
			count := c.countRequests()
			var before, after runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&before)
			worst, most, requests, cpu := time.Duration(0), 0, 0, time.Duration(0)
			var series map[string]int
			for round := 0; b.Loop(); round++ {
				b.StopTimer()
				for group := 0; moving && group < c.groups; group++ {
					if group%2 == round%2 {
						c.move(b, group, round)
					}
				}
				count.take()
				begin, used := time.Now(), cpuTime()
				b.StartTimer()
				ctx, cancel := context.WithTimeout(b.Context(), testSchedule.Timeout)
				result, err := exporter.DryRun(ctx, sizes, catalog.Sizes{}, c.target)
				cancel()
				if err != nil {
					b.Fatal(err)
				}
				series = result.Series
				worst = max(worst, time.Since(begin))
				cpu += cpuTime() - used
				n, _ := count.mostRequests()
				most, requests = max(most, n), requests+n
			}
			runtime.GC()
			runtime.ReadMemStats(&after)
			all := 0
			for _, n := range series {
				all += n
			}
			b.ReportMetric(worst.Seconds(), "s/worst")
			b.ReportMetric(cpu.Seconds()/float64(b.N), "CPU-s/op")
			b.ReportMetric(float64(most), "requests/worst")
			b.ReportMetric(float64(requests)/float64(b.N), "requests/op")
			b.ReportMetric((float64(after.HeapAlloc)-float64(before.HeapAlloc))/1e6, "MB-kept")
			b.ReportMetric(float64(all), "series")
			runtime.KeepAlive(c.target)
		})
	}
}

func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
