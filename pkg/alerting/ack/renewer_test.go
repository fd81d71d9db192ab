package ack

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/consignwatch/consignwatch/pkg/alerting/amclient"
)

var now = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

// firing is an alert that was sent just now.
func firing(name, priority string) amclient.Alert {
	return amclient.Alert{Labels: map[string]string{"alertname": name, "client": "north", "component": "checkout", "subject": "card", "priority": priority}, UpdatedAt: now}
}

func with(a amclient.Alert, label, value string) amclient.Alert {
	a.Labels[label] = value
	return a
}

func heartbeat(age time.Duration) amclient.Alert {
	a := with(firing("Watchdog", "none"), "client", "_platform")
	a.UpdatedAt = now.Add(-age)
	return a
}

// acknowledging is the silence that acknowledges an alert.
func acknowledging(a amclient.Alert) []amclient.Matcher {
	return (&Alert{Alert: a, Identity: IdentityOf(a.Labels)}).matchers()
}

func testRenewer() *Renewer {
	return &Renewer{Length: 15 * time.Minute, Settle: 2 * time.Minute, Heartbeat: "Watchdog", HeartbeatAge: 2 * time.Minute}
}

func snapshotOf(t *testing.T, at time.Time, silences []amclient.Silence, alerts ...amclient.Alert) *Snapshot {
	t.Helper()
	s := &Snapshot{Time: at, AlertmanagerStarted: now.Add(-time.Hour), Silences: silences}
	if err := s.assignSilences(alerts); err != nil {
		t.Fatal(err)
	}
	return s
}

// planned describes the changes of a plan.
func planned(r *Renewer, s *Snapshot) string {
	var all []string
	for _, c := range r.plan(s) {
		text := string(c.action)
		if c.action == renewal {
			text = fmt.Sprintf("renew %s", c.silence.EndsAt.Sub(s.Time))
		}
		all = append(all, text)
	}
	return strings.Join(all, ", ")
}

func TestThePlanFollowsFromTheSnapshot(t *testing.T) {
	fires := firing("A", "P1")
	escalation := with(with(firing("EscalationL2", "P1"), "source_alertname", "A"), "escalation", "L2")
	silence := func(left time.Duration, comment, state string) amclient.Silence {
		return amclient.Silence{ID: "1", Matchers: acknowledging(fires), StartsAt: now.Add(-time.Hour), EndsAt: now.Add(left), Comment: comment, Status: amclient.SilenceStatus{State: state}}
	}
	const long = time.Hour
	for what, c := range map[string]struct {
		up      time.Duration
		alerts  []amclient.Alert
		silence amclient.Silence
		want    string
	}{
		"fires, fresh":                      {long, []amclient.Alert{heartbeat(0), fires}, silence(11*time.Minute, "ACK!", amclient.Active), ""},
		"fires, a third has passed":         {long, []amclient.Alert{heartbeat(0), fires}, silence(9*time.Minute, "ACK!", amclient.Active), "renew 15m0s"},
		"fires, for long":                   {long, []amclient.Alert{heartbeat(0), fires}, silence(2*time.Hour, "ACK! x", amclient.Active), ""},
		"fires while Alertmanager is fresh": {time.Minute, []amclient.Alert{fires}, silence(time.Minute, "ACK!", amclient.Active), "renew 15m0s"},
		"resolved":                          {long, []amclient.Alert{heartbeat(time.Minute)}, silence(2*time.Hour, "ACK!", amclient.Active), "end"},
		"only its escalation is left":       {long, []amclient.Alert{heartbeat(0), escalation}, silence(14*time.Minute, "ACK!", amclient.Active), ""},
		"missing, Alertmanager is fresh":    {time.Minute, []amclient.Alert{heartbeat(0)}, silence(time.Minute, "ACK!", amclient.Active), ""},
		"missing, no heartbeat":             {long, nil, silence(time.Minute, "ACK!", amclient.Active), ""},
		"missing, an old heartbeat":         {long, []amclient.Alert{heartbeat(3 * time.Minute)}, silence(time.Minute, "ACK!", amclient.Active), ""},
		"ended already":                     {long, []amclient.Alert{heartbeat(0), fires}, silence(-time.Minute, "ACK!", amclient.Expired), ""},
		"not begun":                         {long, []amclient.Alert{heartbeat(0)}, silence(time.Minute, "ACK!", amclient.Pending), ""},
		"no acknowledgement":                {long, []amclient.Alert{heartbeat(0)}, silence(time.Minute, "maintenance", amclient.Active), ""},
	} {
		s := snapshotOf(t, now, []amclient.Silence{c.silence}, c.alerts...)
		s.AlertmanagerStarted = now.Add(-c.up)
		if got := planned(testRenewer(), s); got != c.want {
			t.Errorf("%s: %q, want %q", what, got, c.want)
		}
	}
}

