package events_test

import (
	"context"
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/IBM/sarama"

	"github.com/consignwatch/consignwatch/pkg/demo/servers"
)

// These tests kill, stop and restart whole processes at chosen moments: each waits for an event, and acts then. Kills at random moments are a part of
// the acceptance tests.

func kill(t *testing.T, p *servers.Process) {
	t.Helper()
	if err := p.Kill(); err != nil {
		t.Fatal(err)
	}
}

func restart(t *testing.T, p *servers.Process) {
	t.Helper()
	if err := p.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func stopProcess(t *testing.T, p *servers.Process) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	if err := p.Stop(ctx); err != nil {
		t.Fatal(err)
	}
}

func restartBroker(t *testing.T, c *cluster) {
	t.Helper()
	if err := c.broker.Stop(); err != nil {
		t.Fatal(err)
	}
	if err := c.broker.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// end stops producing, waits until Prometheus has everything, and compares.
func end(t *testing.T, c *cluster, stop func()) {
	t.Helper()
	stop()
	c.awaitCounted(t)
	c.check(t)
}

// TestIncreasesAreExactWhenMembersDieJoinAndLeaveAndTheBrokerRestarts has a group of two. One of them is killed, a third one joins while the other is
// killed, the broker restarts while one is dead, and one leaves.
func TestIncreasesAreExactWhenMembersDieJoinAndLeaveAndTheBrokerRestarts(t *testing.T) {
	t.Parallel()
	membersDieJoinAndLeave(t, world{})
}

func membersDieJoinAndLeave(t *testing.T, w world) {
	c := newCluster(t, time.Second)
	c.world = w
	stop := c.produce(t)
	a, scrapesOfA := c.startBehindProxies(t, "a", "prometheus")
	b, scrapesOfB := c.startBehindProxies(t, "b", "prometheus")
	c.awaitMembers(t, "a", "b")
	awaitDelivery(t, a)
	awaitDelivery(t, b)
	scrapesOfA.next(t, 0.5, func() { kill(t, a) }) // and b goes on
	restart(t, a)
	c.awaitMembers(t, "a", "b")

	awaitDelivery(t, a) // a member that has shown nothing of its partitions gives them up at once
	awaitDelivery(t, b)
	c.questions["a"].reject(true) // both hold partitions back for the third one
	c.killDuringQuery(t, "b", func() { c.start(t, "c", "prometheus") }, func() bool { return c.heldBack(t) })
	c.questions["a"].reject(false)
	restart(t, b)
	c.awaitMembers(t, "a", "b", "c")
	third := c.exporters["c"]
	awaitDelivery(t, third)

	scrapesOfB.next(t, 1, func() { kill(t, b) })
	restartBroker(t, c)
	restart(t, b)
	c.awaitMembers(t, "a", "b", "c")
	awaitDelivery(t, b)

	stopProcess(t, third) // scale in
	c.awaitMembers(t, "a", "b")
	end(t, c, stop)
}

// TestIncreasesAreExactWhenAProcessDiesSeveralTimesBetweenTwoScrapes kills the exporter after a scrape, three times: when it has no partitions yet, when it
// has some, and when it has counted records that no scrape will ever expose.
func TestIncreasesAreExactWhenAProcessDiesSeveralTimesBetweenTwoScrapes(t *testing.T) {
	t.Parallel()
	diesBetweenScrapes(t, world{})
}

func diesBetweenScrapes(t *testing.T, w world) {
	c := newCluster(t, 4*time.Second)
	c.world = w
	stop := c.produce(t)
	a, scrapes := c.startBehindProxies(t, "a", "prometheus")
	for range 3 {
		awaitNewer(t, a, nil)
		scrapes.next(t, 1, func() {}) // the first of a process shows nothing
		scrapes.next(t, 1, func() {})
		kill(t, a)
		restart(t, a)
		kill(t, a)
		restart(t, a)
		awaitPartitions(t, a)
		kill(t, a)
		restart(t, a)
		awaitNewer(t, a, nil)
		kill(t, a)
		restart(t, a)
	}
	end(t, c, stop)
}

// TestIncreasesAreExactAfterKillsAtChosenMoments kills the exporter when its response is written and Prometheus has none of it, half of it, or all of it:
// the first response of a process, the first one with numbers, and a later one. It also kills it in the middle of a rebalance.
func TestIncreasesAreExactAfterKillsAtChosenMoments(t *testing.T) {
	t.Parallel()
	killsAtChosenMoments(t, world{})
}

func killsAtChosenMoments(t *testing.T, w world) {
	c := newCluster(t, time.Second)
	c.world = w
	stop := c.produce(t)
	a, scrapes := c.startBehindProxies(t, "a", "prometheus")
	scrapes.reject(true) // no other scrapes than these
	for before := range 3 {
		for _, share := range []float64{0, 0.5, 1} {
			if before > 0 {
				awaitNewer(t, a, nil)
			}
			for range before {
				scrapes.next(t, 1, func() {})
			}
			scrapes.next(t, share, func() { kill(t, a) })
			restart(t, a)
		}
	}
	scrapes.reject(false)
	awaitDelivery(t, a)
	// A second member joins, and the first one is killed with the partitions that it holds back.
	c.killDuringQuery(t, "a", func() { c.startBehindProxies(t, "b", "prometheus") }, func() bool { return c.heldBack(t) })
	restart(t, a)
	c.awaitMembers(t, "a", "b")
	// The second one comes back, and is killed before it has its start offsets.
	b := c.exporters["b"]
	stopProcess(t, b)
	c.killDuringQuery(t, "b", func() { restart(t, b) }, func() bool { return len(delivered(t, b)) == 0 })
	restart(t, b)
	c.awaitMembers(t, "a", "b")
	// The second one leaves, and the first one is killed when it gets its partitions.
	joined := rebalances(t, a)
	c.killDuringQuery(t, "a", func() { stopProcess(t, b) }, func() bool { return rebalances(t, a) > joined && len(delivered(t, a)) < partitions() })
	restart(t, a)
	c.awaitMembers(t, "a")
	end(t, c, stop)
}

// rebalances is how many sessions of the group an exporter has seen since its start.
func rebalances(t *testing.T, p *servers.Process) float64 {
	t.Helper()
	return acknowledgedSeries(t, p)["consignwatch_rebalances_total"]
}

// TestIncreasesAreExactWhenTheFirstScrapesOfAProcessFail restarts the exporter between two scrapes, and lets the first scrapes afterwards fail in
// different ways. When Prometheus sees the counters again they have passed their old values.
func TestIncreasesAreExactWhenTheFirstScrapesOfAProcessFail(t *testing.T) {
	t.Parallel()
	firstScrapesFail(t, world{})
}

func firstScrapesFail(t *testing.T, w world) {
	c := newCluster(t, time.Second)
	c.world = w
	a, scrapes := c.startBehindProxies(t, "a", "prometheus")
	batches := 0 // that the process counts
	for _, shares := range [][]float64{{}, {0}, {1, 0}, {0, 0.5}} {
		c.write(t, 10)
		batches += 10
		c.awaitCounted(t)
		before := recordsCounted(t, a)
		scrapes.next(t, 1, func() {
			scrapes.reject(true)
			kill(t, a)
		})
		batches += 10
		c.write(t, batches)
		restart(t, a)
		c.awaitRead(t, "a")
		scrapes.awaitRejected(t, 2)
		for _, share := range shares {
			scrapes.next(t, share, func() {})
		}
		scrapes.reject(false)
		c.awaitCounted(t)
		if now := recordsCounted(t, a); now <= before {
			t.Errorf("the new process has counted %v records, the old one %v: the counters have not passed their old values", now, before)
		}
	}
	c.check(t)
}

// awaitCommitted waits until Kafka has these offsets.
func (c *cluster) awaitCommitted(t *testing.T, delivered map[string]int64) {
	t.Helper()
	client, err := sarama.NewClient([]string{c.broker.Address()}, sarama.NewConfig())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	admin, err := sarama.NewClusterAdminFromClient(client)
	if err != nil {
		t.Fatal(err)
	}
	await(t, "what was delivered is committed", func() bool {
		response, err := admin.ListConsumerGroupOffsets("events", nil)
		if err != nil {
			t.Fatal(err)
		}
		for topic, partitions := range response.Blocks {
			for partition, block := range partitions {
				if block.Offset < delivered[fmt.Sprintf("%s/%d", topic, partition)] {
					return false
				}
			}
		}
		return len(response.Blocks) > 0
	})
}

// scrapeAndCommit waits for a scrape with numbers, and until Kafka has its offsets. No other scrape follows.
func (c *cluster) scrapeAndCommit(t *testing.T, p *servers.Process, scrapes *proxy) {
	t.Helper()
	scrapes.reject(true)
	awaitNewer(t, p, nil)
	var delivered map[string]int64
	for len(delivered) == 0 { // the first exposition of a process is empty
		delivered = offsets(series(t, scrapes.next(t, 1, func() {})))
	}
	c.awaitCommitted(t, delivered)
}

// TestKafkaModeIsExactWhenNobodyDiesBetweenDeliveryAndCommit kills after the commit that follows a scrape, and stops a process that was never scraped, one
// that was scraped once, which shows nothing, and one that has delivered.
func TestKafkaModeIsExactWhenNobodyDiesBetweenDeliveryAndCommit(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3*time.Second) // and as long a timeout: what Prometheus does not wait for is lost in this mode
	c.session = "1m"                  // a member that loses its session has delivered what is not committed
	stop := c.produce(t)
	a, scrapes := c.startBehindProxies(t, "a", "kafka")
	for range 3 {
		c.scrapeAndCommit(t, a, scrapes)
		kill(t, a)
		restart(t, a)
	}
	for before := range 3 {
		awaitNewer(t, a, nil)
		for range before {
			scrapes.next(t, 1, func() {})
		}
		scrapes.reject(false)
		stopProcess(t, a) // waits for a last scrape
		scrapes.reject(true)
		restart(t, a)
	}
	scrapes.reject(false)
	end(t, c, stop)
}

