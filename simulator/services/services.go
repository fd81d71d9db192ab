// Package services serves fakes of Shopify, Clerk and Mandrill at one address of the loopback interface, keeps them in step with the books,
// and makes the platform's own calls to them over HTTP. It decides nothing about life. Secrets leave it in files only.
package services

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"sync"
	"time"

	"github.com/consignwatch/consignwatch/simulator/emit"
	"github.com/consignwatch/consignwatch/simulator/faults"
	"github.com/consignwatch/consignwatch/simulator/jobs"
	"github.com/consignwatch/consignwatch/simulator/services/webhook"
	"github.com/consignwatch/consignwatch/simulator/store"
	"github.com/consignwatch/consignwatch/simulator/stream"
)

// Services are the fakes of the external services, and what the platform knows of them.
//
// The shops follow the books: an order is created in its shop when its rows are committed, so that a shop never has an order that the
// platform lacks. The exception is on purpose: while webhooks of orders get lost, orders are created in the shop only (missingOrder).
type Services struct {
	*server
	*store.Store
	inflight *emit.Inflight
	faults   *faults.Switches

	switchMu sync.Mutex // of applyFaults

	mu            sync.Mutex
	shops         map[uint64]string         // domains of the shops, by client
	orderEvents   map[uint64]string         // slug of the sale event, by the id of an order whose webhook is expected
	lastCalls     map[string]emit.Call      // by service
	calling       map[string]bool           // calls in flight, by service
	sent          map[string]mailSent       // by the id of the job
	queuedMails   map[string]time.Time      // emails that wait at Mandrill, by id: when they were queued
	ordersLost    map[uint64]bool           // clients whose orders get lost
	missingOrders map[uint64][]missingOrder // by client, the oldest first
	unsubscribed  map[uint64]bool           // clients whose subscription was removed
	postponed     []postponed               // emails that could not be sent
	mailCount     int                       // emails that were sent; of Delivered alone
}

// Config configures the services.
type Config struct {
	Listener net.Listener
	Dir      string // for secrets and for the list of clients; empty: a temporary one
}

// Serve serves the external services, and handles their webhooks.
func Serve(config Config, s *store.Store, faults *faults.Switches, inflight *emit.Inflight) (*Services, error) {
	o := &Services{
		Store: s, inflight: inflight, faults: faults,
		shops: map[uint64]string{}, orderEvents: map[uint64]string{}, lastCalls: map[string]emit.Call{}, calling: map[string]bool{},
		sent: map[string]mailSent{}, queuedMails: map[string]time.Time{}, ordersLost: map[uint64]bool{}, missingOrders: map[uint64][]missingOrder{}, unsubscribed: map[uint64]bool{},
	}
	var err error
	o.server, err = serve(config, s.Clock, o.received)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("platform: %w", err), config.Listener.Close())
	}
	o.applyFaults()
	return o, nil
}

// Close stops the services.
func (o *Services) Close() error { return o.server.close() }

// State is the addresses of the external services, and the missing orders.
type State struct {
	Addresses
	// OrdersMissing counts the orders that shops have and the platform lacks, by client. Clients without any are left out.
	OrdersMissing map[string]int `json:"orders_missing"`
}

// State returns the state of the services.
func (o *Services) State() *State {
	s := &State{Addresses: o.addresses(), OrdersMissing: map[string]int{}}
	for _, c := range o.ClientList() {
		if n := o.missingCount(c.ID); n > 0 {
			s.OrdersMissing[c.Slug] = n
		}
	}
	return s
}

// received handles a webhook. While life is paused, its events are deferred.
func (o *Services) received(_ context.Context, r webhook.Received) error {
	if r.Outcome == webhook.Accepted && o.inflight.Full() {
		return errors.New("the stream takes no more: come again")
	}
	who := emit.TenantOf(o.Store, r.Client)
	o.inflight.Emit(func(em *emit.Emitter) { o.emitWebhook(em, who, r) })
	return nil
}

const (
	eventArg = "event"
	sinceArg = "since"
)

func (o *Services) emitWebhook(em *emit.Emitter, who emit.Tenant, r webhook.Received) {
	src := em.SourceFor(who, "webhook-receiver")
	src.Emit(stream.WebhookReceived{Provider: r.Provider, Topic: r.Topic, Outcome: r.Outcome, Delay: stream.Seconds(r.Delay)})
	if r.Outcome != webhook.Accepted {
		return
	}
	args := []string{emit.TopicArg, r.Topic}
	switch {
	case r.Provider == webhook.ProviderMandrill:
		o.mailEvent(src, r)
	case r.Topic == "orders/create":
		if event, ok := o.takeOrderEvent(r.Body); ok {
			args = append(args, eventArg, event, sinceArg, em.Now().Add(-r.Delay).Format(time.RFC3339Nano))
		}
	}
	src.Enqueue(jobs.Webhook, r.Provider, args...)
}

// Processed emits the import of an order, if the job was one of a new order's webhook.
func (o *Services) Processed(src emit.Source, f jobs.Finished) {
	since, err := time.Parse(time.RFC3339Nano, f.Args[sinceArg])
	if err != nil { // the webhook of something else
		return
	}
	src.Emit(stream.OrderImported{Event: f.Args[eventArg], Outcome: emit.OutcomeOf(f.Outcome == jobs.Succeeded), Delay: stream.Seconds(max(o.Now().Sub(since), 0))})
}

// LastCall returns the last call to Clerk.
func (o *Services) LastCall() emit.Call { return o.lastCall(clerkService) }

// LastShopCall returns the last call to a client's shop.
func (o *Services) LastShopCall(client uint64) emit.Call { return o.lastCall(shopService(client)) }

// ShopAnswers reports whether the last call to a client's shop succeeded.
func (o *Services) ShopAnswers(client uint64) bool { return o.LastShopCall(client).OK() }

// ShopDown reports whether a client's shop is down, so that nobody can buy.
func (o *Services) ShopDown(client uint64) bool { return o.LastShopCall(client).Down }

// lastCall returns the last call to a service.
func (o *Services) lastCall(service string) emit.Call {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.lastCalls[service]
}

func (o *Services) recordCall(service string, c emit.Call) {
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
func (o *Services) shopsNow() map[uint64]string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return maps.Clone(o.shops)
}
