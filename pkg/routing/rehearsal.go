package routing

import (
	"fmt"
	"slices"
	"time"

	"github.com/prometheus/common/model"

	"github.com/consignwatch/consignwatch/pkg/yamlfile"
)

// Rehearsal is the routing of an installation with other people in it, and with less time: for the demo, drills and tests.
type Rehearsal struct {
	// PagesFile holds the address of the webhook that stands for everybody, and HeartbeatFile that of the dead man's switch.
	PagesFile, HeartbeatFile string
	// Clients are the tenants, by slug. Each has admins, and no maintenance window.
	Clients []string
	// Faster divides the times of the policy, except repeat intervals.
	Faster float64
	// Evaluation is how often Prometheus evaluates rules: no notification can be faster.
	Evaluation time.Duration
}

// briefest is the shortest time between notifications on a group: it is also how long Alertmanager tries to send.
const briefest = 2 * time.Second

// Rehearse changes the routing into the one for a rehearsal. Who is notified of what, in which order, grouping and inhibition
// stay as they are.
func (r *Routing) Rehearse(as Rehearsal) error {
	if err := r.hasten(as.Faster, as.Evaluation); err != nil {
		return err
	}
	s := r.Site
	webhook := []Channel{Webhook(as.PagesFile)}
	reach := func(c *Contact) {
		if c != nil {
			c.Channels = slices.Clone(webhook)
		}
	}
	for _, contacts := range append([]*Contacts{&s.Contacts}, teamContacts(s)...) {
		reach(contacts.Initial)
		reach(contacts.Secondary)
		reach(contacts.Management)
		reach(contacts.Emergency)
	}
	for _, t := range s.Teams {
		reach(t.LowPriority)
	}
	s.Mail = nil
	s.Heartbeat.URLFile = as.HeartbeatFile
	s.Clients = nil
	for _, slug := range as.Clients {
		admins := &Contact{Name: "the admins of " + slug, Channels: webhook}
		s.Clients = append(s.Clients, &Client{Slug: slug, Name: slug, Admins: admins})
	}
	return r.Check()
}

func teamContacts(s *Site) []*Contacts {
	var all []*Contacts
	for _, t := range s.Teams {
		all = append(all, &t.Contacts)
	}
	return all
}

// hasten divides the times of the policy. What waits for evaluations cannot be shorter than a few of them.
func (r *Routing) hasten(faster float64, evaluation time.Duration) error {
	if faster < 1 {
		return fmt.Errorf("the policy can only run faster: %g is less than 1", faster)
	}
	p := &r.Site.Policy
	divide := func(d *yamlfile.Duration, least time.Duration) {
		if *d > 0 {
			*d = yamlfile.Duration(max(time.Duration(float64(*d)/faster), min(least, time.Duration(*d))).Round(time.Millisecond))
		}
	}
	divide(&p.ResolveGrace, 4*evaluation)
	for _, name := range Priorities() {
		t := p.Priorities[name]
		divide(&t.GroupWait, 0)
		divide(&t.GroupInterval, briefest)
		divide(&t.OfficeHeadStart, 0)
		divide(&t.Escalate.Secondary, time.Second)
		divide(&t.Escalate.Management, time.Second)
		divide(&t.Escalate.Emergency, time.Second)
		before := time.Duration(p.ResolveGrace)
		for _, l := range Levels() {
			d := t.Delay(l.Role)
			if d == 0 {
				continue
			}
			if d < before+2*evaluation {
				return fmt.Errorf("%g times faster is too fast: %s of %s would be due after %s, and rules are evaluated every %s", faster, l.Name, name, model.Duration(d), model.Duration(evaluation))
			}
			before = d
		}
	}
	return nil
}
