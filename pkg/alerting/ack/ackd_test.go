package ack_test

import (
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/consignwatch/consignwatch/pkg/alerting/ack/daemon"
	"github.com/consignwatch/consignwatch/pkg/alerting/amclient"
	"github.com/consignwatch/consignwatch/pkg/demo/webhookreceiver"
	"github.com/consignwatch/consignwatch/pkg/executable"
	"github.com/consignwatch/consignwatch/pkg/exporter/exportertest"
	"github.com/consignwatch/consignwatch/pkg/golden"
)

func TestAnAcknowledgementLivesAsLongAsItsAlert(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	// Two daemons side by side, as with the members of a cluster.
	slower := []string{"interval: 1s", "interval: 2s", "timeout: 1s", "timeout: 2s", "renew_for: 6s", "renew_for: 12s"} // long enough that no poll fails
	daemons := []*exportertest.Running{s.daemon(slower...), s.daemon(slower...)}
	s.fire("CheckoutFailing", "north", nil)
	s.await("the notification", func() bool { return s.notificationsAbout(webhookreceiver.Firing, "CheckoutFailing", "north") == 1 })
	for _, d := range daemons {
		d.Await(t, "an explicit 0", func(series map[string]float64) bool {
			return acknowledgedValue(series, "CheckoutFailing", "north") == 0
		})
	}
	s.acknowledge("CheckoutFailing")
	for _, d := range daemons {
		d.Await(t, "acknowledged", func(series map[string]float64) bool {
			return acknowledgedValue(series, "CheckoutFailing", "north") == 1
		})
	}

	// Resolved: the resolution is notified, and the next incident pages.
	s.resolve("CheckoutFailing", "north")
	s.await("the end", func() bool { return len(s.activeSilences()) == 0 })
	for _, d := range daemons {
		d.Await(t, "no series after the resolution", func(series map[string]float64) bool {
			return acknowledgedValue(series, "CheckoutFailing", "north") == -1
		})
	}
	s.await("the message that it has resolved", func() bool { return s.notificationsAbout(webhookreceiver.Resolved, "CheckoutFailing", "north") == 1 })
	s.fire("CheckoutFailing", "north", nil)
	s.await("the next notification", func() bool { return s.notificationsAbout(webhookreceiver.Firing, "CheckoutFailing", "north") == 2 })
	for _, d := range daemons {
		d.Await(t, "an explicit 0", func(series map[string]float64) bool {
			return acknowledgedValue(series, "CheckoutFailing", "north") == 0
		})
		for name, v := range d.Series(t) {
			if strings.HasPrefix(name, "consignwatch_collector_failures_total") && v > 0 {
				t.Errorf("%s is %v:\n%s", name, v, d.Log())
			}
		}
	}
}

func TestAnAcknowledgementOutlivesItsLengthOnlyWithTheDaemon(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.fire("CheckoutFailing", "north", nil)
	acknowledger := s.acknowledger()
	acknowledge := func(length time.Duration) amclient.Silence {
		t.Helper()
		acknowledger.Length = length
		results, err := acknowledger.Acknowledge(t.Context(), selection(t, "CheckoutFailing"))
		if err != nil {
			t.Fatal(err)
		}
		return results[0].Silence
	}
	acknowledge(time.Second)
	s.await("its end", func() bool { return len(s.activeSilences()) == 0 })
	d := s.daemon()
	d.Await(t, "an explicit 0", func(series map[string]float64) bool {
		return acknowledgedValue(series, "CheckoutFailing", "north") == 0
	})
	first := acknowledge(6 * time.Second)
	s.await("that it has outlived its length", func() bool { return time.Since(first.EndsAt) > 2*time.Second })
	if active := s.activeSilences(); len(active) != 1 || active[0].ID != first.ID {
		t.Errorf("in force: %+v", active)
	}
	if err := s.acknowledger().Client.ExpireSilence(t.Context(), first.ID); err != nil {
		t.Fatal(err)
	}
	d.Await(t, "an explicit 0 after the end", func(series map[string]float64) bool {
		return acknowledgedValue(series, "CheckoutFailing", "north") == 0
	})
}

