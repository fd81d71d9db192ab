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

	"github.com/consignwatch/consignwatch/pkg/alerting/ack"
	"github.com/consignwatch/consignwatch/pkg/demo/servers"
	"github.com/consignwatch/consignwatch/pkg/demo/webhookreceiver"
)

// resolveGrace is for how long an alert may be missing and still be the same incident: four evaluations, the minimum.
const resolveGrace = "4s"

// receiversByLevel are the receivers of a P0 alert of the technical team, by level.
var receiversByLevel = []string{"technical-initial", "technical-secondary", "management", "emergency"}

// incident is a P0 alert in an environment. Incidents run at the same time, each with a component of its own.
type incident struct {
	*environment
	component string
	// started is when the times of the levels start: when the alert was set, and after the first notification, when the alert fired.
	started time.Time
	failed  bool // something is missing: later steps are not checked
}

func (e *environment) incident(component string) *incident {
	i := &incident{environment: e, component: component}
	i.begin()
	return i
}

func (i *incident) labels() labels {
	return labels{"alert": "BackupFailed", "client": "_platform", "component": i.component, "subject": "it", "priority": "P0", "severity": "critical", "team": "technical", "category": "data_loss"}
}

func (i *incident) begin() {
	i.started = time.Now()
	i.setFiring(i.labels())
}

// notifiedAt are the times of a receiver's notifications with a status.
func (i *incident) notifiedAt(status, receiver string) []time.Time {
	var times []time.Time
	for _, n := range i.notificationsWith(status, func(n webhookreceiver.Notification) bool {
		return n.Receiver == receiver && n.Alerts[0].Labels["component"] == i.component
	}) {
		times = append(times, n.Time)
	}
	return times
}

// checkCounts checks the number of firing notifications of each level.
func (i *incident) checkCounts(want ...int) {
	i.t.Helper()
	var got []int
	for _, receiver := range receiversByLevel {
		got = append(got, len(i.notifiedAt(webhookreceiver.Firing, receiver)))
	}
	if !i.failed && !slices.Equal(got, want) {
		i.t.Errorf("%s: the chain is notified %v times, want %v\n%s", i.component, got, want, i.timeline())
	}
}

// require waits until done returns true. Otherwise the incident has failed.
func (i *incident) require(what string, within time.Duration, done func() bool) {
	i.t.Helper()
	i.failed = i.failed || !i.await(i.component+": "+what, within, done)
}

// checkLevel waits for the n-th notification of a level, from 1, and checks its time.
func (i *incident) checkLevel(level, count int) {
	i.t.Helper()
	delay := time.Duration(level-1) * levelDelay
	i.require(fmt.Sprintf("level %d, the %d. time", level, count), time.Until(i.started)+delay+tolerance+30*time.Second, func() bool { return len(i.notifiedAt(webhookreceiver.Firing, receiversByLevel[level-1])) >= count })
	if i.failed {
		return
	}
	if took := i.notifiedAt(webhookreceiver.Firing, receiversByLevel[level-1])[count-1].Sub(i.started); took < delay || took > delay+tolerance {
		i.t.Errorf("%s: level %d is notified after %s, want %s to %s\n%s", i.component, level, took.Round(100*time.Millisecond), delay, delay+tolerance, i.timeline())
	}
	if level == 1 {
		notifications := i.notificationsWith(webhookreceiver.Firing, func(p webhookreceiver.Notification) bool {
			return p.Receiver == receiversByLevel[0] && p.Alerts[0].Labels["component"] == i.component
		})
		i.started = notifications[count-1].Alerts[0].StartsAt
	}
}

func (i *incident) acknowledger(do func(*ack.Acknowledger, context.Context, ack.Selection) ([]ack.Result, error)) {
	i.t.Helper()
	selector, err := ack.ParseMatchers("component=" + i.component)
	if err == nil {
		_, err = do(&ack.Acknowledger{Client: i.client, Author: "ann", Length: 15 * time.Second}, i.t.Context(), ack.Selection{Selector: selector})
	}
	if err != nil {
		i.failed = true
		i.t.Errorf("%s: %v", i.component, err)
	}
}

func (i *incident) acknowledge()   { i.acknowledger((*ack.Acknowledger).Acknowledge) }
func (i *incident) unacknowledge() { i.acknowledger((*ack.Acknowledger).Unacknowledge) }

