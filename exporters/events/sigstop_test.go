package events_test

import (
	"syscall"
	"testing"
	"time"

	"github.com/consignwatch/consignwatch/pkg/demo/servers"
)

func signal(t *testing.T, p *servers.Process, s syscall.Signal) {
	t.Helper()
	if err := p.Signal(s); err != nil {
		t.Fatal(err)
	}
}

// TestIncreasesAreExactWhenAProcessIsFrozen stops a process until its session has ended and another replica counts its partitions, and lets it go on: when its
// response is written and Prometheus has none of it, half of it, or all of it. The process that wakes up must not show anything that the other has
// counted again.
func TestIncreasesAreExactWhenAProcessIsFrozen(t *testing.T) {
	t.Parallel()
	freezes(t, world{})
}

func freezes(t *testing.T, w world) {
	c := newCluster(t, time.Second)
	c.world = w
	c.session = "2s"
	stop := c.produce(t)
	a, scrapes := c.startBehindProxies(t, "a", "prometheus")
	b := c.start(t, "b", "prometheus")
	for _, share := range []float64{0, 0.5, 1} {
		c.awaitMembers(t, "a", "b")
		awaitDelivery(t, a)
		scrapes.next(t, share, func() { signal(t, a, syscall.SIGSTOP) })
		c.awaitMembers(t, "b")
		awaitDelivery(t, b)
		signal(t, a, syscall.SIGCONT)
	}
	c.awaitMembers(t, "a", "b")
	awaitDelivery(t, a)
	end(t, c, stop)
}