// An alert that becomes worse is another one: its acknowledgement does not hold for it, nor for its escalations. What becomes milder stays acknowledged.
func TestAnAcknowledgementHoldsForItsPriorityAndMilderOnes(t *testing.T) {
	for _, c := range []struct {
		of, fires string
		holds     bool
	}{
		{"P1", "P1", true}, {"P1", "P0", false}, {"P1", "P2", true}, {"P0", "P0", true}, {"P0", "P1", true}, {"P0", "none", false},
		{"P3", "P2", false}, {"P3", "P3", true}, {"", "", true}, {"", "P0", false}, {"page", "page", true}, {"page", "P3", false},
	} {
		silence := amclient.Silence{ID: "1", Matchers: acknowledging(firing("A", c.of)), StartsAt: now, EndsAt: now.Add(time.Minute), Comment: Prefix, Status: amclient.SilenceStatus{State: amclient.Active}}
		for name, alert := range map[string]amclient.Alert{
			"the alert": firing("A", c.fires), "its escalation": with(with(firing("EscalationL2", c.fires), "source_alertname", "A"), "escalation", "L2"),
		} {
			selector, err := amclient.Select(silence.Matchers...)
			if err != nil || selector.Matches(alert.Labels) != c.holds {
				t.Errorf("acknowledged as %q, %s fires as %q: %v, %v", c.of, name, c.fires, !c.holds, err)
			}
		}
		worse := snapshotOf(t, now, []amclient.Silence{silence}, firing("A", c.fires), with(with(firing("EscalationL2", c.fires), "source_alertname", "A"), "escalation", "L2"))
		if got := worse.Alerts[0].Acknowledged(); got != c.holds {
			t.Errorf("acknowledged as %q, fires as %q: acknowledged is %t", c.of, c.fires, got)
		}
	}
}

// A silence of karma has the matchers that its author gave it. Without a priority it holds for all.
func TestASilenceWithoutAPriorityHoldsForAll(t *testing.T) {
	silence := amclient.Silence{ID: "1", Matchers: []amclient.Matcher{{Name: "alertname", Value: "A", IsEqual: true}}, StartsAt: now, EndsAt: now.Add(time.Minute), Comment: "ACK! karma", Status: amclient.SilenceStatus{State: amclient.Active}}
	s := snapshotOf(t, now, []amclient.Silence{silence}, firing("A", "P0"), firing("A", "P1"))
	for _, a := range s.Alerts {
		if a.Acknowledgement() == nil {
			t.Errorf("%s is not acknowledged", a.Identity)
		}
	}
}

// policy is that of the example inventory.
var policy = Policy{ResolveGrace: 2 * time.Minute, AckTimeout: map[string]time.Duration{"P0": 30 * time.Minute, "P1": 4 * time.Hour}}

// history plays polls of a renewer, one a minute, and returns what it does at which minute. Alertmanager does as it is told.
func history(t *testing.T, r *Renewer, silence amclient.Silence, minutes int, alerts func(minute int) []amclient.Alert) (log []string, end int) {
	t.Helper()
	for m := range minutes {
		at := now.Add(time.Duration(m) * time.Minute)
		if !silence.EndsAt.After(at) {
			return log, m
		}
		firing := append(alerts(m), heartbeat(0))
		for i := range firing {
			firing[i].UpdatedAt = at
		}
		for _, c := range r.plan(snapshotOf(t, at, []amclient.Silence{silence}, firing...)) {
			log = append(log, fmt.Sprintf("%d: %s", m, c.action))
			switch c.action {
			case renewal:
				silence.EndsAt = c.silence.EndsAt
			case expiry:
				return log, m
			}
		}
	}
	return log, -1
}

