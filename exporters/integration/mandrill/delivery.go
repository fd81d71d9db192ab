package mandrill

import (
	"context"
	"encoding/json"
	"strings"
	"time"

	"github.com/consignwatch/consignwatch/exporters/integration/httpapi"
	"github.com/consignwatch/consignwatch/pkg/catalog"
	"github.com/consignwatch/consignwatch/pkg/exporter"
)

// webhooksTarget is the target for the webhooks: whether Mandrill can deliver its events.
type webhooksTarget struct {
	api      *apiClient
	recorder *exporter.Recorder
	// errors are the errors that Mandrill reports, by webhook: it may go on reporting a resolved one.
	errors map[string]webhookError
}

// webhookError is an error of a webhook, and the time of the last delivery when the error was first reported.
type webhookError struct {
	text     string
	lastSent time.Time
}

func newWebhooksTarget(api *apiClient, c *catalog.Catalog) *webhooksTarget {
	w := &webhooksTarget{api: api, recorder: exporter.NewRecorder(c), errors: map[string]webhookError{}}
	api.service.InitSeries(w.recorder, "list_webhooks")
	return w
}

// Name is the name of the target.
func (w *webhooksTarget) Name() string { return "webhooks" }

// Collect fetches the list. The addresses and keys of webhooks in it are not decoded.
func (w *webhooksTarget) Collect(ctx context.Context, sink *exporter.Sink) error {
	var all []struct {
		ID         json.Number `json:"id"`
		LastSentAt timestamp   `json:"last_sent_at"`
		LastError  string      `json:"last_error"`
	}
	err := w.api.call(ctx, w.recorder, "list_webhooks", "webhooks/list", nil, httpapi.ReadList(&all))
	w.recorder.Collect(sink.Status())
	if err != nil {
		return err
	}
	errors := map[string]webhookError{}
	for _, hook := range all {
		id := hook.ID.String()
		if !hook.LastSentAt.IsZero() {
			sink.Gauge("consign_mandrill_webhook_last_sent_timestamp_seconds", float64(hook.LastSentAt.Unix()), id)
		}
		failing := false
		if hook.LastError != "" {
			t, known := w.errors[id]
			if !known || t.text != hook.LastError {
				t = webhookError{hook.LastError, hook.LastSentAt.Time}
			}
			errors[id] = t
			failing = !hook.LastSentAt.After(t.lastSent)
		}
		sink.Gauge("consign_mandrill_webhook_failing", exporter.Bool(failing), id)
	}
	w.errors = errors
	return nil
}

// domainsTarget is the target for the sending domains: whether their DNS records are valid.
type domainsTarget struct {
	api      *apiClient
	recorder *exporter.Recorder
}

func newDomainsTarget(api *apiClient, c *catalog.Catalog) *domainsTarget {
	d := &domainsTarget{api: api, recorder: exporter.NewRecorder(c)}
	api.service.InitSeries(d.recorder, "list_domains")
	return d
}

// Name is the name of the target.
func (d *domainsTarget) Name() string { return "domains" }

// Collect fetches the list.
func (d *domainsTarget) Collect(ctx context.Context, sink *exporter.Sink) error {
	type record struct {
		Valid bool `json:"valid"`
	}
	var all []struct {
		Domain       string     `json:"domain"`
		SPF          *record    `json:"spf"`
		DKIM         *record    `json:"dkim"`
		DKIM2        *record    `json:"dkim2"`
		DMARC        *record    `json:"dmarc"`
		ValidSigning *bool      `json:"valid_signing"`
		VerifiedAt   *timestamp `json:"verified_at"`
	}
	err := d.api.call(ctx, d.recorder, "list_domains", "senders/domains", nil, httpapi.ReadList(&all))
	d.recorder.Collect(sink.Status())
	if err != nil {
		return err
	}
	for _, s := range all {
		domain := strings.ToLower(s.Domain)
		gauge := func(mechanism string, valid bool) {
			sink.Gauge("consign_mandrill_domain_valid", exporter.Bool(valid), domain, mechanism)
		}
		for mechanism, r := range map[string]*record{"spf": s.SPF, "dkim": s.DKIM, "dkim2": s.DKIM2, "dmarc": s.DMARC} {
			if r != nil {
				gauge(mechanism, r.Valid)
			}
		}
		if s.ValidSigning != nil {
			gauge("signing", *s.ValidSigning)
		}
		gauge("verified", s.VerifiedAt != nil && !s.VerifiedAt.IsZero())
	}
	return nil
}
