package ack_test

import (
	"errors"
	"math"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/consignwatch/consignwatch/pkg/alerting/ack"
	"github.com/consignwatch/consignwatch/pkg/alerting/amclient"
	"github.com/consignwatch/consignwatch/pkg/demo/webhookreceiver"
	"github.com/consignwatch/consignwatch/pkg/exporter/exportertest"
)

// as is a label set with a priority.
func as(priority string) map[string]string { return map[string]string{"priority": priority} }

// become fires an alert with another priority; the one before resolves.
func (s *stack) become(name, client, priority string) {
	s.resolve(name, client)
	s.fire(name, client, as(priority))
}

// When a client's sale goes live, its alerts become P0. Whoever acknowledged the P1 does not know of that.
func TestAnAcknowledgedP1ThatBecomesP0PagesAnew(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	d := s.daemon()
	s.fire("CheckoutFailing", "north", as("P1"))
	s.await("the notification", func() bool { return s.notificationsAbout(webhookreceiver.Firing, "CheckoutFailing", "north") == 1 })
	s.acknowledge("CheckoutFailing")
	d.Await(t, "acknowledged as P1", func(series map[string]float64) bool {
		return acknowledgedAs(series, "CheckoutFailing", "north", "P1") == 1
	})
	s.become("CheckoutFailing", "north", "P0")
	s.fire("EscalationL2", "north", map[string]string{"source_alertname": "CheckoutFailing", "escalation": "L2"})
	s.await("the notification of the P0", func() bool { return s.notificationsAbout(webhookreceiver.Firing, "CheckoutFailing", "north") == 2 })
	s.await("its escalation", func() bool { return s.notificationsAbout(webhookreceiver.Firing, "EscalationL2", "north") == 1 })
	d.Await(t, "unacknowledged as P0", func(series map[string]float64) bool {
		return acknowledgedAs(series, "CheckoutFailing", "north", "P0") == 0
	})

	// Acknowledged as P0, it stays acknowledged when it becomes milder.
	s.acknowledge("CheckoutFailing")
	s.become("CheckoutFailing", "north", "P1")
	d.Await(t, "acknowledged as P1", func(series map[string]float64) bool {
		return acknowledgedAs(series, "CheckoutFailing", "north", "P1") == 1 && acknowledgedAs(series, "CheckoutFailing", "north", "P0") == -1
	})
	if !s.suppressed()["CheckoutFailing north"] {
		t.Error("what has become milder is not silenced")
	}
}

func TestThePolicyEndsTheAcknowledgementOfAnAlertThatStillFires(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	d := s.daemon()
	s.fire("CheckoutFailing", "north", as("P1")) // 12s in testdata/policy.yml
	s.fire("CheckoutFailing", "south", as("P2")) // no limit
	acknowledger := s.acknowledger()
	acknowledger.Length = 6 * time.Second
	results, err := acknowledger.Acknowledge(t.Context(), selection(t, "CheckoutFailing"))
	if err != nil || len(results) != 2 {
		t.Fatal(results, err)
	}
	until := `consign_alert_acknowledged_until_timestamp_seconds{alertname="CheckoutFailing",client="north",component="checkout",priority="P1",subject="card/visa"}`
	series := d.Await(t, "when it ends", func(series map[string]float64) bool { return series[until] > 0 })
	started := float64(s.activeSilences()[0].StartsAt.UnixMilli()) / 1000
	if end := series[until] - started; math.Abs(end-12) > 0.01 {
		t.Errorf("announced: %v s after it began, want 12", end)
	}
	for name := range series {
		if strings.HasPrefix(name, "consign_alert_acknowledged_until_timestamp_seconds") && name != until {
			t.Errorf("an end that nobody set: %s", name)
		}
	}
	d.Await(t, "unacknowledged again", func(series map[string]float64) bool {
		return acknowledgedAs(series, "CheckoutFailing", "north", "P1") == 0
	})
	if since := float64(time.Now().UnixMilli())/1000 - started; since < 12 {
		t.Errorf("it ended after %v s", since)
	}
	if s.suppressed()["CheckoutFailing north"] || !s.suppressed()["CheckoutFailing south"] {
		t.Errorf("suppressed: %v", s.suppressed())
	}
	if log := d.Log(); !strings.Contains(log, "acknowledgement is no longer renewed") || !strings.Contains(log, "author=ann") {
		t.Errorf("the log does not say so:\n%s", log)
	}
}

// Whoever needs longer says so, before or after the first acknowledgement. When it is about to end, acknowledging again begins another one.
func TestAnAcknowledgementCanBeForLonger(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.fire("CheckoutFailing", "north", nil)
	s.acknowledge("CheckoutFailing")
	longer := s.acknowledger()
	longer.Until = time.Now().Add(2 * time.Hour).Truncate(time.Second)
	for range 2 { // the second time, it lasts until then already
		if _, err := longer.Acknowledge(t.Context(), selection(t, "CheckoutFailing")); err != nil {
			t.Fatal(err)
		}
	}
	active := s.activeSilences()
	if len(active) != 2 || !active[0].EndsAt.Equal(longer.Until) && !active[1].EndsAt.Equal(longer.Until) {
		t.Errorf("in force: %+v", active)
	}
	s.fire(ack.EndingAlert, "north", map[string]string{"source_alertname": "CheckoutFailing"})
	s.await("the reminder", func() bool { return s.notificationsAbout(webhookreceiver.Firing, ack.EndingAlert, "north") == 1 })
	results, err := s.acknowledger().Acknowledge(t.Context(), selection(t, ack.EndingAlert))
	if err != nil || len(results) != 1 || results[0].State != ack.Acknowledged || results[0].Alert.Alertname != "CheckoutFailing" || len(s.activeSilences()) != 3 {
		t.Errorf("%+v, %v; in force: %+v", results, err, s.activeSilences())
	}
}

