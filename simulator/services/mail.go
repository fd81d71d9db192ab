package services

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/consignwatch/consignwatch/simulator/emit"
	"github.com/consignwatch/consignwatch/simulator/jobs"
	"github.com/consignwatch/consignwatch/simulator/services/mandrill"
	"github.com/consignwatch/consignwatch/simulator/services/webhook"
	"github.com/consignwatch/consignwatch/simulator/stream"
)

// Emails that are sent through Mandrill.

const (
	maxPostponed = 10_000 // emails that wait for Mandrill; further ones are dropped
	resendBatch  = 25
)

// mailSent is Mandrill's response and the call.
type mailSent struct {
	mandrill.Sent
	emit.Call
}

// Deliver sends the email of a job. While Mandrill is down, the email is postponed after its last attempt.
func (o *Services) Deliver(j jobs.Job) error {
	queued := j.Args[sinceArg]
	if queued == "" {
		queued = j.EnqueuedAt.Format(time.RFC3339Nano)
	}
	ctx, cancel := context.WithTimeout(context.Background(), requestTimeout)
	defer cancel()
	answer, call := o.Send(ctx, Mail{
		Client: o.subaccount(j.Client), To: "to-" + j.ID + "@mail.example", Subject: j.Args[emit.TemplateArg],
		Metadata: map[string]string{emit.TemplateArg: j.Args[emit.TemplateArg], sinceArg: queued},
	})
	o.recordCall(mandrillService, call)
	o.mu.Lock()
	o.sent[j.ID] = mailSent{answer, call}
	o.mu.Unlock()
	switch {
	case call.OK():
		return nil
	case j.Attempt >= emit.Attempts:
		return fmt.Errorf("mandrill: %s: %w", call.Outcome, jobs.ErrFinal)
	default:
		return fmt.Errorf("mandrill: %s", call.Outcome)
	}
}

// subaccount returns the subaccount of a client; "" if it has none.
func (o *Services) subaccount(slug string) string {
	if who := emit.TenantOf(o.Store, slug); o.shopsNow()[who.ID] != "" {
		return slug
	}
	return ""
}

// Delivered emits the events of an attempt to send an email.
func (o *Services) Delivered(src emit.Source, f jobs.Finished) {
	o.mu.Lock()
	s, made := o.sent[f.ID]
	delete(o.sent, f.ID)
	o.mu.Unlock()
	if !made { // it failed before the call
		return
	}
	src.Emit(stream.ExternalCall{Service: mandrillService, Operation: "messages.send", Outcome: s.Outcome, Duration: stream.Seconds(s.Duration)})
	template := f.Args[emit.TemplateArg]
	queued := mailQueued(f.Args[sinceArg], f.EnqueuedAt)
	switch {
	case f.Outcome == jobs.Failed:
		o.mu.Lock()
		if len(o.postponed) < maxPostponed {
			o.postponed = append(o.postponed, postponed{src.Tenant, template, queued})
		}
		o.mu.Unlock()
	case f.Outcome != jobs.Succeeded:
	case s.Status == "rejected":
		src.Emit(stream.EmailRejected{Template: template})
	case s.Status == "queued":
		src.Emit(stream.EmailDeferred{Template: template})
		o.mu.Lock()
		o.queuedMails[s.ID] = queued
		o.mu.Unlock()
	default:
		src.Emit(stream.EmailSent{Template: template, Delay: stream.Seconds(src.Now().Sub(queued))})
		o.mailCount++
		if o.mailCount%200 == 5 {
			_ = o.Mandrill.Trigger(s.ID, mandrill.Complain) // an email that bounced has no reader
		}
	}
}

func mailQueued(text string, otherwise time.Time) time.Time {
	if at, err := time.Parse(time.RFC3339Nano, text); err == nil {
		return at
	}
	return otherwise
}

// postponed is an email that waits for Mandrill.
type postponed struct {
	emit.Tenant
	template string
	queued   time.Time
}

// Waiting returns how many emails wait until Mandrill is up, and how many wait at Mandrill.
func (o *Services) Waiting() (postponed, queued int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.postponed), len(o.queuedMails)
}

// Resend enqueues postponed emails again once Mandrill is up.
func (o *Services) Resend(em *emit.Emitter) {
	if !o.lastCall(mandrillService).OK() {
		return
	}
	o.mu.Lock()
	n := min(len(o.postponed), resendBatch)
	due := o.postponed[:n]
	o.postponed = o.postponed[n:]
	o.mu.Unlock()
	for _, m := range due {
		em.SourceFor(m.Tenant, "worker").Enqueue(jobs.Email, "send", emit.TemplateArg, m.template, sinceArg, m.queued.Format(time.RFC3339Nano))
	}
}

// mailEvent emits the event of a webhook of Mandrill.
func (o *Services) mailEvent(src emit.Source, r webhook.Received) {
	var e struct {
		ID  string `json:"_id"`
		TS  int64  `json:"ts"`
		Msg struct {
			Metadata map[string]string `json:"metadata"`
		} `json:"msg"`
	}
	if json.Unmarshal(r.Body, &e) != nil {
		return
	}
	template := e.Msg.Metadata[emit.TemplateArg]
	if template == "" {
		return
	}
	at := time.Unix(e.TS, 0)
	o.mu.Lock()
	queued, waited := o.queuedMails[e.ID]
	delete(o.queuedMails, e.ID)
	o.mu.Unlock()
	if waited && r.Topic != "reject" {
		src.Emit(stream.EmailSent{Template: template, Delay: stream.Seconds(max(at.Sub(queued), 0))})
	}
	switch r.Topic {
	case "delivered":
		src.Emit(stream.EmailDelivered{Template: template, Delay: stream.Seconds(max(at.Sub(mailQueued(e.Msg.Metadata[sinceArg], at)), 0))})
	case mandrill.HardBounce:
		src.Emit(stream.EmailBounced{Template: template, Bounce: "hard"})
	case mandrill.SoftBounce:
		src.Emit(stream.EmailBounced{Template: template, Bounce: "soft"})
	case mandrill.Complain:
		src.Emit(stream.EmailComplained{Template: template})
	}
}
