package events_test

import (
	"context"
	"fmt"
	"io"
	"maps"
	"math"
	"math/rand/v2"
	"net/http"
	"regexp"
	"strconv"
	"testing"
	"time"

	"github.com/IBM/sarama"

	"github.com/consignwatch/consignwatch/pkg/servers"
)

func wait(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}

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

// end stops producing, waits until Prometheus has everything, and compares.
func end(t *testing.T, c *cluster, stop func()) {
	t.Helper()
	stop()
	c.awaitCounted(t)
	c.check(t)
}

func TestIncreasesAreExactAfterKillsRestartsAndRebalances(t *testing.T) {
	c := newCluster(t, time.Second)
	stop := c.produce(t.Context(), t, 20*time.Millisecond)
	names := []string{"a", "b", "c"}
	for _, name := range names[:2] {
		c.start(t, name, "prometheus")
	}
	for kills := 0; kills < 30; kills++ {
		wait(t.Context(), rand.N(2500*time.Millisecond))
		if kills == 10 {
			c.start(t, "c", "prometheus")
		}
		p := c.exporters[names[rand.IntN(len(c.exporters))]]
		kill(t, p)
		if kills == 20 {
			if err := c.broker.Stop(); err != nil {
				t.Fatal(err)
			}
			if err := c.broker.Restart(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		wait(t.Context(), rand.N(time.Second))
		restart(t, p)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := c.exporters["c"].Stop(ctx); err != nil { // scale in
		t.Fatal(err)
	}
	wait(t.Context(), 3*time.Second)
	end(t, c, stop)
}

func TestIncreasesAreExactWhenKillsComeFasterThanScrapes(t *testing.T) {
	c := newCluster(t, 5*time.Second)
	stop := c.produce(t.Context(), t, 20*time.Millisecond)
	p := c.start(t, "a", "prometheus")
	for range 12 {
		wait(t.Context(), rand.N(3*time.Second))
		kill(t, p)
		restart(t, p)
	}
	end(t, c, stop)
}

// TestIncreasesAreExactAfterKillsAtChosenMoments kills the exporter when its response is written and Prometheus has
// none of it, half of it, or all of it, and in the middle of a rebalance.
func TestIncreasesAreExactAfterKillsAtChosenMoments(t *testing.T) {
	c := newCluster(t, time.Second)
	stop := c.produce(t.Context(), t, 20*time.Millisecond)
	a, proxy := c.startBehindProxy(t, "a", "prometheus")
	proxy.next(t, 1, func() {})
	for i := range 3 {
		for _, share := range []float64{0, 0.5, 1} {
			proxy.next(t, share, func() { kill(t, a) })
			restart(t, a)
			wait(t.Context(), rand.N(2*time.Second))
		}
		// A second member comes or goes, and the first is killed while the group finds itself anew.
		if i == 0 {
			c.start(t, "b", "prometheus")
		} else {
			b := c.exporters["b"]
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			if err := b.Stop(ctx); err != nil {
				t.Fatal(err)
			}
			cancel()
			restart(t, b)
		}
		wait(t.Context(), rand.N(time.Second))
		kill(t, a)
		restart(t, a)
		wait(t.Context(), 2*time.Second)
	}
	end(t, c, stop)
}

// TestIncreasesAreExactWhenTheFirstScrapesOfAProcessFail restarts the exporter between two scrapes, and lets the first
// scrapes afterwards fail in different ways. When Prometheus sees the counters again they have passed their old values.
func TestIncreasesAreExactWhenTheFirstScrapesOfAProcessFail(t *testing.T) {
	c := newCluster(t, time.Second)
	a, proxy := c.startBehindProxy(t, "a", "prometheus")
	for i, shares := range [][]float64{{}, {0}, {1, 0}, {0, 0.5}} {
		more := time.Duration(i+1) * 500 * time.Millisecond
		stop := c.produce(t.Context(), t, 20*time.Millisecond)
		wait(t.Context(), more)
		stop()
		c.awaitCounted(t)
		proxy.next(t, 1, func() {
			proxy.refuse(true)
			kill(t, a)
		})
		restart(t, a)
		stop = c.produce(t.Context(), t, 20*time.Millisecond)
		wait(t.Context(), 2*time.Second+2*more) // scrapes are refused meanwhile
		stop()
		for len(delivered(t, a)) == 0 { // no partitions yet
			wait(t.Context(), 5*time.Millisecond)
		}
		for _, share := range shares {
			proxy.next(t, share, func() {})
		}
		proxy.refuse(false)
	}
	c.awaitCounted(t)
	c.check(t)
}

// committed waits until Kafka has the offsets of the last page of an exporter.
func (c *cluster) committed(t *testing.T, delivered map[string]int64) {
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
	for {
		response, err := admin.ListConsumerGroupOffsets("events", nil)
		if err != nil {
			t.Fatal(err)
		}
		behind := false
		for topic, partitions := range response.Blocks {
			for partition, block := range partitions {
				behind = behind || block.Offset < delivered[fmt.Sprintf("%s/%d", topic, partition)]
			}
		}
		if !behind && len(response.Blocks) > 0 {
			return
		}
		wait(t.Context(), 5*time.Millisecond)
	}
}

// delivered is what an exporter says it has delivered: the offsets on the page for those who are no scraper.
func delivered(t *testing.T, p *servers.Process) map[string]int64 {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, p.URL()+"/metrics", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	page, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	offsets := map[string]int64{}
	for _, m := range regexp.MustCompile(`(?m)^consignwatch_offset\{partition="(\d+)",topic="([^"]+)"\} (\S+)$`).FindAllStringSubmatch(string(page), -1) {
		v, err := strconv.ParseFloat(m[3], 64)
		if err != nil {
			t.Fatal(err)
		}
		offsets[m[2]+"/"+m[1]] = int64(v)
	}
	return offsets
}

// scrapeAndCommit waits for a scrape, which delivers something if there is any news, and until Kafka has its offsets.
func (c *cluster) scrapeAndCommit(t *testing.T, p *servers.Process, proxy *scrapeProxy, news bool) {
	t.Helper()
	before := delivered(t, p)
	for len(before) == 0 { // no partitions yet
		wait(t.Context(), 5*time.Millisecond)
		before = delivered(t, p)
	}
	proxy.next(t, 1, func() {})
	now := delivered(t, p)
	for news && maps.Equal(now, before) { // the exporter does not know yet that its response has gone out
		wait(t.Context(), time.Millisecond)
		now = delivered(t, p)
	}
	c.committed(t, now)
}

// TestKafkaModeIsExactWhenNobodyDiesBetweenDeliveryAndCommit kills and stops after the commit that follows a scrape.
func TestKafkaModeIsExactWhenNobodyDiesBetweenDeliveryAndCommit(t *testing.T) {
	c := newCluster(t, time.Second)
	stop := c.produce(t.Context(), t, 20*time.Millisecond)
	a, proxy := c.startBehindProxy(t, "a", "kafka")
	for range 8 {
		c.scrapeAndCommit(t, a, proxy, true)
		kill(t, a)
		restart(t, a)
	}
	for range 3 {
		wait(t.Context(), rand.N(2*time.Second))
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		if err := a.Stop(ctx); err != nil { // lingers for a last scrape
			t.Fatal(err)
		}
		cancel()
		restart(t, a)
	}
	end(t, c, stop)
}

// TestKafkaModeRepeatsAnIntervalAfterACrashBeforeTheCommit shows the window that the documentation describes: what was
// delivered, and not committed when the process died, is counted again, and nothing is lost.
func TestKafkaModeRepeatsAnIntervalAfterACrashBeforeTheCommit(t *testing.T) {
	c := newCluster(t, time.Second)
	c.session = "1m" // with a shorter one the exporter stops delivering while it cannot reach the broker
	stop := c.produce(t.Context(), t, 20*time.Millisecond)
	a, proxy := c.startBehindProxy(t, "a", "kafka")
	wait(t.Context(), 2*time.Second)
	stop() // so that the repeated interval is the only difference
	c.awaitCounted(t)
	c.check(t)
	if t.Failed() {
		return
	}
	before := c.books.total()
	c.scrapeAndCommit(t, a, proxy, false)
	proxy.refuse(true)
	stop = c.produce(t.Context(), t, 20*time.Millisecond) // between two scrapes
	wait(t.Context(), 500*time.Millisecond)
	stop()
	wait(t.Context(), time.Second)
	// The broker is away when the offsets of the next scrape are to be committed, and the process dies.
	if err := c.broker.Stop(); err != nil {
		t.Fatal(err)
	}
	proxy.next(t, 1, func() {})
	kill(t, a)
	proxy.refuse(false)
	if err := c.broker.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	restart(t, a)
	c.awaitCounted(t)
	proxy.next(t, 1, func() {})
	proxy.next(t, 1, func() {})
	wait(t.Context(), 500*time.Millisecond)
	produced := c.books.total() - before
	got := 0.0
	increases := c.counted(t)
	for series := range c.books.want {
		got += math.Round(increases[series])
	}
	repeated := got - c.books.total()
	if repeated <= 0 || repeated > produced {
		t.Errorf("repeated %.0f of the %.0f that were produced in the last interval; want some, and not more", repeated, produced)
	}
}

// total adds up what all series must have.
func (b *books) total() float64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	sum := 0.0
	for _, v := range b.want {
		sum += v
	}
	return sum
}