func TestThePolicyEndsAnAcknowledgement(t *testing.T) {
	always := func(alerts ...amclient.Alert) func(int) []amclient.Alert {
		return func(int) []amclient.Alert { return alerts }
	}
	ack := func(length time.Duration, matchers ...amclient.Matcher) amclient.Silence {
		return amclient.Silence{ID: "1", Matchers: matchers, StartsAt: now, EndsAt: now.Add(length), Comment: Prefix, Status: amclient.SilenceStatus{State: amclient.Active}}
	}
	p0, p1, p2 := firing("A", "P0"), firing("A", "P1"), firing("A", "P2")
	for what, c := range map[string]struct {
		silence amclient.Silence
		alerts  func(int) []amclient.Alert
		end     int // minute; -1: it does not
		stop    string
	}{
		"P0":                       {ack(15*time.Minute, acknowledging(p0)...), always(p0), 30, "21: stop: policy"},
		"P1":                       {ack(15*time.Minute, acknowledging(p1)...), always(p1), 240, "231: stop: policy"},
		"P2 has no limit":          {ack(15*time.Minute, acknowledging(p2)...), always(p2), -1, ""},
		"for longer, as asked for": {ack(2*time.Hour, acknowledging(p0)...), always(p0), 120, "111: stop: policy"},
		"P0 becomes P1": {ack(15*time.Minute, acknowledging(p0)...), func(m int) []amclient.Alert {
			return []amclient.Alert{map[bool]amclient.Alert{true: p0, false: p1}[m < 10]}
		}, 240, "231: stop: policy"},
		"two alerts, the more urgent": {ack(15*time.Minute, amclient.Matcher{Name: "alertname", Value: "A", IsEqual: true}), always(p0, p1), 30, "21: stop: policy"},
		"the alert resolves before":   {ack(15*time.Minute, acknowledging(p0)...), func(m int) []amclient.Alert { return []amclient.Alert{p0}[:min(max(20-m, 0), 1)] }, 22, ""},
		"on an escalation": {
			ack(15*time.Minute, amclient.Matcher{Name: "alertname", Value: "EscalationL2", IsEqual: true}),
			always(p0, with(with(firing("EscalationL2", "P0"), "source_alertname", "A"), "escalation", "L2")), 30, "21: stop: policy",
		},
	} {
		r := testRenewer()
		r.Policy = policy
		first := snapshotOf(t, now, []amclient.Silence{c.silence}, c.alerts(0)...)
		log, end := history(t, r, c.silence, 300, c.alerts)
		stop := ""
		for _, entry := range log {
			if strings.Contains(entry, "stop") {
				stop += entry
			}
		}
		if end != c.end || stop != c.stop {
			t.Errorf("%s: ends at minute %d, want %d; it is logged as %q, want %q\n%v", what, end, c.end, stop, c.stop, log)
		}
		// What the metric says from the beginning.
		want := time.Time{}
		if c.end > 0 && what != "the alert resolves before" && what != "P0 becomes P1" {
			want = now.Add(time.Duration(c.end) * time.Minute)
		} else if c.end > 0 {
			want = now.Add(30 * time.Minute)
		}
		if got := r.End(first, &first.Alerts[0]); !got.Equal(want) {
			t.Errorf("%s: the announced end is %s, want %s", what, got, want)
		}
	}
}

// An alert that is missing for less than resolve_grace is the same incident: a scrape was missed, or Prometheus restarted.
func TestAnAcknowledgementOutlivesAShortGapOfItsAlert(t *testing.T) {
	p1 := firing("A", "P1")
	silence := amclient.Silence{ID: "1", Matchers: acknowledging(p1), StartsAt: now, EndsAt: now.Add(15 * time.Minute), Comment: Prefix, Status: amclient.SilenceStatus{State: amclient.Active}}
	for what, c := range map[string]struct {
		missing func(minute int) bool
		end     int
	}{
		"gaps of a minute":   {func(m int) bool { return m%3 == 1 }, -1},
		"a gap of two":       {func(m int) bool { return m == 20 || m == 21 || m == 22 }, 22},
		"resolved for good":  {func(m int) bool { return m >= 20 }, 22},
		"a gap at the start": {func(m int) bool { return m == 0 }, -1},
	} {
		r := testRenewer()
		r.Policy = Policy{ResolveGrace: policy.ResolveGrace}
		log, end := history(t, r, silence, 60, func(m int) []amclient.Alert {
			if c.missing(m) {
				return nil
			}
			return []amclient.Alert{p1}
		})
		if end != c.end {
			t.Errorf("%s: ends at minute %d, want %d\n%v", what, end, c.end, log)
		}
	}
}

