package integration

import (
	"context"
	"errors"
	"time"

	"github.com/consignwatch/consignwatch/pkg/catalog"
	"github.com/consignwatch/consignwatch/pkg/exporter"
)

// mandrillAccount is the target that watches the account as a whole.
type mandrillAccount struct {
	api   *mandrillAPI
	tally *exporter.Tally
	now   func() time.Time

	// What lives from one collection to the next.
	asked, up bool
	messages  total
}

func newMandrillAccount(api *mandrillAPI, c *catalog.Catalog) *mandrillAccount {
	a := &mandrillAccount{api: api, tally: exporter.NewTally(c), now: time.Now}
	api.service.begin(a.tally, "account")
	return a
}

// Name is the name of the target.
func (a *mandrillAccount) Name() string { return "account" }

// accountInfo is what users/info answers, as far as we want it.
type accountInfo struct {
	PublicID    string       `json:"public_id"`
	CreatedAt   mandrillTime `json:"created_at"`
	Reputation  *float64     `json:"reputation"`
	HourlyQuota *float64     `json:"hourly_quota"`
	Backlog     *float64     `json:"backlog"`
	Stats       struct {
		AllTime *mailCounts `json:"all_time"`
	} `json:"stats"`
}

// Collect asks for the state of the account.
func (a *mandrillAccount) Collect(ctx context.Context, sink *exporter.Sink) error {
	info, err := a.ask(ctx)
	a.tally.Tell(sink.Always())
	if err == nil || serviceOutcomeOf(err) != "" { // otherwise it was not asked, and the last word stays in force
		a.asked, a.up = true, err == nil || serviceOutcomeOf(err) == serviceThrottled
	}
	if a.asked {
		sink.Always().Gauge("consign_mandrill_up", truth(a.up))
	}
	if err != nil {
		return err
	}
	sink.Inventory("client", []string{catalog.Mailer})
	sink.Gauge("consign_mandrill_reputation", *info.Reputation/100, catalog.Mailer)
	sink.Gauge("consign_mandrill_hourly_quota", *info.HourlyQuota)
	sink.Gauge("consign_mandrill_backlog", *info.Backlog)
	if info.Stats.AllTime != nil { // not every version of the API has it
		a.messages.to(info.PublicID, info.CreatedAt.Time, info.Stats.AllTime.inOrder(), a.now())
		for i, kind := range catalog.MailKinds() {
			sink.Counter("consign_mandrill_messages_total", a.messages.counts[i], a.messages.since, kind)
		}
	}
	return nil
}

func (a *mandrillAccount) ask(ctx context.Context) (info accountInfo, err error) {
	return info, a.api.call(ctx, a.tally, "account", "users/info", nil, func(body []byte) error {
		if err := readJSON(&info)(body); err != nil {
			return err
		}
		if info.Reputation == nil || info.HourlyQuota == nil || info.Backlog == nil {
			return errors.New("the answer lacks reputation, hourly_quota or backlog")
		}
		return nil
	})
}
