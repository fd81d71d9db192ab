package daemon

import (
	"context"
	"slices"

	"github.com/consignwatch/consignwatch/pkg/alerting/ack"
	"github.com/consignwatch/consignwatch/pkg/alerting/amclient"
	"github.com/consignwatch/consignwatch/pkg/catalog"
	"github.com/consignwatch/consignwatch/pkg/exporter"
)

// Metrics of the catalog.
const (
	acknowledged      = "consign_alert_acknowledged"
	acknowledgedSince = "consign_alert_acknowledged_timestamp_seconds"
	alertsFiring      = "consign_alerts_firing"
	acknowledgeTime   = "consign_alert_time_to_acknowledge_seconds"
	resolveTime       = "consign_alert_time_to_resolve_seconds"
	silences          = "consign_silences"
	lastPoll          = "consign_ackd_last_poll_timestamp_seconds"
)

// heartbeatPriority is the priority of alerts that always fire. They cannot be acknowledged.
const heartbeatPriority = "none"

// alertCollector exports which alerts fire and which of them are acknowledged.
type alertCollector struct {
	client  *amclient.Client
	renewer ack.Renewer
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
	emit(s, sink)
	return nil
}

// alertKey has the labels of the series of an alert. Alerts that differ in other labels share the series.
type alertKey struct {
	ack.Identity
	priority string
}

func emit(s *ack.Snapshot, sink *exporter.Sink) {
	firing := map[string]int{}
	byKey := map[alertKey]*ack.Alert{}
	for i := range s.Alerts {
		a := &s.Alerts[i]
		if !slices.Contains(catalog.Priorities(), a.Priority()) {
			continue // not an alert of our rules
		}
		firing[a.Priority()]++
		key := alertKey{a.Identity, a.Priority()}
		// Of alerts that share a series, all have to be acknowledged.
		if other := byKey[key]; a.Priority() != heartbeatPriority && (other == nil || other.Acknowledged() && !a.Acknowledged()) {
			byKey[key] = a
		}
	}
	for _, p := range catalog.Priorities() {
		sink.Gauge(alertsFiring, float64(firing[p]), p)
	}
	for key, a := range byKey {
		if slices.Contains([]string{key.Client, key.Component, key.Subject}, "") {
			continue // no identity: not an alert of our rules
		}
		labels := []string{key.Alertname, key.Client, key.Component, key.Subject, key.priority}
		if !a.Acknowledged() {
			sink.Gauge(acknowledged, 0, labels...)
			continue
		}
		sink.Gauge(acknowledged, 1, labels...)
		sink.Gauge(acknowledgedSince, float64(a.AcknowledgedAt().UnixMilli())/1000, labels...)
	}
	states := map[string]int{}
	for i := range s.Silences {
		states[s.Silences[i].Status.State]++
	}
	for _, state := range catalog.SilenceStates() {
		sink.Gauge(silences, float64(states[state]), state)
	}
	sink.Gauge(lastPoll, float64(s.Time.UnixMilli())/1000)
}