func TestARestartOfTheDaemonChangesNothing(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.fire("CheckoutFailing", "north", nil)
	s.fire("CheckoutFailing", "south", nil)
	d := s.daemon()
	d.Await(t, "an explicit 0", func(series map[string]float64) bool {
		return acknowledgedValue(series, "CheckoutFailing", "north") == 0
	}) // the time to acknowledge is observed after the first snapshot only
	silence := s.acknowledge("client=north")
	d.Await(t, "acknowledged, and counted once", func(series map[string]float64) bool {
		return acknowledgedValue(series, "CheckoutFailing", "north") == 1 && acknowledgedValue(series, "CheckoutFailing", "south") == 0 && countOf(t, d, "consign_alert_time_to_acknowledge_seconds") == 1
	})
	d.Stop()
	if len(s.activeSilences()) != 1 {
		t.Error("the acknowledgement went with the daemon")
	}
	d = s.daemon()
	series := d.Await(t, "acknowledged", func(series map[string]float64) bool {
		return acknowledgedValue(series, "CheckoutFailing", "north") == 1
	})
	if acknowledgedValue(series, "CheckoutFailing", "south") != 0 {
		t.Error("what nobody has is not an explicit 0")
	}
	if n := countOf(t, d, "consign_alert_time_to_acknowledge_seconds"); n != 0 {
		t.Errorf("what was counted before is counted again: %d", n)
	}
	if active := s.activeSilences(); len(active) != 1 || active[0].ID != silence.ID {
		t.Errorf("in force: %+v", active)
	}
	s.resolve("CheckoutFailing", "north")
	s.await("the end", func() bool { return len(s.activeSilences()) == 0 })
	d.Await(t, "the time to resolve", func(map[string]float64) bool { return countOf(t, d, "consign_alert_time_to_resolve_seconds") == 1 })
}

// countOf adds up the counts of a histogram over all label values.
func countOf(t *testing.T, d *exportertest.Running, metric string) uint64 {
	t.Helper()
	var n uint64
	for _, mf := range d.Families(t) {
		if mf.GetName() == metric {
			for _, m := range mf.Metric {
				n += m.GetHistogram().GetSampleCount()
			}
		}
	}
	return n
}

// A restarted Alertmanager has its silences, but no alerts until they are sent again. Nothing has resolved.
func TestARestartOfAlertmanagerEndsNoAcknowledgement(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.fire("CheckoutFailing", "north", nil)
	d := s.daemon("settle: 0s", "settle: 3s")
	silence := s.acknowledge("CheckoutFailing")
	d.Await(t, "acknowledged", func(series map[string]float64) bool {
		return acknowledgedValue(series, "CheckoutFailing", "north") == 1
	})
	s.setPaused(true)
	if err := s.process.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.process.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := len(s.alerts()); n != 0 {
		t.Fatalf("%d alerts after the restart", n)
	}
	failed := func(series map[string]float64) float64 {
		return series[`consignwatch_collector_failures_total{collector="alerts",reason="capability"}`]
	}
	before := failed(d.Series(t))
	d.Await(t, "two polls without alerts", func(series map[string]float64) bool { return failed(series) >= before+2 })
	if len(s.activeSilences()) != 1 {
		t.Fatal("the acknowledgement was ended")
	}
	// The heartbeat is back before the other alerts: the list is still incomplete, as Alertmanager's settle time is not over.
	s.mu.Lock()
	alert := s.firing["CheckoutFailing north"]
	delete(s.firing, "CheckoutFailing north")
	s.mu.Unlock()
	s.setPaused(false)
	s.await("the heartbeat", func() bool { return len(s.alerts()) == 1 })
	before = failed(d.Series(t))
	d.Await(t, "another poll", func(series map[string]float64) bool { return failed(series) > before })
	s.mu.Lock()
	s.firing["CheckoutFailing north"] = alert
	s.mu.Unlock()
	d.Await(t, "acknowledged again", func(series map[string]float64) bool {
		return series[`consignwatch_collector_success{collector="alerts",target="alertmanager"}`] == 1 && acknowledgedValue(series, "CheckoutFailing", "north") == 1
	})
	if active := s.activeSilences(); len(active) != 1 || active[0].ID != silence.ID {
		t.Errorf("in force: %+v", active)
	}
}

