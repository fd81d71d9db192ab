package ack

import (
	"context"
	"slices"

	"github.com/consignwatch/consignwatch/pkg/amapi"
	"github.com/consignwatch/consignwatch/pkg/catalog"
	"github.com/consignwatch/consignwatch/pkg/exporter"
)

// The metrics, as the catalog declares them.
const (
	acknowledged      = "consign_alert_acknowledged"
	acknowledgedSince = "consign_alert_acknowledged_timestamp_seconds"
	alertsFiring      = "consign_alerts_firing"
	acknowledgeTime   = "consign_alert_time_to_acknowledge_seconds"
	resolveTime       = "consign_alert_time_to_resolve_seconds"
	silences          = "consign_silences"
	lastPoll          = "consign_ackd_last_poll_timestamp_seconds"
)

// heartbeatPriority is that of alerts that always fire. Nobody takes them.
const heartbeatPriority = "none"

// watch tells what fires, and who took it.
type watch struct {
	client  *amapi.Client
	keeping Keeping
	clients []string
	times   *times
}

// collect looks at Alertmanager. While it does not say all that fires, nothing is told: the values before stand for a moment, then none do.
func (w *watch) collect(ctx context.Context, sink *exporter.Sink) error {
	defer w.times.tell(sink.Always())
	s, err := Look(ctx, w.client)
	if err != nil {
		return err
	}
	if err := w.keeping.blind(s); err != nil {
		return err
	}
	w.times.see(s)
	sink.Inventory("client", append([]string{"_platform"}, w.clients...))
	tell(s, sink)
	return nil
}

// series is one alert as the metrics see it. Two alerts that differ in other labels only are one.
type series struct {
	Identity
	priority string
}

func tell(s *Situation, sink *exporter.Sink) {
	firing := map[string]int{}
	known := map[series]*Alert{}
	for i := range s.Alerts {
		a := &s.Alerts[i]
		if !slices.Contains(catalog.Priorities(), a.Priority()) {
			continue // of somebody else's rules
		}
		firing[a.Priority()]++
		of := series{a.Identity, a.Priority()}
		// Taken is what is taken as a whole.
		if before := known[of]; a.Priority() != heartbeatPriority && (before == nil || before.Acknowledged() && !a.Acknowledged()) {
			known[of] = a
		}
	}
	for _, p := range catalog.Priorities() {
		sink.Gauge(alertsFiring, float64(firing[p]), p)
	}
	for of, a := range known {
		if slices.Contains([]string{of.Client, of.Component, of.Subject}, "") {
			continue // no identity: of somebody else's rules
		}
		labels := []string{of.Alertname, of.Client, of.Component, of.Subject, of.priority}
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
