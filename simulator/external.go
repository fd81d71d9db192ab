package simulator

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"time"

	"github.com/consignwatch/consignwatch/simulator/jobs"
	"github.com/consignwatch/consignwatch/simulator/outside"
	"github.com/consignwatch/consignwatch/simulator/stream"
	"github.com/consignwatch/consignwatch/simulator/webhook"
)

// externalServices are the fakes of the external services, and what the platform knows of them.
//
// The shops follow the books: an order is created in its shop when its rows are committed, so that a shop never has an order that the
// platform lacks. The exception is on purpose: while webhooks of orders get lost, orders are created in the shop only (missingOrder).
type externalServices struct {
	*outside.Services
	p *Platform

	switchMu sync.Mutex // of applyFaults

	mu            sync.Mutex
	shops         map[uint64]string         // domains of the shops, by client
	orderEvents   map[uint64]string         // slug of the sale event, by the id of an order whose webhook is expected
	lastCalls     map[string]outside.Call   // by service
	calling       map[string]bool           // calls in flight, by service
	sent          map[string]mailSent       // by the id of the job
	queuedMails   map[string]time.Time      // emails that wait at Mandrill, by id: when they were queued
	ordersLost    map[uint64]bool           // clients whose orders get lost
	missingOrders map[uint64][]missingOrder // by client, the oldest first
	unsubscribed  map[uint64]bool           // clients whose subscription was removed
}

// openExternal serves the external services, if Config.Outside is set.
func (p *Platform) openExternal() error {
	if p.config.Outside == "" {
		return nil
	}
	listener, err := listenLoopback(context.Background(), "address of the external services", p.config.Outside)
	if err != nil {
		return fmt.Errorf("platform: %w", err)
	}
	o := &externalServices{
		p: p, shops: map[uint64]string{}, orderEvents: map[uint64]string{}, lastCalls: map[string]outside.Call{}, calling: map[string]bool{},
		sent: map[string]mailSent{}, queuedMails: map[string]time.Time{}, ordersLost: map[uint64]bool{}, missingOrders: map[uint64][]missingOrder{}, unsubscribed: map[uint64]bool{},
	}
	// Short days have more emails in an hour, and webhooks should not take longer than jobs.
	hurry := min(max(p.config.Speed, 1), usualSpeed)
	o.Services, err = outside.Start(outside.Config{
		Listener: listener, Dir: p.config.OutsideDir, Speed: hurry, Mails: int(mailsPerHour * max(p.config.Speed/usualSpeed, 1)),
		Now: p.config.Now, Received: o.received,
	})
	if err != nil {
		return errors.Join(fmt.Errorf("platform: %w", err), listener.Close())
	}
	o.applyFaults()
	p.external = o
	return nil
}

// mailsPerHour is Mandrill's default quota.
const mailsPerHour = 25_000

// ExternalState is the addresses of the external services, and the missing orders.
type ExternalState struct {
	outside.State
	// OrdersMissing counts the orders that shops have and the platform lacks, by client. Clients without any are left out.
	OrdersMissing map[string]int `json:"orders_missing"`
}

func (p *Platform) externalState() *ExternalState {
	if p.external == nil {
		return nil
	}
	s := &ExternalState{State: p.external.State(), OrdersMissing: map[string]int{}}
	for _, c := range p.clientList() {
		if n := p.external.missingCount(c.ID); n > 0 {
			s.OrdersMissing[c.Slug] = n
		}
	}
	return s
}

// received handles a webhook. While life is paused, its events are deferred.
func (o *externalServices) received(_ context.Context, r webhook.Received) error {
	em := o.p.emitter
	if em == nil {
		return nil
	}
	if r.Outcome == webhook.Accepted && em.publisher.Waiting() >= telemetryLimit {
		return errors.New("the stream takes no more: come again")
	}
	who := o.p.tenantOf(r.Client)
	o.p.beginRequest().end(func(em *eventEmitter) { em.emitWebhook(who, r) })
	return nil
}

const (
	eventArg = "event"
	sinceArg = "since"
)

func (em *eventEmitter) emitWebhook(who tenant, r webhook.Received) {
	src := em.sourceFor(who, "webhook-receiver")
	src.emit(stream.WebhookReceived{Provider: r.Provider, Topic: r.Topic, Outcome: r.Outcome, Delay: stream.Seconds(r.Delay)})
	if r.Outcome != webhook.Accepted {
		return
	}
	args := []string{topicArg, r.Topic}
	switch {
	case r.Provider == webhook.ProviderMandrill:
		src.mailEvent(r)
	case r.Topic == "orders/create":
		if event, ok := em.p.external.takeOrderEvent(r.Body); ok {
			args = append(args, eventArg, event, sinceArg, em.p.now().Add(-r.Delay).Format(time.RFC3339Nano))
		}
	}
	src.enqueue(jobs.Webhook, r.Provider, args...)
}

// orderImported emits the import of an order, if the job was one of a new order's webhook.
func (src source) orderImported(f jobs.Finished) {
	since, err := time.Parse(time.RFC3339Nano, f.Args[sinceArg])
	if err != nil { // the webhook of something else
		return
	}
	src.emit(stream.OrderImported{Event: f.Args[eventArg], Outcome: outcomeOf(f.Outcome == jobs.Succeeded), Delay: stream.Seconds(max(src.p.now().Sub(since), 0))})
}

// lastCall returns the last call to a service.
func (o *externalServices) lastCall(service string) outside.Call {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.lastCalls[service]
}

func (o *externalServices) recordCall(service string, c outside.Call) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.lastCalls[service] = c
}

// Services in lastCalls. Each shop is one.
const (
	clerkService    = "clerk"
	mandrillService = "mandrill"
)

func shopService(client uint64) string { return fmt.Sprintf("shopify %d", client) }

// shopsNow returns the domains of the shops, by client.
func (o *externalServices) shopsNow() map[uint64]string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return maps.Clone(o.shops)
}
