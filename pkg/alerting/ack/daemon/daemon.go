// Package daemon is `consignwatch ackd`: it polls Alertmanager, renews acknowledgements while their alerts fire, and exports which alerts fire, which
// of them are acknowledged, and how long both took. It acknowledges nothing itself, and stores nothing.
package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/consignwatch/consignwatch/pkg/alerting/ack"
	"github.com/consignwatch/consignwatch/pkg/alerting/amclient"
	"github.com/consignwatch/consignwatch/pkg/catalog"
	"github.com/consignwatch/consignwatch/pkg/exporter"
	"github.com/consignwatch/consignwatch/pkg/exporter/web"
	"github.com/consignwatch/consignwatch/pkg/httpclient"
)

// App is the daemon, `consignwatch ackd`.
func App() web.App {
	return web.App{
		Name:        catalog.Ackd,
		Description: "Renews acknowledgements in Alertmanager while their alerts fire, and exports them.",
		Port:        9475,
		Load:        load,
	}
}

// load reads the configuration. It does not connect to Alertmanager.
func load(path string, log *slog.Logger) (*exporter.Setup, error) {
	c, err := readConfig(path)
	if err != nil {
		return nil, err
	}
	text, err := yaml.Marshal(c)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	client, idle, err := c.Alertmanager.client()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	schedule := exporter.Schedule{Interval: time.Duration(c.Interval), Timeout: time.Duration(c.Timeout)}
	renewer := &ack.Renewer{
		Policy: c.policy,
		Length: time.Duration(c.RenewFor), Settle: time.Duration(c.Settle),
		Heartbeat: c.Heartbeat.Alertname, HeartbeatAge: time.Duration(c.Heartbeat.MaxAge),
	}
	shipped := catalog.Shipped().ForExporter(catalog.Ackd)
	started := time.Now()
	return &exporter.Setup{
		Catalog: shipped,
		Sizes:   catalog.SizesFor(c.Limits.Clients + 1), // and the platform
		Collectors: []exporter.Collector{
			collector{"acknowledgements", schedule, func(ctx context.Context, _ *exporter.Sink) error {
				return renewer.Run(ctx, client, log)
			}},
			collector{"alerts", schedule, (&alertCollector{
				client: client, renewer: renewer, clients: c.Clients,
				timings: newTimings(shipped, started, 3*schedule.Interval+schedule.Timeout),
			}).collect},
		},
		Text:  text,
		Close: func() error { idle(); return nil },
	}, nil
}

// client returns an Alertmanager client with the configured HTTP settings, and a function that closes its idle connections.
func (a *alertmanagerConfig) client() (*amclient.Client, func(), error) {
	c, err := httpclient.New(a.HTTP, "alertmanager")
	if err != nil {
		return nil, nil, fmt.Errorf("alertmanager.http: %w", err)
	}
	client, err := amclient.New(a.URL, c)
	if err != nil {
		return nil, nil, fmt.Errorf("alertmanager.url: %w", err)
	}
	return client, c.CloseIdleConnections, nil
}

// collector runs one task against the configured Alertmanager, on a schedule.
type collector struct {
	name     string
	schedule exporter.Schedule
	collect  func(context.Context, *exporter.Sink) error
}

func (c collector) Name() string                { return c.name }
func (c collector) Schedule() exporter.Schedule { return c.schedule }
func (c collector) Targets() []exporter.Target  { return []exporter.Target{target(c.collect)} }

type target func(context.Context, *exporter.Sink) error

func (target) Name() string { return "alertmanager" }

func (t target) Collect(ctx context.Context, sink *exporter.Sink) error {
	return withReason(t(ctx, sink))
}

// withReason adds the reason that consignwatch_collector_failures_total counts the error under.
func withReason(err error) error {
	var status *amclient.StatusError
	switch {
	case err == nil:
		return nil
	case errors.Is(err, amclient.ErrInvalidResponse):
		return exporter.Failure(exporter.ReasonParse, err)
	case errors.Is(err, ack.ErrIncomplete):
		return exporter.Failure(exporter.ReasonCapability, err)
	case errors.As(err, &status):
		switch status.Code {
		case http.StatusUnauthorized, http.StatusForbidden:
			return exporter.Failure(exporter.ReasonAuth, err)
		case http.StatusTooManyRequests:
			return exporter.Failure(exporter.ReasonThrottled, err)
		}
		return exporter.Failure(exporter.ReasonQuery, err)
	}
	return err
}
