package daemon

import (
	"context"
	"slices"
	"time"

	"github.com/consignwatch/consignwatch/pkg/alerting/ack"
	"github.com/consignwatch/consignwatch/pkg/alerting/amclient"
	"github.com/consignwatch/consignwatch/pkg/catalog"
	"github.com/consignwatch/consignwatch/pkg/exporter"
)

// Metrics of the catalog.
const (
	acknowledged      = "consign_alert_acknowledged"
	acknowledgedSince = "consign_alert_acknowledged_timestamp_seconds"
	acknowledgedUntil = "consign_alert_acknowledged_until_timestamp_seconds"
	alertsFiring      = "consign_alerts_firing"
	acknowledgeTime   = "consign_alert_time_to_acknowledge_seconds"
	resolveTime       = "consign_alert_time_to_resolve_seconds"
	silences          = "consign_silences"
	silencesTooBroad  = "consign_silences_too_broad"
	lastPoll          = "consign_ackd_last_poll_timestamp_seconds"
)

// alertCollector exports which alerts fire and which of them are acknowledged.
type alertCollector struct {
	client  *amclient.Client
	renewer *ack.Renewer
	clients []string
	timings *timings
}

// collect fetches a snapshot and emits its samples. While the list of alerts is incomplete, it emits only the histograms: the samples of the last
// complete snapshot are exported until they are too old.
func (c *alertCollector) collect(ctx context.Context, sink *exporter.Sink) error {
	defer c.timings.emit(sink.Status())
	s, err := ack.Fetch(ctx, c.client)
	if err != nil {
		return err
	}
	if err := c.renewer.Incomplete(s); err != nil {
		return err
	}
	c.timings.observe(s)
	sink.Inventory("client", append([]string{"_platform"}, c.clients...))
	emit(s, c.renewer, sink)
	return nil
}

func emit(s *ack.Snapshot, renewer *ack.Renewer, sink *exporter.Sink) {
	firing := map[string]int{}
	byIdentity := map[ack.Identity]*ack.Alert{} // alerts that differ in other labels share a series
	for i := range s.Alerts {
		a := &s.Alerts[i]
		if !slices.Contains(catalog.Priorities(), a.Priority) {
			continue // not an alert of our rules
		}
		firing[a.Priority]++
		// Of alerts that share a series, all have to be acknowledged.
		if other := byIdentity[a.Identity]; !a.Heartbeat() && (other == nil || other.Acknowledged() && !a.Acknowledged()) {
			byIdentity[a.Identity] = a
		}
	}
	for _, p := range catalog.Priorities() {
		sink.Gauge(alertsFiring, float64(firing[p]), p)
	}
	for i, a := range byIdentity {
		if slices.Contains([]string{i.Client, i.Component, i.Subject}, "") {
			continue // no identity: not an alert of our rules
		}
		labels := []string{i.Alertname, i.Client, i.Component, i.Subject, i.Priority}
		if !a.Acknowledged() {
			sink.Gauge(acknowledged, 0, labels...)
			continue
		}
		sink.Gauge(acknowledged, 1, labels...)
		sink.Gauge(acknowledgedSince, seconds(a.AcknowledgedAt()), labels...)
		if end := renewer.End(s, a); !end.IsZero() {
			sink.Gauge(acknowledgedUntil, seconds(end), labels...)
		}
	}
	states := map[string]int{}
	for i := range s.Silences {
		states[s.Silences[i].Status.State]++
	}
	for _, state := range catalog.SilenceStates() {
		sink.Gauge(silences, float64(states[state]), state)
	}
	tooBroad := s.TooBroad()
	for _, reason := range catalog.SilenceReasons() {
		sink.Gauge(silencesTooBroad, float64(tooBroad[reason]), reason)
	}
	sink.Gauge(lastPoll, seconds(s.Time))
}

func seconds(t time.Time) float64 { return float64(t.UnixMilli()) / 1000 }
