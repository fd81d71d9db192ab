// Package notifications replays alerts, and returns the notifications that Alertmanager would send. It runs Alertmanager's own dispatcher, inhibitor, time
// intervals and notification log in the virtual time of testing/synctest. It sends nothing: recorders replace the integrations of the receivers.
package notifications

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/alertmanager/config"
	"github.com/prometheus/alertmanager/config/receiver"
	"github.com/prometheus/alertmanager/dispatch"
	"github.com/prometheus/alertmanager/featurecontrol"
	"github.com/prometheus/alertmanager/inhibit"
	"github.com/prometheus/alertmanager/nflog"
	"github.com/prometheus/alertmanager/notify"
	"github.com/prometheus/alertmanager/provider/mem"
	"github.com/prometheus/alertmanager/silence"
	"github.com/prometheus/alertmanager/template"
	"github.com/prometheus/alertmanager/timeinterval"
	"github.com/prometheus/alertmanager/types"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/model"
)

// Alert is an alert of a post and of a notification.
type Alert struct {
	Labels       model.LabelSet `json:"labels"`
	Annotations  model.LabelSet `json:"annotations"`
	StartsAt     time.Time      `json:"startsAt"`
	EndsAt       time.Time      `json:"endsAt"`
	GeneratorURL string         `json:"generatorURL"`
}

// Post is a set of alerts that Prometheus posts at one time.
type Post struct {
	Time   time.Time `json:"time"`
	Alerts []Alert   `json:"alerts"`
}

// Notification is a notification to one receiver about one group of alerts, through one channel.
type Notification struct {
	Time     time.Time      `json:"time"`
	Receiver string         `json:"receiver"`
	Channel  string         `json:"channel"` // like email[0]
	Group    model.LabelSet `json:"group"`
	Firing   []Alert        `json:"firing"`
	Resolved []Alert        `json:"resolved"`
}

// synctestEpoch is the start of the virtual time of testing/synctest.
var synctestEpoch = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

// Replay posts alerts to an Alertmanager with this configuration, each at its time, and returns the notifications until the end, in order of time. Posts
// have to be in order of time. Alertmanager starts just before the first post, without silences.
func Replay(t *testing.T, c *config.Config, posts []Post, until time.Time) (all []Notification, err error) {
	for i, p := range posts {
		if p.Time.Before(synctestEpoch) || i > 0 && p.Time.Before(posts[i-1].Time) {
			return nil, fmt.Errorf("post %d of %d is of %s, before the one that comes before it", i+1, len(posts), p.Time.Format(time.RFC3339))
		}
	}
	synctest.Test(t, func(t *testing.T) {
		all, err = replay(t.Context(), c, posts, until)
	})
	slices.SortStableFunc(all, func(a, b Notification) int {
		return cmp.Or(a.Time.Compare(b.Time), cmp.Compare(a.Receiver, b.Receiver), cmp.Compare(a.Channel, b.Channel), cmp.Compare(a.Group.String(), b.Group.String()))
	})
	return all, err
}

// begin is the time shortly before the first post, or before the end if there is no post: the start of Alertmanager.
func begin(posts []Post, until time.Time) time.Time {
	if len(posts) > 0 {
		until = posts[0].Time
	}
	return until.Add(-time.Second)
}

