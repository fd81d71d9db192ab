package events_test

import (
	"math/rand/v2"
	"syscall"
	"testing"
	"time"
)

// TestIncreasesAreExactWhenAProcessIsFrozen stops a process for longer than its session, so that another replica counts
// its partitions, and lets it go on: at a random moment, and when its response is written and Prometheus has none of it,
// half of it, or all of it. The process that wakes up must not show anything that the other has counted again.
func TestIncreasesAreExactWhenAProcessIsFrozen(t *testing.T) {
	t.Parallel()
	c := newCluster(t, time.Second)
	c.session = "2s"
	stop := c.produce(t.Context(), t, 20*time.Millisecond)
	a, proxy := c.startBehindProxy(t, "a", "prometheus")
	c.start(t, "b", "prometheus")
	proxy.next(t, 1, func() {})
	freeze := func() {
		if err := a.Signal(syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
	}
	for _, share := range []float64{-1, 0, 0.5, 1} {
		if share < 0 {
			wait(t.Context(), rand.N(time.Second))
			freeze()
		} else {
			proxy.next(t, share, freeze)
		}
		wait(t.Context(), 3500*time.Millisecond) // longer than the session
		if err := a.Signal(syscall.SIGCONT); err != nil {
			t.Fatal(err)
		}
		wait(t.Context(), 2*time.Second)
	}
	end(t, c, stop)
}