// While Prometheus is down, its alerts vanish from Alertmanager. Nothing has resolved.
func TestASilentPrometheusEndsNoAcknowledgement(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.fire("CheckoutFailing", "north", nil)
	d := s.daemon()
	s.acknowledge("CheckoutFailing")
	s.setPaused(true)
	s.await("an Alertmanager without alerts", func() bool { return len(s.alerts()) == 0 })
	kept := `consignwatch_collector_last_success_timestamp_seconds{collector="acknowledgements",target="alertmanager"}`
	before := d.Series(t)[kept]
	d.Await(t, "three polls without alerts", func(series map[string]float64) bool { return series[kept] > before+2 })
	if len(s.activeSilences()) != 1 {
		t.Error("the acknowledgement was ended")
	}
	d.Await(t, "no samples of an incomplete list", func(series map[string]float64) bool {
		_, firing := series[`consign_alerts_firing{priority="P0"}`]
		return acknowledgedValue(series, "CheckoutFailing", "north") == -1 && !firing
	})
	s.setPaused(false)
	d.Await(t, "acknowledged again", func(series map[string]float64) bool {
		return acknowledgedValue(series, "CheckoutFailing", "north") == 1
	})
}

func TestAnAlertmanagerThatHangsOrSendsGarbageEndsNoAcknowledgement(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.fire("CheckoutFailing", "north", nil)
	relay := exportertest.NewFaultProxy(t, s.process.Address())
	d := exportertest.Start(t, daemon.App(), daemonConfig("http://"+relay.Address()))
	s.acknowledge("CheckoutFailing")
	acknowledgedNow := func(series map[string]float64) bool {
		return acknowledgedValue(series, "CheckoutFailing", "north") == 1
	}
	d.Await(t, "acknowledged", acknowledgedNow)
	for _, mode := range []exportertest.Mode{exportertest.Garbage, exportertest.Blackhole, exportertest.HangUp} {
		relay.Set(mode)
		relay.Cut()
		d.Await(t, "no samples", func(series map[string]float64) bool {
			return acknowledgedValue(series, "CheckoutFailing", "north") == -1 && series[`consignwatch_collector_success{collector="alerts",target="alertmanager"}`] == 0
		})
		if status, _ := d.Get(t, "/-/healthy"); status != 200 {
			t.Errorf("healthy: %d", status)
		}
		if countOf(t, d, "consign_alert_time_to_resolve_seconds") != 0 {
			t.Error("a resolution was invented")
		}
		relay.Set(exportertest.Forward)
		relay.Cut()
		d.Await(t, "acknowledged", acknowledgedNow)
		if len(s.activeSilences()) != 1 {
			t.Fatal("the acknowledgement was ended")
		}
	}
}

// Any silence counts as an acknowledgement. The daemon does not change silences without the prefix.
func TestASilenceByHandCountsAndIsLeftAlone(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	d := s.daemon()
	s.fire("CheckoutFailing", "north", nil)
	d.Await(t, "an explicit 0", func(series map[string]float64) bool {
		return acknowledgedValue(series, "CheckoutFailing", "north") == 0
	}) // the time to acknowledge is observed after the first snapshot only
	id, err := s.client.SetSilence(t.Context(), amclient.Silence{
		Matchers: []amclient.Matcher{{Name: "alertname", Value: "CheckoutFailing", IsEqual: true}}, StartsAt: time.Now(), EndsAt: time.Now().Add(time.Hour), CreatedBy: "carl", Comment: "known",
	})
	if err != nil {
		t.Fatal(err)
	}
	d.Await(t, "acknowledged", func(series map[string]float64) bool {
		return acknowledgedValue(series, "CheckoutFailing", "north") == 1 && countOf(t, d, "consign_alert_time_to_acknowledge_seconds") == 1
	})
	s.resolve("CheckoutFailing", "north")
	d.Await(t, "resolved", func(series map[string]float64) bool {
		return acknowledgedValue(series, "CheckoutFailing", "north") == -1 && series[`consign_alerts_firing{priority="P0"}`] == 0
	})
	if active := s.activeSilences(); len(active) != 1 || active[0].ID != id {
		t.Errorf("in force: %+v", active)
	}
	// An alert that was silenced before it fired has no time to acknowledge.
	s.fire("CheckoutFailing", "south", nil)
	d.Await(t, "acknowledged from its begin", func(series map[string]float64) bool {
		return acknowledgedValue(series, "CheckoutFailing", "south") == 1
	})
	if n := countOf(t, d, "consign_alert_time_to_acknowledge_seconds"); n != 1 {
		t.Errorf("%d alerts were answered", n)
	}
}