// The time in which the list of alerts is incomplete does not count: nobody knows whether the alert is missing.
func TestAGapBeginsOnlyWhenTheListIsComplete(t *testing.T) {
	silences := []amclient.Silence{{ID: "1", Matchers: acknowledging(firing("A", "P1")), StartsAt: now, EndsAt: now.Add(time.Hour), Comment: Prefix, Status: amclient.SilenceStatus{State: amclient.Active}}}
	r := testRenewer()
	r.Policy = policy
	for _, step := range []struct {
		minute int
		lastly time.Duration // age of the heartbeat
		want   string
	}{{0, 0, ""}, {1, 0, ""}, {2, 3 * time.Minute, ""}, {3, 0, ""}, {4, 0, ""}, {5, 0, "end"}} {
		at := now.Add(time.Duration(step.minute) * time.Minute)
		beat := heartbeat(0)
		beat.UpdatedAt = at.Add(-step.lastly)
		if got := planned(r, snapshotOf(t, at, silences, beat)); got != step.want {
			t.Errorf("minute %d: %q, want %q", step.minute, got, step.want)
		}
	}
}

// A broad silence of karma matches the heartbeat, too. Renewed, it would keep the heartbeat service from hearing of it, and would never end.
func TestTheHeartbeatIsNeverAcknowledged(t *testing.T) {
	broad := amclient.Silence{
		ID: "1", Matchers: []amclient.Matcher{{Name: "client", Value: ".+", IsRegex: true, IsEqual: true}}, StartsAt: now, EndsAt: now.Add(12 * time.Minute),
		Comment: "ACK! all of it", Status: amclient.SilenceStatus{State: amclient.Active},
	}
	for what, c := range map[string]struct {
		alerts []amclient.Alert
		end    int
		log    string
	}{
		"only the heartbeat":               {nil, 2, "2: end"},
		"and what notifies nobody":         {[]amclient.Alert{with(firing("InhibitionSourceRecent", "none"), "source_alertname", "A")}, 2, "2: end"},
		"others, too: it is not renewed":   {[]amclient.Alert{firing("A", "P2")}, 12, "3: stop: matches heartbeat"},
		"others with a limit of their own": {[]amclient.Alert{firing("A", "P0")}, 12, "3: stop: matches heartbeat"},
	} {
		r := testRenewer()
		r.Policy = policy
		if log, end := history(t, r, broad, 60, func(int) []amclient.Alert { return c.alerts }); end != c.end || strings.Join(log, ", ") != c.log {
			t.Errorf("%s: ends at minute %d, want %d; %q, want %q", what, end, c.end, log, c.log)
		}
	}
}

// An alert about another one that is no escalation is an incident of its own.
func TestAnAlertAboutAnotherIsAcknowledgedByItself(t *testing.T) {
	about := with(with(firing("IncidentUnresolved", "P2"), "source_alertname", "A"), "subject", "A/card")
	ending := with(firing(EndingAlert, "P0"), "source_alertname", "A")
	silence := amclient.Silence{ID: "1", Matchers: acknowledging(about), StartsAt: now, EndsAt: now.Add(time.Hour), Comment: Prefix, Status: amclient.SilenceStatus{State: amclient.Active}}
	s := snapshotOf(t, now, []amclient.Silence{silence}, firing("A", "P0"), about, ending)
	got := map[string]bool{}
	for _, a := range s.Alerts {
		got[a.Identity.String()] = a.Acknowledgement() != nil
	}
	if len(got) != 2 || got["A north checkout card P0"] || !got["IncidentUnresolved north checkout A/card P2"] {
		t.Errorf("acknowledged: %v", got)
	}
	if !s.ending(IdentityOf(firing("A", "P0").Labels)) || s.ending(IdentityOf(firing("A", "P1").Labels)) {
		t.Error("the reminder is not about its source")
	}
}
