package routing

import (
	"fmt"
	"io/fs"
	"slices"
	"time"

	"github.com/prometheus/common/model"

	"github.com/consignwatch/consignwatch/pkg/yamlfile"
)

// Files of a demo below the folder of Alertmanager's configuration: the URL of the webhook that all contacts get, and that of the dead man's switch.
const (
	DemoWebhookURLFile   = "secrets/pages_url"
	DemoHeartbeatURLFile = "secrets/heartbeat_url"
)

// DemoOptions say how LoadForDemo changes the routing of an installation for the demo, drills and tests, besides other receivers: other clients, and
// shorter times.
type DemoOptions struct {
	// Clients are the slugs of the tenants. Each has admins, and no maintenance window.
	Clients []string
	// TimeScale divides the times of the policy, except repeat intervals and how long an acknowledgement lasts.
	TimeScale float64
	// Evaluation is Prometheus's evaluation interval: the lower bound of times that depend on rules.
	Evaluation time.Duration
}

// minGroupInterval is the shortest group_interval: Alertmanager also uses it as the timeout of a notification.
const minGroupInterval = 2 * time.Second

// LoadForDemo loads the routing and changes it for the demo. Which contact is notified of which alert, the order of levels, grouping and inhibition
// stay the same.
func LoadForDemo(root fs.FS, options DemoOptions) (*Routing, error) {
	r, err := Load(root)
	if err != nil {
		return nil, err
	}
	return r, r.forDemo(options)
}

func (r *Routing) forDemo(options DemoOptions) error {
	if err := r.scaleTimes(options.TimeScale, options.Evaluation); err != nil {
		return err
	}
	s := r.Site
	webhook := []Channel{Webhook(DemoWebhookURLFile)}
	useWebhook := func(c *Contact) {
		if c != nil {
			c.Channels = slices.Clone(webhook)
		}
	}
	for _, contacts := range append([]*Contacts{&s.Contacts}, teamContacts(s)...) {
		useWebhook(contacts.Initial)
		useWebhook(contacts.Secondary)
		useWebhook(contacts.Management)
		useWebhook(contacts.Emergency)
	}
	for _, t := range s.Teams {
		useWebhook(t.LowPriority)
	}
	s.Mail = nil
	s.Heartbeat.URLFile = DemoHeartbeatURLFile
	s.Clients = nil
	for _, slug := range options.Clients {
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

// scaleTimes divides the times of the policy by a time scale, except repeat intervals and how long an acknowledgement lasts. Times that depend on rules are at least a few evaluation intervals.
func (r *Routing) scaleTimes(timeScale float64, evaluation time.Duration) error {
	if timeScale < 1 {
		return fmt.Errorf("the policy can only run faster: %g is less than 1", timeScale)
	}
	p := &r.Site.Policy
	divide := func(d *yamlfile.Duration, minimum time.Duration) {
		if *d > 0 {
			*d = yamlfile.Duration(max(time.Duration(float64(*d)/timeScale), min(minimum, time.Duration(*d))).Round(time.Millisecond))
		}
	}
	divide(&p.ResolveGrace, 4*evaluation)
	for _, name := range Priorities() {
		priority := p.Priorities[name]
		divide(&priority.GroupWait, 0)
		divide(&priority.GroupInterval, minGroupInterval)
		divide(&priority.OfficeHeadStart, 0)
		divide(&priority.Escalate.Secondary, time.Second)
		divide(&priority.Escalate.Management, time.Second)
		divide(&priority.Escalate.Emergency, time.Second)
		before := time.Duration(p.ResolveGrace)
		for _, l := range Levels() {
			d := priority.Delay(l.Role)
			if d == 0 {
				continue
			}
			if d < before+2*evaluation {
				return fmt.Errorf("%g times faster is too fast: %s of %s would be due after %s, and rules are evaluated every %s", timeScale, l.Name, name, model.Duration(d), model.Duration(evaluation))
			}
			before = d
		}
	}
	return nil
}
