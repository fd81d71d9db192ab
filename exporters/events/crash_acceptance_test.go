//go:build acceptance

package events_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/consignwatch/consignwatch/test/seed"
)

// These tests kill, stop and freeze processes at random moments. Which process, and how long after the last time, comes from the seed alone, and is logged, so
// that a failure can be repeated; what the processes do meanwhile is up to the machine.

// eventLog logs what a test does, with the time since its start.
type eventLog struct {
	t     *testing.T
	begin time.Time
}

func newEventLog(t *testing.T) eventLog { return eventLog{t, time.Now()} }

func (d eventLog) log(format string, args ...any) {
	d.t.Helper()
	d.t.Logf("%7.3fs: %s", time.Since(d.begin).Seconds(), fmt.Sprintf(format, args...))
}

// pause waits for a random time.
func (d eventLog) pause(rnd *rand.Rand, most time.Duration) {
	d.t.Helper()
	pause := time.Duration(rnd.Int64N(int64(most)))
	d.log("wait for %v", pause)
	select {
	case <-time.After(pause):
	case <-d.t.Context().Done():
	}
}

// worlds are those that the tests of single kills do not try.
var worlds = map[string]world{
	"members without instance ids": {dynamic: true},
	"transactions":                 {transactions: true},
	"the default settle":           {defaultSettle: true},
	"all of them":                  {dynamic: true, transactions: true, defaultSettle: true},
}

func eachWorld(t *testing.T, test func(*testing.T, world)) {
	for name, w := range worlds {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, w)
		})
	}
}

// TestIncreasesAreExactInEachWorld kills at the chosen moments of crash_test.go and sigstop_test.go.
func TestIncreasesAreExactInEachWorld(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]func(*testing.T, world){
		"members die join and leave":     membersDieJoinAndLeave,
		"killed several times a scrape":  diesBetweenScrapes,
		"killed at chosen moments":       killsAtChosenMoments,
		"the first scrapes of a process": firstScrapesFail,
		"frozen":                         freezes,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			eachWorld(t, test)
		})
	}
}

// TestIncreasesAreExactAfterKillsRestartsAndRebalances kills a dozen or thirty times, with a third member that comes and goes, a broker that
// restarts, and a topic that is recreated.
func TestIncreasesAreExactAfterKillsRestartsAndRebalances(t *testing.T) {
	t.Parallel()
	t.Run("static members", func(t *testing.T) {
		t.Parallel()
		killsRestartsAndRebalances(t, world{})
	})
	eachWorld(t, killsRestartsAndRebalances)
}

func killsRestartsAndRebalances(t *testing.T, w world) {
	rnd := seed.Rand(t)
	c := newCluster(t, time.Second)
	c.world = w
	stop := c.produce(t)
	names := []string{"a", "b", "c"}
	for _, name := range names[:2] {
		c.start(t, name, "prometheus")
	}
	d := newEventLog(t)
	kills := 30
	if w.dynamic { // a member that dies while it joins holds up the others for the rebalance timeout, a minute: none does here
		kills = 12
	}
	for n := range kills {
		if w.dynamic {
			c.awaitMembers(t, slices.Collect(maps.Keys(c.exporters))...)
		}
		d.pause(rnd, 2500*time.Millisecond)
		if n == kills/3 {
			d.log("start c")
			c.start(t, "c", "prometheus")
		}
		if n == kills/2 {
			stop()
			c.awaitCounted(t)
			d.log("recreate a topic")
			c.recreate(t, "consign.commerce")
			stop = c.produce(t)
		}
		name := names[rnd.IntN(len(c.exporters))]
		d.log("kill %s", name)
		kill(t, c.exporters[name])
		if n == kills*2/3 {
			d.log("restart the broker")
			restartBroker(t, c)
		}
		d.pause(rnd, time.Second)
		d.log("restart %s", name)
		restart(t, c.exporters[name])
	}
	d.log("stop c")
	stopProcess(t, c.exporters["c"]) // scale in
	c.awaitMembers(t, "a", "b")
	end(t, c, stop)
}

func TestIncreasesAreExactWhenKillsComeFasterThanScrapes(t *testing.T) {
	t.Parallel()
	rnd := seed.Rand(t)
	c := newCluster(t, 5*time.Second)
	stop := c.produce(t)
	a := c.start(t, "a", "prometheus")
	d := newEventLog(t)
	for range 12 {
		d.pause(rnd, 3*time.Second)
		d.log("kill a")
		kill(t, a)
		restart(t, a)
	}
	end(t, c, stop)
}

func TestIncreasesAreExactWhenAProcessIsFrozenAtAnyMoment(t *testing.T) {
	t.Parallel()
	rnd := seed.Rand(t)
	c := newCluster(t, time.Second)
	c.session = "2s"
	stop := c.produce(t)
	a := c.start(t, "a", "prometheus")
	c.start(t, "b", "prometheus")
	d := newEventLog(t)
	for range 4 {
		d.pause(rnd, time.Second)
		d.log("freeze a")
		signal(t, a, syscall.SIGSTOP)
		d.pause(rnd, 5*time.Second) // often longer than the session
		d.log("wake a")
		signal(t, a, syscall.SIGCONT)
		d.pause(rnd, 4*time.Second)
	}
	end(t, c, stop)
}

func TestKafkaModeIsExactWhenItIsStoppedAtAnyMoment(t *testing.T) {
	t.Parallel()
	rnd := seed.Rand(t)
	c := newCluster(t, time.Second)
	c.session = "1m" // a member that loses its session has delivered what is not committed
	stop := c.produce(t)
	a := c.start(t, "a", "kafka")
	d := newEventLog(t)
	for range 8 {
		d.pause(rnd, 2*time.Second)
		d.log("stop a")
		stopProcess(t, a) // waits for a last scrape
		restart(t, a)
	}
	end(t, c, stop)
}