// With karma's acknowledge button, people silence the very alert that they see, which may be an escalation.
func TestAnAcknowledgedEscalationAcknowledgesItsAlert(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	d := s.daemon()
	s.fire("CheckoutFailing", "north", nil)
	s.escalate("CheckoutFailing", "north", "L2")
	silence := func(comment, value string, length time.Duration) (id string) {
		t.Helper()
		id, err := s.client.SetSilence(t.Context(), amclient.Silence{
			Matchers: []amclient.Matcher{{Name: "alertname", Value: value, IsEqual: true}}, StartsAt: time.Now(), EndsAt: time.Now().Add(length), CreatedBy: "ann", Comment: comment,
		})
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	other := silence("no calls tonight", "EscalationL2", time.Hour)
	s.await("the silence", func() bool { return s.suppressed()["EscalationL2 north"] })
	d.Await(t, "unacknowledged", func(series map[string]float64) bool {
		return acknowledgedValue(series, "CheckoutFailing", "north") == 0 && series[`consign_silences{state="active"}`] == 1
	})
	silence("ACK! from a button", "EscalationL2", 6*time.Second)
	d.Await(t, "acknowledged", func(series map[string]float64) bool {
		return acknowledgedValue(series, "CheckoutFailing", "north") == 1
	})
	if err := s.client.ExpireSilence(t.Context(), other); err != nil {
		t.Fatal(err)
	}
	s.await("that the acknowledgement outlives the other silence, and is renewed", func() bool {
		active := s.activeSilences()
		return len(active) == 1 && active[0].Comment == "ACK! from a button" && active[0].UpdatedAt.After(active[0].StartsAt)
	})
	if _, err := s.acknowledger().Unacknowledge(t.Context(), selection(t, "CheckoutFailing")); err != nil || len(s.activeSilences()) != 0 {
		t.Errorf("unacknowledged: %v; in force %+v", err, s.activeSilences())
	}
}

func TestTheMetricsAreThoseOfTheGoldenFile(t *testing.T) {
	t.Parallel()
	promtool, err := executable.Find("promtool")
	if err != nil {
		t.Fatal(err)
	}
	s := newStack(t)
	s.fire("CheckoutFailing", "north", nil)
	s.fire("CheckoutFailing", "south", nil)
	s.fire("Foreign", "", map[string]string{"component": "", "subject": ""})
	s.escalate("CheckoutFailing", "south", "L2")
	s.acknowledge("client=north", "alertname=CheckoutFailing")
	d := s.daemon()
	d.Await(t, "all", func(series map[string]float64) bool {
		return acknowledgedValue(series, "CheckoutFailing", "south") == 0 && series[`consign_alerts_firing{priority="P0"}`] == 3
	})
	_, page := d.Get(t, "/metrics")
	check := exec.CommandContext(t.Context(), promtool, "check", "metrics")
	check.Stdin = strings.NewReader(page)
	if out, err := check.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("promtool check metrics: %v\n%s", err, out)
	}
	golden.Compare(t, "testdata/scrape_response.txt", consignMetrics(page))
}

var timestamps = regexp.MustCompile(`^\w+_timestamp_seconds`)

// consignMetrics are the lines of the scrape response about metrics of the platform, with N for each timestamp.
func consignMetrics(page string) string {
	var b strings.Builder
	for line := range strings.Lines(page) {
		if !strings.HasPrefix(strings.TrimPrefix(strings.TrimPrefix(line, "# HELP "), "# TYPE "), "consign_") {
			continue
		}
		if timestamps.MatchString(line) {
			line = line[:strings.LastIndexByte(line, ' ')] + " N\n"
		}
		b.WriteString(line)
	}
	return b.String()
}
