package ack

import (
	"fmt"
	"testing"
	"time"

	"github.com/consignwatch/consignwatch/pkg/alerting/amclient"
)

func TestThePlanFollowsFromTheSnapshot(t *testing.T) {
	now := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	renewer := Renewer{Length: 15 * time.Minute, Settle: 2 * time.Minute, Heartbeat: "Watchdog", HeartbeatAge: 2 * time.Minute}
	heartbeat := func(age time.Duration) amclient.Alert {
		return amclient.Alert{Labels: map[string]string{"alertname": "Watchdog"}, UpdatedAt: now.Add(-age)}
	}
	fires := amclient.Alert{Labels: map[string]string{"alertname": "A"}, UpdatedAt: now}
	escalation := amclient.Alert{Labels: map[string]string{"alertname": "EscalationL2", "source_alertname": "A", "escalation": "L2"}, UpdatedAt: now}
	silence := func(left time.Duration, comment, state string) amclient.Silence {
		return amclient.Silence{ID: "1", Matchers: Identity{Alertname: "A"}.matchers(), StartsAt: now.Add(-time.Hour), EndsAt: now.Add(left), Comment: comment, Status: amclient.SilenceStatus{State: state}}
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
		s := &Snapshot{Time: now, AlertmanagerStarted: now.Add(-c.up), Silences: []amclient.Silence{c.silence}}
		if err := s.assignSilences(c.alerts); err != nil {
			t.Fatal(err)
		}
		got := ""
		for _, change := range renewer.plan(s) {
			got = "end"
			if !change.expire {
				got = fmt.Sprintf("renew %s", change.silence.EndsAt.Sub(now))
			}
		}
		if got != c.want {
			t.Errorf("%s: %q, want %q", what, got, c.want)
		}
	}
}
