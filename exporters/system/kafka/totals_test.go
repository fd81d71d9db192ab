package kafka

import (
	"fmt"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kversion"
)

const (
	producedTotal = `produced_total{topic="jobs.email"}`
	consumedTotal = `consumed_total{group="workers",topic="jobs.email"}`
)

// TestTotalsCountFromTheFirstSightAndNeverFall resets a group, lets an offset go, and makes the topic anew.
func TestTotalsCountFromTheFirstSightAndNeverFall(t *testing.T) {
	t.Parallel()
	r := newQueueCluster(t)
	r.produce(t, "jobs.email", 0, 0, 0, 0, 0, 0)
	r.commit(t, "workers", "jobs.email", 2, 0)
	expect(t, r.round(t), map[string]float64{producedTotal: 0, consumedTotal: 0})
	r.produce(t, "jobs.email", 1, 0, 0)
	r.commit(t, "workers", "jobs.email", 5, 2)
	expect(t, r.round(t), map[string]float64{producedTotal: 2, consumedTotal: 5})
	r.commit(t, "workers", "jobs.email", 1, 2) // back: what it reads again, it has consumed twice
	expect(t, r.round(t), map[string]float64{producedTotal: 2, consumedTotal: 5})
	r.commit(t, "workers", "jobs.email", 4, 2)
	expect(t, r.round(t), map[string]float64{producedTotal: 2, consumedTotal: 8})

	if err := r.cluster.DeleteTopic("jobs.email"); err != nil {
		t.Fatal(err)
	}
	if err := r.cluster.CreateTopic("jobs.email", 1, nil); err != nil {
		t.Fatal(err)
	}
	r.client.PurgeTopicsFromClient("jobs.email")
	r.produce(t, "jobs.email", 0, 0)
	expect(t, r.round(t), map[string]float64{producedTotal: 2})
	r.produce(t, "jobs.email", 0, 0)
	expect(t, r.round(t), map[string]float64{producedTotal: 3})
	if since := r.target.topics["jobs.email"].produced.since; !since.Equal(r.begin) {
		t.Errorf("counted since %v, want %v", since, r.begin)
	}
}

func TestAnOffsetThatExpiresIsNotConsumed(t *testing.T) {
	t.Parallel()
	now := time.Now()
	var counted total
	mark := int64(unknown)
	for _, c := range []struct {
		offset int64
		want   float64
	}{{500, 0}, {510, 10}, {3, 10}, {5, 12}} {
		counted.add(advance(&mark, c.offset), now)
		if counted.value != c.want {
			t.Errorf("%v at offset %d, want %v", counted.value, c.offset, c.want)
		}
	}
	mark = unknown // expired
	if counted.add(advance(&mark, 900), now); counted.value != 12 {
		t.Errorf("%v after the offset had expired, want 12", counted.value)
	}
}

// TestATopicThatWasRecreatedIsReportedWhole makes a topic anew between two rounds, with fewer partitions, as many, and more.
func TestATopicThatWasRecreatedIsReportedWhole(t *testing.T) {
	t.Parallel()
	for _, partitions := range []int32{1, 3, 5} {
		for name, version := range map[string]*kversion.Versions{"with topic ids": nil, "without": kversion.V2_7_0()} {
			t.Run(fmt.Sprintf("%d partitions %s", partitions, name), func(t *testing.T) {
				t.Parallel()
				options := []kfake.Opt{kfake.SeedTopics(3, "jobs.dead", "jobs.email")}
				if version != nil {
					options = append(options, kfake.MaxVersions(version))
				}
				r := newTestCluster(t, Config{}, options...)
				for partition := range int32(3) {
					r.produce(t, "jobs.email", partition, time.Hour, time.Hour, time.Hour)
					letter := dead("email")
					letter.Partition = partition
					r.write(t, letter, letter)
				}
				r.commit(t, "workers", "jobs.email", 1, 1, 1)
				expect(t, r.rounds(t, 2, nil), map[string]float64{`messages{topic="jobs.email"}`: 9, lagCount: 6, `dead_letters{queue="email"}`: 6})

				for _, topic := range []string{"jobs.email", "jobs.dead"} {
					if err := r.cluster.DeleteTopic(topic); err != nil {
						t.Fatal(err)
					}
					if err := r.cluster.CreateTopic(topic, partitions, nil); err != nil {
						t.Fatal(err)
					}
					r.client.PurgeTopicsFromClient(topic)
				}
				r.produce(t, "jobs.email", 0, time.Minute, time.Minute)
				r.write(t, dead("image"))
				r.commit(t, "workers", "jobs.email", 0)
				r.ahead += testSchedule.MaxAge + time.Minute // nothing that is told is from before
				at := r.now()
				series := r.rounds(t, 2, nil)
				expect(t, series, map[string]float64{`messages{topic="jobs.email"}`: 2, lagCount: 2, producedTotal: 0, `dead_letters{queue="image"}`: 1, `dead_letters{queue="email"}`: absent})
				if _, ok := series[`oldest_message_timestamp_seconds{topic="jobs.email"}`]; !ok {
					t.Error("the age is not told")
				}
				near(t, series, lagSeconds, at.Add(testSchedule.Interval).Sub(r.target.oldestIn(t, "jobs.email")))
			})
		}
	}
}

// oldestIn is the time of the first message of a topic.
func (t *Target) oldestIn(tb testing.TB, topic string) time.Time {
	tb.Helper()
	return time.UnixMilli(int64(t.topics[topic].oldest.value * 1000))
}
