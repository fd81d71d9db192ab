package ack_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/consignwatch/consignwatch/pkg/alerting/ack"
	"github.com/consignwatch/consignwatch/pkg/alerting/amclient"
)

func TestAnAcknowledgementSilencesTheAlertAndItsEscalationsAndNothingElse(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	for _, client := range []string{"north", "south"} {
		s.fire("CheckoutFailing", client, nil)
		s.escalate("CheckoutFailing", client, "L2")
	}
	s.fire("CheckoutFailingBadly", "north", nil) // begins with the name of the other one
	s.escalate("CheckoutFailingBadly", "north", "L3")
	s.acknowledge("CheckoutFailing", "client=north")
	s.escalate("CheckoutFailing", "north", "L4") // later than the acknowledgement
	want := map[string]bool{
		"CheckoutFailing north": true, "EscalationL2 north": true, "EscalationL4 north": true,
		"CheckoutFailing south": false, "EscalationL2 south": false, "CheckoutFailingBadly north": false, "EscalationL3 north": false, "Watchdog _platform": false,
	}
	s.await("all alerts", func() bool { return len(s.suppressed()) == len(want) })
	for alert, suppressed := range s.suppressed() {
		if suppressed != want[alert] {
			t.Errorf("%s: suppressed is %t", alert, suppressed)
		}
	}
	silence := s.activeSilences()[0]
	if silence.CreatedBy != "ann" || silence.Comment != "ACK! on it" || silence.StartsAt.After(time.Now()) || time.Until(silence.EndsAt) > ack.DefaultLength {
		t.Errorf("the silence: %+v", silence)
	}
}

func TestASecondAcknowledgementLeavesTheFirstInPlace(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.fire("CheckoutFailing", "north", nil)
	s.acknowledge("CheckoutFailing")
	second := s.acknowledger()
	second.Author = "bob"
	results, err := second.Acknowledge(t.Context(), selection(t, "CheckoutFailing"))
	if err != nil || len(results) != 1 || results[0].State != ack.AlreadyAcknowledged || results[0].Silence.CreatedBy != "ann" {
		t.Errorf("%+v, %v", results, err)
	}
	if n := len(s.activeSilences()); n != 1 {
		t.Errorf("%d silences", n)
	}
}

func TestUnacknowledgeExpiresTheSilence(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.fire("CheckoutFailing", "north", nil)
	s.acknowledge("CheckoutFailing")
	results, err := s.acknowledger().Unacknowledge(t.Context(), selection(t, "client=north"))
	if err != nil || len(results) != 1 || results[0].State != ack.Unacknowledged {
		t.Errorf("%+v, %v", results, err)
	}
	if s.suppressed()["CheckoutFailing north"] {
		t.Error("the alert is still silenced")
	}
	if _, err := s.acknowledger().Unacknowledge(t.Context(), selection(t, "client=north")); !errors.Is(err, ack.ErrNotAcknowledged) {
		t.Errorf("unacknowledged twice: %v", err)
	}
}

func TestMatchersOfAnEscalationSelectItsAlert(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.fire("CheckoutFailing", "north", nil)
	s.fire("CheckoutFailing", "south", nil)
	s.escalate("CheckoutFailing", "north", "L2")
	s.acknowledge("EscalationL2")
	if got := s.suppressed(); !got["CheckoutFailing north"] || !got["EscalationL2 north"] || got["CheckoutFailing south"] {
		t.Errorf("suppressed: %v", got)
	}
}

