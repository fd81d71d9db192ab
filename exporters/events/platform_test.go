package events_test

import (
	"context"
	"flag"
	"fmt"
	"math"
	"os"
	"testing"
	"time"

	"github.com/prometheus/common/model"

	"github.com/consignwatch/consignwatch/pkg/demo/servers/serverstest"
	"github.com/consignwatch/consignwatch/simulator"
	"github.com/consignwatch/consignwatch/simulator/infra/api"
)

func TestMain(m *testing.M) {
	flag.Parse()
	if err := flag.Set("test.parallel", "6"); err != nil { // most tests wait most of the time, whatever the number of cores
		panic(err)
	}
	os.Exit(serverstest.Main(m))
}

// TestPrometheusEqualsTheDatabaseOfALivingPlatform lets the simulated platform live and publish all types of events, bad and
// repeated ones among them, while exporters die and the group rebalances. Afterwards every counter, and the count and the
// sum of every histogram, must have increased by exactly what the platform's own database says.
func TestPrometheusEqualsTheDatabaseOfALivingPlatform(t *testing.T) {
	t.Parallel()
	const patience = 2 * time.Minute
	c := newCluster(t, time.Second)
	p, err := simulator.New(simulator.Config{
		DSN: serverstest.MariaDB(t), Clients: 5, Events: 12, Items: 1500, Speed: 600, Seed: 5, Stream: []string{c.broker.Address()},
		Infra:            simulator.Infra{API: "http://127.0.0.1:0", APILimits: api.Limits{Wait: patience, Request: patience, Order: patience}},
		ExternalServices: "127.0.0.1:0", ExternalServicesDir: t.TempDir(),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	if err := p.Fill(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- p.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-ended })

	a, scrapes := c.startBehindProxies(t, "a", "prometheus")
	for _, fault := range []string{"malformed-events", "duplicate-events"} {
		if err := p.Faults().On(t.Context(), fault, ""); err != nil {
			t.Fatal(err)
		}
	}
	for i, share := range []float64{1, 0, 0.5, 1, 0.5} {
		awaitDelivery(t, a)
		scrapes.next(t, share, func() { kill(t, a) })
		if i == 2 {
			c.start(t, "b", "prometheus")
		}
		restart(t, a)
	}
	await(t, "the platform publishes 150 series", func() bool { return len(p.StreamTruth()) >= 150 })
	if err := p.Faults().AllOff(t.Context()); err != nil {
		t.Fatal(err)
	}
	pausing, end := context.WithTimeout(t.Context(), patience) // requests in flight end first
	defer end()
	if err := p.Pause(pausing); err != nil {
		t.Fatal(err)
	}
	for topic, partitions := range p.State().Stream.Offsets {
		for partition, offset := range partitions {
			c.expected.end[fmt.Sprintf("%s/%d", topic, partition)] = offset
		}
	}
	c.awaitCounted(t)
	got := c.increases(t)
	truth := p.StreamTruth()
	wrong := 0
	for _, s := range truth {
		labels := model.LabelSet{}
		for k, v := range s.Labels {
			labels[model.LabelName(k)] = model.LabelValue(v)
		}
		series := s.Name + seriesLabels(labels)
		want := s.Major()
		if diff := math.Abs(got[series] - want); diff > 1e-6*math.Max(1, math.Abs(want)) {
			wrong++
			if wrong <= 30 {
				t.Errorf("%s increased by %v, want %v", series, got[series], want)
			}
		}
	}
	if len(truth) < 150 {
		t.Errorf("only %d series are expected", len(truth))
	}
	t.Logf("%d series compared, %d wrong", len(truth), wrong)
}
