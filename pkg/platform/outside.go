package platform

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"time"

	"github.com/consignwatch/consignwatch/pkg/platform/jobs"
	"github.com/consignwatch/consignwatch/pkg/platform/outside"
	"github.com/consignwatch/consignwatch/pkg/platform/stream"
	"github.com/consignwatch/consignwatch/pkg/platform/webhook"
)

// outsiders are the outside services and what the platform knows of them.
//
// The shops follow the books: an order comes into its shop when its rows stand in the database, so that a shop never has an
// order that the platform lacks. The exception is made on purpose: while webhooks of orders get lost, orders come into the shop
// alone (lostOrder).
type outsiders struct {
	*outside.Services
	p *Platform

	switching sync.Mutex // of apply

	mu        sync.Mutex
	shops     map[uint64]string       // domains of the shops, by client
	announced map[uint64]string       // slug of the sale event, by order whose webhook is on its way
	health    map[string]outside.Call // the last call to a service
	asked     map[string]bool         // calls that are on their way
	sent      map[string]mailSent     // by the id of the job
	late      map[string]time.Time    // mails that wait at Mandrill, by id: when they were queued
	losing    map[uint64]bool         // clients whose shops tell of no order
	lost      map[uint64][]lostOrder  // by client, the oldest first
	gone      map[uint64]bool         // clients whose subscription was removed
}

// openOutside serves the outside services, if there are any.
func (p *Platform) openOutside() error {
	if p.config.Outside == "" {
		return nil
	}
	listener, err := listenLoopback(context.Background(), "address of the external services", p.config.Outside)
	if err != nil {
		return fmt.Errorf("platform: %w", err)
	}
	o := &outsiders{
		p: p, shops: map[uint64]string{}, announced: map[uint64]string{}, health: map[string]outside.Call{}, asked: map[string]bool{},
		sent: map[string]mailSent{}, late: map[string]time.Time{}, losing: map[uint64]bool{}, lost: map[uint64][]lostOrder{}, gone: map[uint64]bool{},
	}
	// Days that are short have more mails in an hour, and nobody waits for a webhook longer than for a job.
	hurry := min(max(p.config.Speed, 1), usualSpeed)
	o.Services, err = outside.Start(outside.Config{
		Listener: listener, Dir: p.config.OutsideDir, Speed: hurry, Mails: int(mailsPerHour * max(p.config.Speed/usualSpeed, 1)),
		Now: p.config.Now, Received: o.received,
	})
	if err != nil {
		return errors.Join(fmt.Errorf("platform: %w", err), listener.Close())
	}
	o.apply()
	p.outside = o
	return nil
}

// mailsPerHour is Mandrill's usual quota.
const mailsPerHour = 25_000

// OutsideState says where the outside services are, and what they have that the platform lacks.
type OutsideState struct {
	outside.State
	// OrdersMissing are the orders that shops have and the platform does not, by client. Clients without any are left out.
	OrdersMissing map[string]int `json:"orders_missing"`
}

func (p *Platform) outsideState() *OutsideState {
	if p.outside == nil {
		return nil
	}
	s := &OutsideState{State: p.outside.State(), OrdersMissing: map[string]int{}}
	for _, c := range p.clientList() {
		if n := p.outside.missing(c.ID); n > 0 {
			s.OrdersMissing[c.Slug] = n
		}
	}
	return s
}

// received takes over a webhook. While life is paused, it is told later.
func (o *outsiders) received(_ context.Context, r webhook.Received) error {
	t := o.p.teller
	if t == nil {
		return nil
	}
	if r.Outcome == webhook.Accepted && t.out.Waiting() >= telemetryLimit {
		return errors.New("the stream takes no more: come again")
	}
	who := o.p.tenantOf(r.Client)
	o.p.takeOff().land(func(t *teller) { t.received(who, r) })
	return nil
}

const (
	eventArg = "event"
	sinceArg = "since"
)

func (t *teller) received(who tenant, r webhook.Received) {
	v := t.by(who, "webhook-receiver")
	v.say(stream.WebhookReceived{Provider: r.Provider, Topic: r.Topic, Outcome: r.Outcome, Delay: stream.Seconds(r.Delay)})
	if r.Outcome != webhook.Accepted {
		return
	}
	args := []string{topicArg, r.Topic}
	switch {
	case r.Provider == webhook.ProviderMandrill:
		v.happened(r)
	case r.Topic == "orders/create":
		if event, ok := t.p.outside.arrived(r.Body); ok {
			args = append(args, eventArg, event, sinceArg, t.p.now().Add(-r.Delay).Format(time.RFC3339Nano))
		}
	}
	v.enqueue(jobs.Webhook, r.Provider, args...)
}

// imported tells of an order that came with a webhook.
func (v voice) imported(f jobs.Finished) {
	since, err := time.Parse(time.RFC3339Nano, f.Args[sinceArg])
	if err != nil { // it is about something else
		return
	}
	v.say(stream.OrderImported{Event: f.Args[eventArg], Outcome: outcomeOf(f.Outcome == jobs.Succeeded), Delay: stream.Seconds(max(v.p.now().Sub(since), 0))})
}

// of returns what came of the last call to a service.
func (o *outsiders) of(service string) outside.Call {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.health[service]
}

func (o *outsiders) note(service string, c outside.Call) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.health[service] = c
}

// Names of services in health. Each shop is one.
const (
	clerkService    = "clerk"
	mandrillService = "mandrill"
)

func shopService(client uint64) string { return fmt.Sprintf("shopify %d", client) }

// shopsNow returns the domains of the shops by client.
func (o *outsiders) shopsNow() map[uint64]string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return maps.Clone(o.shops)
}
