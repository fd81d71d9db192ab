package simulator

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/consignwatch/consignwatch/simulator/jobs"
	"github.com/consignwatch/consignwatch/simulator/mandrill"
	"github.com/consignwatch/consignwatch/simulator/outside"
	"github.com/consignwatch/consignwatch/simulator/stream"
	"github.com/consignwatch/consignwatch/simulator/webhook"
)

// Emails that are sent through Mandrill.

const (
	maxPostponed = 10_000 // emails that wait for Mandrill; further ones are dropped
	resendBatch  = 25
)

// mailSent is Mandrill's response and the call.
type mailSent struct {
	mandrill.Sent
	outside.Call
}

// Deliver sends the email of a job. While Mandrill is down, the email is postponed after its last attempt.
func (o *Services) Deliver(j jobs.Job) error {
	queued := j.Args[sinceArg]
	if queued == "" {
		queued = j.EnqueuedAt.Format(time.RFC3339Nano)
	}
	ctx, cancel := context.WithTimeout(context.Background(), outside.RequestTimeout)
	defer cancel()
	answer, call := o.Send(ctx, outside.Mail{
		Client: o.subaccount(j.Client), To: "to-" + j.ID + "@mail.example", Subject: j.Args[templateArg],
		Metadata: map[string]string{templateArg: j.Args[templateArg], sinceArg: queued},
	})
	o.recordCall(mandrillService, call)
	o.mu.Lock()
	o.sent[j.ID] = mailSent{answer, call}
	o.mu.Unlock()
	switch {
	case call.OK():
		return nil
	case j.Attempt >= Attempts:
		return fmt.Errorf("mandrill: %s: %w", call.Outcome, jobs.ErrFinal)
	default:
		return fmt.Errorf("mandrill: %s", call.Outcome)
	}
}

// subaccount returns the subaccount of a client; "" if it has none.
func (o *Services) subaccount(slug string) string {
	if who := tenantOf(o.Store, slug); o.shopsNow()[who.id] != "" {
		return slug
	}
	return ""
}

// Delivered emits the events of an attempt to send an email.
func (o *Services) Delivered(src source, f jobs.Finished) {
	o.mu.Lock()
	s, made := o.sent[f.ID]
	delete(o.sent, f.ID)
	o.mu.Unlock()
	if !made { // it failed before the call
		return
	}
	src.emit(stream.ExternalCall{Service: mandrillService, Operation: "messages.send", Outcome: s.Outcome, Duration: stream.Seconds(s.Duration)})
	template := f.Args[templateArg]
	queued := mailQueued(f.Args[sinceArg], f.EnqueuedAt)
	switch {
	case f.Outcome == jobs.Failed && len(o.postponed) < maxPostponed:
		o.postponed = append(o.postponed, postponed{src.tenant, template, queued})
	case f.Outcome != jobs.Succeeded:
	case s.Status == "rejected":
		src.emit(stream.EmailRejected{Template: template})
	case s.Status == "queued":
		src.emit(stream.EmailDeferred{Template: template})
		o.mu.Lock()
		o.queuedMails[s.ID] = queued
		o.mu.Unlock()
	default:
		src.emit(stream.EmailSent{Template: template, Delay: stream.Seconds(src.Now().Sub(queued))})
		o.mailCount++
		if o.mailCount%200 == 5 {
			o.complainAbout(s.ID)
		}
	}
}

// complainAbout makes the recipient complain. An email that bounced has no reader: its error does not matter.
func (o *Services) complainAbout(id string) { _ = o.Mandrill.Trigger(id, mandrill.Complain) }

func mailQueued(text string, otherwise time.Time) time.Time {
	if at, err := time.Parse(time.RFC3339Nano, text); err == nil {
		return at
	}
	return otherwise
}

// postponed is an email that waits for Mandrill.
type postponed struct {
	tenant
	template string
	queued   time.Time
}

// Resend enqueues postponed emails again once Mandrill is up.
func (o *Services) Resend(em *Emitter) {
	if len(o.postponed) == 0 || !o.lastCall(mandrillService).OK() {
		return
	}
	n := min(len(o.postponed), resendBatch)
	for _, m := range o.postponed[:n] {
		em.sourceFor(m.tenant, "worker").enqueue(jobs.Email, "send", templateArg, m.template, sinceArg, m.queued.Format(time.RFC3339Nano))
	}
	o.postponed = o.postponed[n:]
}

// mailEvent emits the event of a webhook of Mandrill.
func (o *Services) mailEvent(src source, r webhook.Received) {
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
	template := e.Msg.Metadata[templateArg]
	if template == "" {
		return
	}
	at := time.Unix(e.TS, 0)
	o.mu.Lock()
	queued, waited := o.queuedMails[e.ID]
	delete(o.queuedMails, e.ID)
	o.mu.Unlock()
	if waited && r.Topic != "reject" {
		src.emit(stream.EmailSent{Template: template, Delay: stream.Seconds(max(at.Sub(queued), 0))})
	}
	switch r.Topic {
	case "delivered":
		src.emit(stream.EmailDelivered{Template: template, Delay: stream.Seconds(max(at.Sub(mailQueued(e.Msg.Metadata[sinceArg], at)), 0))})
	case mandrill.HardBounce:
		src.emit(stream.EmailBounced{Template: template, Bounce: "hard"})
	case mandrill.SoftBounce:
		src.emit(stream.EmailBounced{Template: template, Bounce: "soft"})
	case mandrill.Complain:
		src.emit(stream.EmailComplained{Template: template})
	}
}
