//go:build acceptance

package escalation

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/consignwatch/consignwatch/pkg/ack"
	"github.com/consignwatch/consignwatch/pkg/pages"
	"github.com/consignwatch/consignwatch/pkg/servers"
)

// gap is for how long an alert may be gone and still be the same incident: four evaluations, the least there is.
const gap = "4s"

// The receivers of a P0 of the technical team, in the order in which they hear of it.
var chain = []string{"technical-initial", "technical-secondary", "management", "emergency"}

// incident is one P0 in the rig. Its component tells it from the others, which are there at the same time.
type incident struct {
	*rig
	component string
	// began is since when the chain has to be told: since the fault is there, and once the first is told, since the alert fires.
	began time.Time
	lost  bool // something did not come: the rest of the story makes no sense
}

func (r *rig) incident(component string) *incident {
	i := &incident{rig: r, component: component}
	i.begin()
	return i
}

func (i *incident) labels() labels {
	return labels{"alert": "BackupFailed", "client": "_platform", "component": i.component, "subject": "it", "priority": "P0", "severity": "critical", "team": "technical", "category": "data_loss"}
}

func (i *incident) begin() {
	i.began = time.Now()
	i.on(i.labels())
}

// told are the times at which a receiver was told with a status.
func (i *incident) told(status, receiver string) []time.Time {
	var times []time.Time
	for _, p := range i.of(status, func(p pages.Page) bool {
		return p.Receiver == receiver && p.Alerts[0].Labels["component"] == i.component
	}) {
		times = append(times, p.Time)
	}
	return times
}

// counts checks how often each of the chain was told that it fires.
func (i *incident) counts(want ...int) {
	i.t.Helper()
	var got []int
	for _, receiver := range chain {
		got = append(got, len(i.told(pages.Firing, receiver)))
	}
	if !i.lost && !slices.Equal(got, want) {
		i.t.Errorf("%s: the chain is told %v times, want %v\n%s", i.component, got, want, i.story())
	}
}

// must waits for what the story cannot go on without.
func (i *incident) must(what string, within time.Duration, done func() bool) {
	i.t.Helper()
	i.lost = i.lost || !i.await(i.component+": "+what, within, done)
}

// level waits until the level, from 1, is told for the n-th time, and checks that this is in time.
func (i *incident) level(l, n int) {
	i.t.Helper()
	due := time.Duration(l-1) * level
	i.must(fmt.Sprintf("level %d, the %d. time", l, n), time.Until(i.began)+due+late+30*time.Second, func() bool { return len(i.told(pages.Firing, chain[l-1])) >= n })
	if i.lost {
		return
	}
	if after := i.told(pages.Firing, chain[l-1])[n-1].Sub(i.began); after < due || after > due+late {
		i.t.Errorf("%s: level %d is told after %s, want %s to %s\n%s", i.component, l, after.Round(100*time.Millisecond), due, due+late, i.story())
	}
	if l == 1 {
		first := i.of(pages.Firing, func(p pages.Page) bool {
			return p.Receiver == chain[0] && p.Alerts[0].Labels["component"] == i.component
		})
		i.began = first[n-1].Alerts[0].StartsAt
	}
}

func (i *incident) desk(do func(*ack.Desk, context.Context, ack.Selection) ([]ack.Outcome, error)) {
	i.t.Helper()
	selector, err := ack.ParseMatchers("component=" + i.component)
	if err == nil {
		_, err = do(&ack.Desk{Client: i.client, Author: "ann", Length: 15 * time.Second}, i.t.Context(), ack.Selection{Selector: selector})
	}
	if err != nil {
		i.lost = true
		i.t.Errorf("%s: %v", i.component, err)
	}
}

func (i *incident) take()     { i.desk((*ack.Desk).Take) }
func (i *incident) giveBack() { i.desk((*ack.Desk).GiveBack) }

// quiet checks that nobody is told anything more for a time in which two levels would be.
func (i *incident) quiet(want ...int) {
	i.t.Helper()
	if !i.lost {
		time.Sleep(2*level + late)
	}
	i.counts(want...)
}

// over ends the incident, waits until everybody who was told of it knows, and until an alert that fires is a new incident.
func (i *incident) over() {
	i.t.Helper()
	i.off(i.labels())
	for _, receiver := range chain {
		if len(i.told(pages.Firing, receiver)) > 0 {
			i.must("resolved, to "+receiver, 30*time.Second, func() bool { return len(i.told(pages.Resolved, receiver)) > 0 })
		}
	}
	i.must("no incident any more", 30*time.Second, func() bool {
		return i.asked(fmt.Sprintf(`last_over_time(client_alert:firing_since_timestamp_seconds:last{component=%q}[%s])`, i.component, gap)) == 0
	})
}

// The stories run at the same time, because they mostly wait.
func TestEscalationAndAcknowledgement(t *testing.T) {
	t.Parallel()
	r := newRig(t, "north", "south")
	var stories sync.WaitGroup
	stories.Go(func() {
		i := r.incident("alone")
		for l := range chain {
			i.level(l+1, 1)
		}
		time.Sleep(level)
		i.counts(1, 1, 1, 1)
		i.over()
		i.begin() // the next incident is one of its own
		i.level(1, 2)
		i.level(2, 2)
	})
	stories.Go(func() {
		i := r.incident("first")
		i.level(1, 1)
		i.take()
		r.restartDaemon()
		i.quiet(1, 0, 0, 0) // for longer than the acknowledgement lasts by itself
		i.over()
		i.begin()
		i.level(1, 2)
		i.level(2, 1)
	})
	stories.Go(func() {
		i := r.incident("second")
		i.level(1, 1)
		i.level(2, 1)
		i.take()
		i.quiet(1, 1, 0, 0)
		i.over()
	})
	stories.Go(func() {
		i := r.incident("third")
		i.level(1, 1)
		i.level(3, 1)
		i.take()
		i.quiet(1, 1, 1, 0)
		i.over()
	})
	stories.Go(func() {
		i := r.incident("back")
		i.level(1, 1)
		i.take()
		time.Sleep(level + late)
		i.counts(1, 0, 0, 0)
		i.giveBack()
		i.began = time.Now() // the levels start anew, and step in order
		i.level(2, 1)
		i.level(3, 1)
	})
	stories.Wait()
}

// Whatever is restarted, no level is told twice, and none is left out.
func TestRestartsNeitherRepeatNorSkipALevel(t *testing.T) {
	t.Parallel()
	r := newRig(t, "north", "south")
	restart := func(p *servers.Process, end func(context.Context) error) {
		t.Helper()
		if err := errors.Join(end(t.Context()), p.Restart(t.Context())); err != nil {
			t.Fatal(err)
		}
	}
	taken := r.incident("taken")
	taken.level(1, 1)
	taken.take()
	alone := r.incident("alone")
	alone.level(1, 1)
	restart(r.prometheus, r.prometheus.Stop)
	alone.level(2, 1)
	restart(r.alertmanager, r.alertmanager.Stop)
	alone.level(3, 1)
	restart(r.prometheus, func(context.Context) error { return r.prometheus.Kill() })
	alone.level(4, 1)
	time.Sleep(level)
	alone.counts(1, 1, 1, 1)
	taken.counts(1, 0, 0, 0)
	taken.over()
	taken.begin()
	taken.level(1, 2)
}
