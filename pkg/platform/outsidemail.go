package platform

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/consignwatch/consignwatch/pkg/platform/jobs"
	"github.com/consignwatch/consignwatch/pkg/platform/mandrill"
	"github.com/consignwatch/consignwatch/pkg/platform/outside"
	"github.com/consignwatch/consignwatch/pkg/platform/stream"
	"github.com/consignwatch/consignwatch/pkg/platform/webhook"
)

// Mails that are really sent.

const (
	attempts      = 3      // of a job
	mostPostponed = 10_000 // mails that wait for Mandrill; more are given up
	resentAtOnce  = 25
)

// mailSent is what came of sending a mail.
type mailSent struct {
	mandrill.Sent
	outside.Call
}

// send sends the mail of a job. While Mandrill is away, the mail waits after its last attempt.
func (o *outsiders) send(j jobs.Job) error {
	queued := j.Args[sinceArg]
	if queued == "" {
		queued = j.EnqueuedAt.Format(time.RFC3339Nano)
	}
	ctx, cancel := context.WithTimeout(context.Background(), outside.Patience)
	defer cancel()
	answer, call := o.Send(ctx, outside.Mail{
		Client: o.subaccount(j.Client), To: "to-" + j.ID + "@mail.example", Subject: j.Args[templateArg],
		Metadata: map[string]string{templateArg: j.Args[templateArg], sinceArg: queued},
	})
	o.note(mandrillService, call)
	o.mu.Lock()
	o.sent[j.ID] = mailSent{answer, call}
	o.mu.Unlock()
	switch {
	case call.Well():
		return nil
	case j.Attempt >= attempts:
		return fmt.Errorf("mandrill: %s: %w", call.Outcome, jobs.ErrFinal)
	default:
		return fmt.Errorf("mandrill: %s", call.Outcome)
	}
}

// subaccount is the one of a client; "" when it has none.
func (o *outsiders) subaccount(slug string) string {
	if who := o.p.tenantOf(slug); o.shopsNow()[who.id] != "" {
		return slug
	}
	return ""
}

// sending tells what came of an attempt to send a mail.
func (v voice) sending(f jobs.Finished) {
	o := v.p.outside
	o.mu.Lock()
	s, made := o.sent[f.ID]
	delete(o.sent, f.ID)
	o.mu.Unlock()
	if !made { // it failed before
		return
	}
	v.say(stream.ExternalCall{Service: mandrillService, Operation: "messages.send", Outcome: s.Outcome, Duration: stream.Seconds(s.Duration)})
	template := f.Args[templateArg]
	queued := mailQueued(f.Args[sinceArg], f.EnqueuedAt)
	switch {
	case f.Outcome == jobs.Failed && len(v.postponed) < mostPostponed:
		v.postponed = append(v.postponed, postponed{v.tenant, template, queued})
	case f.Outcome != jobs.Succeeded:
	case s.Status == "rejected":
		v.say(stream.EmailRejected{Template: template})
	case s.Status == "queued":
		v.say(stream.EmailDeferred{Template: template})
		o.mu.Lock()
		o.late[s.ID] = queued
		o.mu.Unlock()
	default:
		v.say(stream.EmailSent{Template: template, Delay: stream.Seconds(v.p.now().Sub(queued))})
		v.mails++
		if v.mails%200 == 5 {
			o.complain(s.ID)
		}
	}
}

// complain lets somebody complain about a mail. One that bounced nobody reads.
func (o *outsiders) complain(id string) { _ = o.Mandrill.Happen(id, mandrill.Complain) }

func mailQueued(text string, otherwise time.Time) time.Time {
	if at, err := time.Parse(time.RFC3339Nano, text); err == nil {
		return at
	}
	return otherwise
}

// postponed is a mail that waits for Mandrill.
type postponed struct {
	tenant
	template string
	queued   time.Time
}

// resend puts mails that wait in their queue again, when Mandrill is back.
func (t *teller) resend() {
	if t.p.outside == nil || len(t.postponed) == 0 || !t.p.outside.of(mandrillService).Well() {
		return
	}
	n := min(len(t.postponed), resentAtOnce)
	for _, m := range t.postponed[:n] {
		t.by(m.tenant, "worker").enqueue(jobs.Email, "send", templateArg, m.template, sinceArg, m.queued.Format(time.RFC3339Nano))
	}
	t.postponed = t.postponed[n:]
}

// happened tells what Mandrill says of a mail.
func (v voice) happened(r webhook.Received) {
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
	o := v.p.outside
	o.mu.Lock()
	queued, waited := o.late[e.ID]
	delete(o.late, e.ID)
	o.mu.Unlock()
	if waited && r.Topic != "reject" {
		v.say(stream.EmailSent{Template: template, Delay: stream.Seconds(max(at.Sub(queued), 0))})
	}
	switch r.Topic {
	case "delivered":
		v.say(stream.EmailDelivered{Template: template, Delay: stream.Seconds(max(at.Sub(mailQueued(e.Msg.Metadata[sinceArg], at)), 0))})
	case mandrill.HardBounce:
		v.say(stream.EmailBounced{Template: template, Bounce: "hard"})
	case mandrill.SoftBounce:
		v.say(stream.EmailBounced{Template: template, Bounce: "soft"})
	case mandrill.Complain:
		v.say(stream.EmailComplained{Template: template})
	}
}