// checkNoMore checks that no notification follows within the time of two levels.
func (i *incident) checkNoMore(want ...int) {
	i.t.Helper()
	if !i.failed {
		time.Sleep(2*levelDelay + tolerance)
	}
	i.checkCounts(want...)
}

// resolveAndAwait resolves the alert, and waits until all notified receivers are notified of the resolution, and until the next alert is a new incident.
func (i *incident) resolveAndAwait() {
	i.t.Helper()
	i.setResolved(i.labels())
	for _, receiver := range receiversByLevel {
		if len(i.notifiedAt(webhookreceiver.Firing, receiver)) > 0 {
			i.require("resolved, to "+receiver, 30*time.Second, func() bool { return len(i.notifiedAt(webhookreceiver.Resolved, receiver)) > 0 })
		}
	}
	i.require("no incident any more", 30*time.Second, func() bool {
		return i.seriesCount(fmt.Sprintf(`last_over_time(client_alert:firing_since_timestamp_seconds:last{component=%q}[%s])`, i.component, resolveGrace)) == 0
	})
}

// The incidents run at the same time, because they mostly wait.
func TestEscalationAndAcknowledgement(t *testing.T) {
	t.Parallel()
	r := newEnvironment(t, "north", "south")
	var incidents sync.WaitGroup
	incidents.Go(func() {
		i := r.incident("alone")
		for l := range receiversByLevel {
			i.checkLevel(l+1, 1)
		}
		time.Sleep(levelDelay)
		i.checkCounts(1, 1, 1, 1)
		i.resolveAndAwait()
		i.begin() // a new incident
		i.checkLevel(1, 2)
		i.checkLevel(2, 2)
	})
	incidents.Go(func() {
		i := r.incident("first")
		i.checkLevel(1, 1)
		i.acknowledge()
		r.restartDaemon()
		i.checkNoMore(1, 0, 0, 0) // for longer than an acknowledgement that is not renewed
		i.resolveAndAwait()
		i.begin()
		i.checkLevel(1, 2)
		i.checkLevel(2, 1)
	})
	incidents.Go(func() {
		i := r.incident("second")
		i.checkLevel(1, 1)
		i.checkLevel(2, 1)
		i.acknowledge()
		i.checkNoMore(1, 1, 0, 0)
		i.resolveAndAwait()
	})
	incidents.Go(func() {
		i := r.incident("third")
		i.checkLevel(1, 1)
		i.checkLevel(3, 1)
		i.acknowledge()
		i.checkNoMore(1, 1, 1, 0)
		i.resolveAndAwait()
	})
	incidents.Go(func() {
		i := r.incident("back")
		i.checkLevel(1, 1)
		i.acknowledge()
		time.Sleep(levelDelay + tolerance)
		i.checkCounts(1, 0, 0, 0)
		i.unacknowledge()
		i.started = time.Now() // the levels start over, in order
		i.checkLevel(2, 1)
		i.checkLevel(3, 1)
	})
	incidents.Wait()
}

// After a restart of any server, no level is notified twice, and none is skipped.
func TestRestartsNeitherRepeatNorSkipALevel(t *testing.T) {
	t.Parallel()
	r := newEnvironment(t, "north", "south")
	restart := func(p *servers.Process, end func(context.Context) error) {
		t.Helper()
		if err := errors.Join(end(t.Context()), p.Restart(t.Context())); err != nil {
			t.Fatal(err)
		}
	}
	acknowledged := r.incident("taken")
	acknowledged.checkLevel(1, 1)
	acknowledged.acknowledge()
	unacknowledged := r.incident("alone")
	unacknowledged.checkLevel(1, 1)
	restart(r.prometheus, r.prometheus.Stop)
	unacknowledged.checkLevel(2, 1)
	restart(r.alertmanager, r.alertmanager.Stop)
	unacknowledged.checkLevel(3, 1)
	restart(r.prometheus, func(context.Context) error { return r.prometheus.Kill() })
	unacknowledged.checkLevel(4, 1)
	time.Sleep(levelDelay)
	unacknowledged.checkCounts(1, 1, 1, 1)
	acknowledged.checkCounts(1, 0, 0, 0)
	acknowledged.resolveAndAwait()
	acknowledged.begin()
	acknowledged.checkLevel(1, 2)
}