// A missed scrape, or a restart of Prometheus, makes an alert disappear for a moment.
func TestAShortGapOfTheAlertEndsNoAcknowledgement(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	policy := exportertest.WriteFile(t, "policy.yml", "resolve_grace: 1m\nack_timeout: {}\n")
	d := s.daemon("renew_for: 6s", "renew_for: 2m", testPolicy(), policy)
	s.fire("CheckoutFailing", "north", nil)
	s.await("the notification", func() bool { return s.notificationsAbout(webhookreceiver.Firing, "CheckoutFailing", "north") == 1 })
	silence := s.acknowledge("CheckoutFailing")
	d.Await(t, "acknowledged", func(series map[string]float64) bool {
		return acknowledgedValue(series, "CheckoutFailing", "north") == 1
	})
	s.resolve("CheckoutFailing", "north")
	renewed := `consignwatch_collector_last_success_timestamp_seconds{collector="acknowledgements",target="alertmanager"}`
	before := d.Await(t, "that ackd misses the alert", func(series map[string]float64) bool {
		return acknowledgedValue(series, "CheckoutFailing", "north") == -1
	})[renewed]
	d.Await(t, "two more polls", func(series map[string]float64) bool { return series[renewed] > before+1 })
	s.fire("CheckoutFailing", "north", nil)
	d.Await(t, "acknowledged still", func(series map[string]float64) bool {
		return acknowledgedValue(series, "CheckoutFailing", "north") == 1
	})
	if active := s.activeSilences(); len(active) != 1 || active[0].ID != silence.ID {
		t.Errorf("in force: %+v", active)
	}
	if n := s.notificationsAbout(webhookreceiver.Firing, "CheckoutFailing", "north"); n != 1 {
		t.Errorf("%d notifications", n)
	}
}

func TestABroadSilenceDoesNotKeepTheHeartbeatSilenced(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.daemon()
	id, err := s.client.SetSilence(t.Context(), amclient.Silence{
		Matchers: []amclient.Matcher{{Name: "client", Value: ".+", IsRegex: true, IsEqual: true}}, StartsAt: time.Now(), EndsAt: time.Now().Add(time.Hour), CreatedBy: "ann", Comment: "ACK! all of it",
	})
	if err != nil {
		t.Fatal(err)
	}
	s.await("the silence", func() bool { return s.suppressed()["Watchdog _platform"] })
	s.await("its end", func() bool { return len(s.activeSilences()) == 0 })
	// While another alert fires, the silence ends as its author wanted, and is not renewed.
	s.fire("CheckoutFailing", "north", nil)
	short, err := s.client.SetSilence(t.Context(), amclient.Silence{
		Matchers: []amclient.Matcher{{Name: "client", Value: ".+", IsRegex: true, IsEqual: true}}, StartsAt: time.Now(), EndsAt: time.Now().Add(3 * time.Second), CreatedBy: "ann", Comment: "ACK! all of it",
	})
	if err != nil || short == id {
		t.Fatal(short, err)
	}
	s.await("its end", func() bool { return len(s.activeSilences()) == 0 })
}

// An alert about an incident that stays open is an alert like others. Its source_alertname makes it no escalation.
func TestAnUnresolvedIncidentCanBeAcknowledged(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	d := s.daemon()
	s.fire("CheckoutFailing", "north", nil)
	s.fire("IncidentUnresolved", "north", map[string]string{"source_alertname": "CheckoutFailing", "subject": "CheckoutFailing/card/visa", "priority": "P2"})
	d.Await(t, "both firing", func(series map[string]float64) bool {
		return series[`consign_alerts_firing{priority="P0"}`] == 1 && series[`consign_alerts_firing{priority="P2"}`] == 1
	})
	// As its message prints it.
	s.acknowledge(`alertname="IncidentUnresolved"`, `client="north"`, `component="checkout"`, `subject="CheckoutFailing/card/visa"`, `priority="P2"`)
	if got := s.suppressed(); !got["IncidentUnresolved north"] || got["CheckoutFailing north"] {
		t.Errorf("suppressed: %v", got)
	}
	s.acknowledge("CheckoutFailing")
	if _, err := s.acknowledger().Unacknowledge(t.Context(), selection(t, "IncidentUnresolved")); err != nil || s.suppressed()["IncidentUnresolved north"] || !s.suppressed()["CheckoutFailing north"] {
		t.Errorf("%v; suppressed: %v", err, s.suppressed())
	}
}

func TestWhatNotifiesNobodyCannotBeAcknowledged(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.fire("InhibitionSourceRecent", "north", map[string]string{"priority": "none", "source_alertname": "CheckoutFailing"})
	for _, name := range []string{"Watchdog", "InhibitionSourceRecent", "client=~.+"} {
		if _, err := s.acknowledger().Acknowledge(t.Context(), selection(t, name)); !errors.Is(err, ack.ErrHeartbeat) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// The rule has the name by which this package knows it, and the message.
func TestTheReminderIsTheRuleThatIsShipped(t *testing.T) {
	for file, want := range map[string]string{"rules/alerts/escalation.yml": "- alert: " + ack.EndingAlert + "\n", "alertmanager/templates/staff.tmpl": strconv.Quote(ack.EndingAlert)} {
		text, err := os.ReadFile("../../../" + file)
		if err != nil || !strings.Contains(string(text), want) {
			t.Errorf("%s lacks %s: %v", file, want, err)
		}
	}
}
