package integration

import (
	"context"
	"encoding/json"
	"strings"
	"time"

	"github.com/consignwatch/consignwatch/pkg/catalog"
	"github.com/consignwatch/consignwatch/pkg/exporter"
)

// mandrillWebhooks is the target that watches whether Mandrill can deliver its events.
type mandrillWebhooks struct {
	api   *mandrillAPI
	tally *exporter.Tally
	// troubles are the errors that Mandrill tells of, by webhook: it may go on telling of one that is over.
	troubles map[string]trouble
}

// trouble is an error at a webhook, and when something was last delivered as the error was first told.
type trouble struct {
	text     string
	lastSent time.Time
}

func newMandrillWebhooks(api *mandrillAPI, c *catalog.Catalog) *mandrillWebhooks {
	w := &mandrillWebhooks{api: api, tally: exporter.NewTally(c), troubles: map[string]trouble{}}
	api.service.begin(w.tally, "list_webhooks")
	return w
}

// Name is the name of the target.
func (w *mandrillWebhooks) Name() string { return "webhooks" }

// Collect asks for the list. Addresses and keys of webhooks are in it: they are not even read.
func (w *mandrillWebhooks) Collect(ctx context.Context, sink *exporter.Sink) error {
	var all []struct {
		ID         json.Number  `json:"id"`
		LastSentAt mandrillTime `json:"last_sent_at"`
		LastError  string       `json:"last_error"`
	}
	err := w.api.call(ctx, w.tally, "list_webhooks", "webhooks/list", nil, readJSON(&all))
	w.tally.Tell(sink.Always())
	if err != nil {
		return err
	}
	troubles := map[string]trouble{}
	for _, hook := range all {
		id := hook.ID.String()
		if !hook.LastSentAt.IsZero() {
			sink.Gauge("consign_mandrill_webhook_last_sent_timestamp_seconds", float64(hook.LastSentAt.Unix()), id)
		}
		failing := false
		if hook.LastError != "" {
			t, known := w.troubles[id]
			if !known || t.text != hook.LastError {
				t = trouble{hook.LastError, hook.LastSentAt.Time}
			}
			troubles[id] = t
			failing = !hook.LastSentAt.After(t.lastSent)
		}
		sink.Gauge("consign_mandrill_webhook_failing", truth(failing), id)
	}
	w.troubles = troubles
	return nil
}

// mandrillDomains is the target that watches whether mail is trusted that is sent for a domain.
type mandrillDomains struct {
	api   *mandrillAPI
	tally *exporter.Tally
}

func newMandrillDomains(api *mandrillAPI, c *catalog.Catalog) *mandrillDomains {
	d := &mandrillDomains{api: api, tally: exporter.NewTally(c)}
	api.service.begin(d.tally, "list_domains")
	return d
}

// Name is the name of the target.
func (d *mandrillDomains) Name() string { return "domains" }

// Collect asks for the list.
func (d *mandrillDomains) Collect(ctx context.Context, sink *exporter.Sink) error {
	type record struct {
		Valid bool `json:"valid"`
	}
	var all []struct {
		Domain       string        `json:"domain"`
		SPF          *record       `json:"spf"`
		DKIM         *record       `json:"dkim"`
		DKIM2        *record       `json:"dkim2"`
		DMARC        *record       `json:"dmarc"`
		ValidSigning *bool         `json:"valid_signing"`
		VerifiedAt   *mandrillTime `json:"verified_at"`
	}
	err := d.api.call(ctx, d.tally, "list_domains", "senders/domains", nil, readJSON(&all))
	d.tally.Tell(sink.Always())
	if err != nil {
		return err
	}
	for _, s := range all {
		domain := strings.ToLower(s.Domain)
		tell := func(mechanism string, valid bool) {
			sink.Gauge("consign_mandrill_domain_valid", truth(valid), domain, mechanism)
		}
		for mechanism, r := range map[string]*record{"spf": s.SPF, "dkim": s.DKIM, "dkim2": s.DKIM2, "dmarc": s.DMARC} {
			if r != nil {
				tell(mechanism, r.Valid)
			}
		}
		if s.ValidSigning != nil {
			tell("signing", *s.ValidSigning)
		}
		tell("verified", s.VerifiedAt != nil && !s.VerifiedAt.IsZero())
	}
	return nil
}
