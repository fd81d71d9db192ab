package mandrill

import (
	"context"
	"errors"
	"time"

	"github.com/consignwatch/consignwatch/exporters/integration/httpapi"
	"github.com/consignwatch/consignwatch/pkg/catalog"
	"github.com/consignwatch/consignwatch/pkg/exporter"
)

// accountTarget is the target for the account as a whole.
type accountTarget struct {
	api      *apiClient
	recorder *exporter.Recorder
	now      func() time.Time

	// What lives from one collection to the next.
	known, up bool
	messages  monotonicTotals
}

func newAccountTarget(api *apiClient, c *catalog.Catalog) *accountTarget {
	a := &accountTarget{api: api, recorder: exporter.NewRecorder(c), now: time.Now}
	api.service.InitSeries(a.recorder, "account")
	return a
}

// Name is the name of the target.
func (a *accountTarget) Name() string { return "account" }

// accountInfo is the used part of the response to users/info.
type accountInfo struct {
	PublicID    string    `json:"public_id"`
	CreatedAt   timestamp `json:"created_at"`
	Reputation  *float64  `json:"reputation"`
	HourlyQuota *float64  `json:"hourly_quota"`
	Backlog     *float64  `json:"backlog"`
	Stats       struct {
		AllTime *mailCounts `json:"all_time"`
	} `json:"stats"`
}

// Collect fetches the state of the account.
func (a *accountTarget) Collect(ctx context.Context, sink *exporter.Sink) error {
	info, err := a.fetch(ctx)
	a.recorder.Collect(sink.Status())
	if err == nil || httpapi.OutcomeOf(err) != "" { // otherwise no request was sent, and the last state stays valid
		a.known, a.up = true, err == nil || httpapi.OutcomeOf(err) == httpapi.Throttled
	}
	if a.known {
		sink.Status().Gauge("consign_mandrill_up", exporter.Bool(a.up))
	}
	if err != nil {
		return err
	}
	sink.Inventory("client", []string{catalog.Mailer})
	sink.Gauge("consign_mandrill_reputation", *info.Reputation/100, catalog.Mailer)
	sink.Gauge("consign_mandrill_hourly_quota", *info.HourlyQuota)
	sink.Gauge("consign_mandrill_backlog", *info.Backlog)
	if info.Stats.AllTime != nil { // not every version of the API has it
		a.messages.update(info.PublicID, info.CreatedAt.Time, info.Stats.AllTime.inOrder(), a.now())
		for i, kind := range catalog.MailKinds() {
			sink.Counter("consign_mandrill_messages_total", a.messages.counts[i], a.messages.since, kind)
		}
	}
	return nil
}

func (a *accountTarget) fetch(ctx context.Context) (info accountInfo, err error) {
	return info, a.api.call(ctx, a.recorder, "account", "users/info", nil, func(body []byte) error {
		if err := httpapi.ReadJSON(&info)(body); err != nil {
			return err
		}
		if info.Reputation == nil || info.HourlyQuota == nil || info.Backlog == nil {
			return errors.New("the answer lacks reputation, hourly_quota or backlog")
		}
		return nil
	})
}