func replay(ctx context.Context, c *config.Config, posts []Post, until time.Time) ([]Notification, error) {
	time.Sleep(time.Until(begin(posts, until)))
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	discard := slog.New(slog.DiscardHandler)
	marker := types.NewMarker(prometheus.NewRegistry())
	alerts, err := mem.NewAlerts(ctx, marker, 30*time.Minute, 0, nil, discard, prometheus.NewRegistry(), featurecontrol.NoopFlags{})
	if err != nil {
		return nil, err
	}
	defer alerts.Close()
	silences, err := silence.New(silence.Options{Retention: 120 * time.Hour, Metrics: prometheus.NewRegistry()})
	if err != nil {
		return nil, err
	}
	log, err := nflog.New(nflog.Options{Retention: 120 * time.Hour, Metrics: prometheus.NewRegistry()})
	if err != nil {
		return nil, err
	}
	templates, err := template.FromGlobs(c.Templates)
	if err != nil {
		return nil, err
	}
	var recorder notificationRecorder
	receivers := map[string][]notify.Integration{}
	for _, r := range c.Receivers {
		real, err := receiver.BuildReceiverIntegrations(r, templates, discard)
		if err != nil {
			return nil, fmt.Errorf("receiver %s: %w", r.Name, err)
		}
		receivers[r.Name] = nil
		for _, i := range real {
			channel := fmt.Sprintf("%s[%d]", i.Name(), i.Index())
			receivers[r.Name] = append(receivers[r.Name], notify.NewIntegration(recordingIntegration{r.Name, channel, &recorder}, &i, i.Name(), i.Index(), r.Name))
		}
	}
	intervals := map[string][]timeinterval.TimeInterval{}
	for _, i := range c.TimeIntervals {
		intervals[i.Name] = i.TimeIntervals
	}
	inhibitor := inhibit.NewInhibitor(alerts, c.InhibitRules, marker, discard)
	pipeline := notify.NewPipelineBuilder(prometheus.NewRegistry(), featurecontrol.NoopFlags{}).New(
		receivers, func() time.Duration { return 0 }, inhibitor, silence.NewSilencer(silences, marker, discard), timeinterval.NewIntervener(intervals), marker, log, nil)
	dispatcher := dispatch.NewDispatcher(alerts, dispatch.NewRoute(c.Route, nil), pipeline, marker, nil, 30*time.Second, nil, discard, dispatch.NewDispatcherMetrics(false, prometheus.NewRegistry()))
	var servers sync.WaitGroup
	defer servers.Wait()
	servers.Go(inhibitor.Run)
	defer inhibitor.Stop()
	inhibitor.WaitForLoading()
	servers.Go(func() { dispatcher.Run(time.Now()) })
	defer dispatcher.Stop()
	dispatcher.WaitForLoading()

	for i, p := range posts {
		if p.Time.After(until) {
			break
		}
		// Prometheus evaluates at regular times, and waits and intervals are multiples of them: what is due at the moment of a post would come before it or after
		// it by chance. Each post is a nanosecond later than the one before it, and so are the timers that it starts: what is due comes first.
		time.Sleep(time.Until(p.Time.Add(time.Duration(i))))
		var put []*types.Alert
		for _, a := range p.Alerts {
			alert := &types.Alert{UpdatedAt: time.Now(), Alert: model.Alert{Labels: a.Labels, Annotations: a.Annotations, StartsAt: a.StartsAt, EndsAt: a.EndsAt, GeneratorURL: a.GeneratorURL}}
			if err := alert.Validate(); err != nil {
				return nil, fmt.Errorf("alert %s at %s: %w", a.Labels, p.Time.Format(time.RFC3339), err)
			}
			put = append(put, alert)
		}
		if err := alerts.Put(ctx, put...); err != nil {
			return nil, err
		}
	}
	time.Sleep(time.Until(until))
	synctest.Wait()
	return recorder.all, nil
}

// notificationRecorder has the notifications so far.
type notificationRecorder struct {
	mu  sync.Mutex
	all []Notification
}

// recordingIntegration replaces one of the integrations of a receiver.
type recordingIntegration struct {
	receiver, channel string
	recorder          *notificationRecorder
}

func (n recordingIntegration) Notify(ctx context.Context, alerts ...*types.Alert) (retry bool, err error) {
	group, ok := notify.GroupLabels(ctx)
	if !ok {
		return false, errors.New("the notification has no group")
	}
	sent := Notification{Time: time.Now().UTC().Truncate(time.Millisecond), Receiver: n.receiver, Channel: n.channel, Group: group}
	for _, a := range alerts {
		alert := Alert{a.Labels, a.Annotations, a.StartsAt.UTC(), a.EndsAt.UTC(), a.GeneratorURL}
		if a.Resolved() {
			sent.Resolved = append(sent.Resolved, alert)
		} else {
			sent.Firing = append(sent.Firing, alert)
		}
	}
	for _, some := range [][]Alert{sent.Firing, sent.Resolved} {
		slices.SortFunc(some, func(a, b Alert) int { return cmp.Compare(a.Labels.String(), b.Labels.String()) })
	}
	n.recorder.mu.Lock()
	defer n.recorder.mu.Unlock()
	n.recorder.all = append(n.recorder.all, sent)
	return false, nil
}