// TestKafkaModeRepeatsAnIntervalAfterACrashBeforeTheCommit shows the window that the documentation describes: what was
// delivered, and not committed when the process died, is counted again, and nothing is lost.
func TestKafkaModeRepeatsAnIntervalAfterACrashBeforeTheCommit(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 2*time.Second)
	c.session = "1m"
	c.write(t, 40)
	a, scrapes := c.startBehindProxies(t, "a", "kafka")
	c.awaitCounted(t)
	c.check(t)
	if t.Failed() {
		return
	}
	before := c.expected.total()
	c.scrapeAndCommit(t, a, scrapes)
	counted := recordsCounted(t, a)
	old := newest(t, a)
	c.write(t, 10) // between two scrapes
	awaitNewer(t, a, old)
	// The broker takes no offsets of the next scrapes, and the process dies. (A broker that is away would end the member's session sooner or later, and
	// with it the delivery.)
	c.broker.RefuseCommits(true)
	scrapes.reject(false)
	await(t, "what is not committed is delivered", func() bool { return recordsCounted(t, a) > counted })
	c.awaitIngested(t, "a")
	kill(t, a)
	c.broker.RefuseCommits(false)
	restart(t, a)
	await(t, "the next process has delivered everything", func() bool {
		has := delivered(t, a)
		for partition, end := range c.expected.end {
			if has[partition] < end {
				return false
			}
		}
		return true
	})
	c.awaitIngested(t, "a")
	produced := c.expected.total() - before
	got := 0.0
	increases := c.counted(t)
	for series := range c.expected.want {
		got += math.Round(increases[series])
	}
	repeated := got - c.expected.total()
	if repeated <= 0 || repeated > produced {
		t.Errorf("repeated %.0f of the %.0f that were produced in the last interval; want some, and not more", repeated, produced)
	}
}

// total adds up what all series must have.
func (e *expectedCounters) total() float64 {
	e.mu.Lock()
	defer e.mu.Unlock()
	sum := 0.0
	for _, v := range e.want {
		sum += v
	}
	return sum
}