func TestTheAcknowledgerSaysWhatItCannotDo(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	acknowledge := func(matchers ...string) error {
		_, err := s.acknowledger().Acknowledge(t.Context(), selection(t, matchers...))
		return err
	}
	if err := acknowledge("CheckoutFailing"); !errors.Is(err, ack.ErrNoAlert) {
		t.Errorf("nothing fires: %v", err)
	}
	if err := acknowledge("Watchdog"); !errors.Is(err, ack.ErrHeartbeat) || !strings.Contains(err.Error(), "Watchdog") {
		t.Errorf("a heartbeat cannot be acknowledged: %v", err)
	}
	s.fire("CheckoutFailing", "north", nil)
	s.fire("CheckoutFailing", "south", nil)
	s.fire("Foreign", "", map[string]string{"component": "", "subject": "", "priority": ""}) // of rules without our labels
	if err := acknowledge(); !errors.Is(err, ack.ErrAmbiguous) || !strings.Contains(err.Error(), "CheckoutFailing south checkout card/visa") {
		t.Errorf("three alerts: %v", err)
	}
	if _, err := s.acknowledger().Unacknowledge(t.Context(), selection(t, "CheckoutFailing")); !errors.Is(err, ack.ErrNotAcknowledged) {
		t.Errorf("unacknowledged: %v", err)
	}
	if err := acknowledge("Foreign"); err != nil || !s.suppressed()["Foreign "] || s.suppressed()["CheckoutFailing north"] {
		t.Errorf("an alert without our labels: %v, %v", err, s.suppressed())
	}
	id, err := s.client.SetSilence(t.Context(), amclient.Silence{
		Matchers: []amclient.Matcher{{Name: "client", Value: "south", IsEqual: true}}, StartsAt: time.Now(), EndsAt: time.Now().Add(time.Hour), CreatedBy: "carl", Comment: "maintenance",
	})
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.acknowledger().Unacknowledge(t.Context(), selection(t, "client=south"))
	if !errors.Is(err, ack.ErrNotAcknowledged) || !strings.Contains(err.Error(), "amtool silence expire "+id) || !strings.Contains(err.Error(), "carl") {
		t.Errorf("a silence that is no acknowledgement: %v", err)
	}
	if err := s.process.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := acknowledge("CheckoutFailing"); err == nil || errors.Is(err, ack.ErrNoAlert) {
		t.Errorf("Alertmanager is down: %v", err)
	}
}

func TestMatchersAreReadAsPeopleTypeThem(t *testing.T) {
	labels := map[string]string{"alertname": "ShopSlow", "client": "north", "subject": "a=b", "component": `say "hi"\now`, "host": "db.example"}
	for text, want := range map[string]bool{
		"ShopSlow": true, "alertname=ShopSlow": true, `alertname="ShopSlow"`: true, "alertname='ShopSlow'": true, "alertname=~Shop.*": true, "alertname=~Shop": false,
		"client!=south": true, "client!~n.*": false, "subject=a=b": true, "team=": true, "team=x": false,
		`component="say \"hi\"\\now"`: true, `component=say "hi"\now`: true, `component='say "hi"\now'`: true, `host=~"db\.ex.*"`: true, `host=~"db\.x"`: false,
	} {
		selector, err := ack.ParseMatchers(text)
		if err != nil || selector.Matches(labels) != want {
			t.Errorf("%s: %v, %v; want %t", text, selector, err, want)
		}
	}
	for _, bad := range [][]string{{""}, {"a b"}, {"ShopSlow", "north"}, {"=x"}, {"client=~("}, {`{client="north"}`}} {
		if selector, err := ack.ParseMatchers(bad...); err == nil {
			t.Errorf("%q is read as %v", bad, selector)
		}
	}
}

// A silence that somebody expires while it is renewed must stay expired.
func TestARenewalDoesNotUndoAnUnacknowledgement(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.fire("CheckoutFailing", "north", nil)
	silence := s.acknowledge("CheckoutFailing")
	snapshot, err := ack.Fetch(t.Context(), s.client)
	if err != nil {
		t.Fatal(err)
	}
	silence = snapshot.Silences[0]
	silence.EndsAt = silence.EndsAt.Add(time.Minute)
	client, err := amclient.New(s.process.URL(), &http.Client{Transport: beforePost(func() {
		if err := s.client.ExpireSilence(t.Context(), silence.ID); err != nil {
			t.Error(err)
		}
	})})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // in between, and before
		renewed, err := ack.Renew(t.Context(), client, silence)
		if renewed || err != nil {
			t.Errorf("renewed: %t, %v", renewed, err)
		}
		if left := s.activeSilences(); len(left) > 0 {
			t.Errorf("in force: %+v", left)
		}
	}
}

type beforePost func()

func (f beforePost) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Method == http.MethodPost {
		f()
	}
	return http.DefaultTransport.RoundTrip(r)
}
