package routing

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/common/model"

	"github.com/consignwatch/consignwatch/pkg/catalog"
	"github.com/consignwatch/consignwatch/pkg/yamlfile"
)

// Site is the inventory of an installation: teams, clients, their contacts, and the notification policy.
type Site struct {
	// Platform is the name of the monitored platform in messages, and its time zone.
	Platform struct {
		Name     string   `yaml:"name"`
		TimeZone TimeZone `yaml:"time_zone"`
	} `yaml:"platform"`
	// Links are those in messages to the staff.
	Links Links `yaml:"links"`
	// Mail is the SMTP relay for all email.
	Mail *Mail `yaml:"mail"`
	// Heartbeat is the external dead man's switch.
	Heartbeat Heartbeat `yaml:"heartbeat"`
	// Contacts are the contacts for the roles that a team has no contact of its own for.
	Contacts Contacts `yaml:"contacts"`
	// Teams are the staff: technical, support and system_admin.
	Teams map[string]*Team `yaml:"teams"`
	// ClientHours are when client admins are notified of P2 and P3, each in their own time zone.
	ClientHours Hours `yaml:"client_hours"`
	// Clients are the tenants of the platform.
	Clients []*Client `yaml:"clients"`
	// Policy is the notification policy: timing and escalation by priority.
	Policy Policy `yaml:"policy"`

	file *yamlfile.File
}

// Links are the URLs in messages to the staff.
type Links struct {
	Grafana      string `yaml:"grafana"`
	Runbooks     string `yaml:"runbooks"`
	Alertmanager string `yaml:"alertmanager"`
}

// Mail is an SMTP relay.
type Mail struct {
	Smarthost    string `yaml:"smarthost"` // host:port
	From         string `yaml:"from"`
	Hello        string `yaml:"hello"`
	Username     string `yaml:"username"`
	PasswordFile string `yaml:"password_file"`
	// Plain sends without TLS: only to a relay on the same machine.
	Plain bool `yaml:"plain"`
}

// Heartbeat is an external dead man's switch, which alerts when it misses the Watchdog.
type Heartbeat struct {
	URLFile string            `yaml:"url_file"`
	Every   yamlfile.Duration `yaml:"every"`
}

// Contacts has the contact of each role, in the order of the levels.
type Contacts struct {
	Initial    *Contact `yaml:"initial"`
	Secondary  *Contact `yaml:"secondary"`
	Management *Contact `yaml:"management"`
	Emergency  *Contact `yaml:"emergency"`
}

func (c Contacts) byRole(role string) *Contact {
	switch role {
	case "initial":
		return c.Initial
	case "secondary":
		return c.Secondary
	case "management":
		return c.Management
	}
	return c.Emergency
}

// Contact is a person or a group on call. A notification goes to all their channels at once.
type Contact struct {
	Name     string    `yaml:"name"`
	Channels []Channel `yaml:"channels"`
}

// Team is a part of the staff.
type Team struct {
	Name        string   `yaml:"name"`
	Hours       Hours    `yaml:"hours"`
	LowPriority *Contact `yaml:"low_priority"` // notified of P3
	Contacts    `yaml:",inline"`
}

// Client is a tenant.
type Client struct {
	Slug        string   `yaml:"slug"`
	Name        string   `yaml:"name"`
	TimeZone    TimeZone `yaml:"time_zone"`
	Admins      *Contact `yaml:"admins"`
	Maintenance []Window `yaml:"maintenance"`
}

// Policy is the timing of notifications, and of the escalation, by priority.
type Policy struct {
	// ResolveGrace is the time within which an alert that fires again is the same incident: for the clock of the escalation, for its acknowledgement,
	// and the shortest keep_firing_for of P0 and P1.
	ResolveGrace yamlfile.Duration `yaml:"resolve_grace"`
	// AckGrace is how long acknowledgements hold while ackd is unavailable.
	AckGrace   yamlfile.Duration          `yaml:"ack_grace"`
	Priorities map[string]*PriorityPolicy `yaml:"priorities"`
}

// PriorityPolicy is the timing of notifications and the escalation of alerts of one priority.
type PriorityPolicy struct {
	GroupWait      yamlfile.Duration `yaml:"group_wait"`      // as in Alertmanager
	GroupInterval  yamlfile.Duration `yaml:"group_interval"`  // as in Alertmanager
	RepeatInterval yamlfile.Duration `yaml:"repeat_interval"` // of an unacknowledged alert; 0: never
	// OfficeHours restricts notifications to office hours.
	OfficeHours bool `yaml:"hours"`
	// OfficeHeadStart is how long the initial contact has from the beginning of office hours before the next one is notified; requires OfficeHours.
	OfficeHeadStart yamlfile.Duration `yaml:"office_head_start"`
	// AckTimeout is how long an acknowledgement is renewed while its alert fires; 0: without a limit.
	AckTimeout yamlfile.Duration `yaml:"ack_timeout"`
	// Escalate has the delay of each role after the first; 0: not notified.
	Escalate struct {
		Secondary  yamlfile.Duration `yaml:"secondary"`
		Management yamlfile.Duration `yaml:"management"`
		Emergency  yamlfile.Duration `yaml:"emergency"`
	} `yaml:"escalate"`
}

// Delay is how long an alert fires unacknowledged until the role is notified; 0: it is not.
func (p *PriorityPolicy) Delay(role string) time.Duration {
	switch role {
	case "secondary":
		return time.Duration(p.Escalate.Secondary)
	case "management":
		return time.Duration(p.Escalate.Management)
	case "emergency":
		return time.Duration(p.Escalate.Emergency)
	}
	return 0
}

// Level is a level of the escalation.
type Level struct {
	Name string // the value of the label escalation
	Role string
}

// Levels are the levels after the first notification, in order.
func Levels() []Level {
	return []Level{{"L2", "secondary"}, {"L3", "management"}, {"L4", "emergency"}}
}

// Priorities are the priorities of alerts, the highest first.
func Priorities() []string { return []string{"P0", "P1", "P2", "P3"} }

// StaffTeams are the teams of the staff. The first one is notified of alerts without a team.
func StaffTeams() []string { return []string{"technical", "support", "system_admin"} }

// clientAdmin is the team that is not staff: each client has its own.
const clientAdmin = "client_admin"

// contact returns the contact for a role in a team, and the name of the receiver.
func (s *Site) contact(team, role string) (receiver string, c *Contact) {
	t := s.Teams[team]
	switch {
	case role == "low_priority" && t.LowPriority != nil:
		return dashed(team) + "-low-priority", t.LowPriority
	case role == "low_priority":
		return s.contact(team, "initial")
	case t.byRole(role) != nil:
		return dashed(team) + "-" + role, t.byRole(role)
	}
	return role, s.Contacts.byRole(role)
}

func dashed(s string) string { return strings.ReplaceAll(s, "_", "-") }

func readSite(root fs.FS) (*Site, error) {
	var s Site
	file, err := readFile(root, SiteFile, &s)
	if err != nil {
		return nil, err
	}
	s.file = file
	return &s, s.check()
}

// check reports mistakes of the inventory that can be found without other files.
func (s *Site) check() error {
	var errs []error
	fail := func(key, format string, args ...any) { errs = append(errs, s.file.Errorf(key, format, args...)) }
	if s.Platform.Name == "" {
		fail("platform.name", "missing: the name of the platform in messages")
	}
	if s.Platform.TimeZone.Location == nil {
		fail("platform.time_zone", "missing: a name like Europe/Paris")
	}
	for key, link := range map[string]string{"grafana": s.Links.Grafana, "runbooks": s.Links.Runbooks, "alertmanager": s.Links.Alertmanager} {
		if u, err := url.Parse(link); err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") || u.User != nil {
			fail("links."+key, "%q is not an address like https://grafana.example.com without a password", link)
		}
	}
	if s.Heartbeat.URLFile == "" {
		fail("heartbeat.url_file", "missing: without a heartbeat nobody is notified when the monitoring itself is down")
	}
	if e := time.Duration(s.Heartbeat.Every); e < time.Minute || e > time.Hour {
		fail("heartbeat.every", "must be between 1m and 1h")
	}
	if s.Mail != nil {
		if !strings.Contains(s.Mail.Smarthost, ":") {
			fail("mail.smarthost", "%q is not host:port", s.Mail.Smarthost)
		}
		if s.Mail.From == "" {
			fail("mail.from", "missing")
		} else if err := checkAddresses(s.Mail.From, true); err != nil {
			fail("mail.from", "%v", err)
		}
		if (s.Mail.Username == "") != (s.Mail.PasswordFile == "") {
			fail("mail.username", "username and password_file belong together")
		}
	}
	errs = append(errs, s.checkTeams(), s.checkClients(), s.checkPolicy())
	return errors.Join(errs...)
}

func (s *Site) checkTeams() error {
	var errs []error
	fail := func(key, format string, args ...any) { errs = append(errs, s.file.Errorf(key, format, args...)) }
	contact := func(key string, c *Contact) {
		if c != nil {
			errs = append(errs, s.checkContact(key, c, channelKinds()))
		}
	}
	roles := []string{"initial", "secondary", "management", "emergency"}
	for _, role := range roles {
		contact("contacts."+role, s.Contacts.byRole(role))
	}
	for _, name := range sortedKeys(s.Teams) {
		if !slices.Contains(StaffTeams(), name) {
			fail("teams."+name, "is not one of %s; client admins are listed under clients", strings.Join(StaffTeams(), ", "))
		}
	}
	for _, name := range StaffTeams() {
		t := s.Teams[name]
		if t == nil {
			fail("teams."+name, "missing: every team needs at least a name and hours")
			continue
		}
		key := "teams." + name
		if t.Name == "" {
			fail(key+".name", "missing: the name of the team in messages")
		}
		errs = append(errs, t.Hours.check(s.file, key+".hours", true))
		contact(key+".low_priority", t.LowPriority)
		for _, role := range roles {
			contact(key+"."+role, t.byRole(role))
			if t.byRole(role) == nil && s.Contacts.byRole(role) == nil {
				fail(key+"."+role, "missing, and contacts.%s too: who is notified?", role)
			}
		}
	}
	return errors.Join(errs...)
}

func (s *Site) checkContact(key string, c *Contact, kinds []string) error {
	var errs []error
	if c.Name == "" {
		errs = append(errs, s.file.Errorf(key+".name", "missing: messages say who has been notified"))
	}
	if len(c.Channels) == 0 {
		errs = append(errs, s.file.Errorf(key+".channels", "missing: name at least one of %s", strings.Join(kinds, ", ")))
	}
	for i := range c.Channels {
		errs = append(errs, c.Channels[i].check(s, fmt.Sprintf("%s.channels.%d", key, i), kinds))
	}
	return errors.Join(errs...)
}

func (s *Site) checkClients() error {
	var errs []error
	fail := func(key, format string, args ...any) { errs = append(errs, s.file.Errorf(key, format, args...)) }
	errs = append(errs, s.ClientHours.check(s.file, "client_hours", false))
	seen := map[string]bool{}
	for i, c := range s.Clients {
		key := fmt.Sprintf("clients.%d", i)
		if !catalog.IsSlug(c.Slug) || c.Slug == catalog.Other {
			fail(key+".slug", "%q is not the slug of a client, like north-sale", c.Slug)
		}
		if seen[c.Slug] {
			fail(key+".slug", "duplicate slug %q", c.Slug)
		}
		seen[c.Slug] = true
		if c.Name == "" {
			fail(key+".name", "missing: the name of the client in messages")
		}
		if c.Admins != nil {
			errs = append(errs, s.checkContact(key+".admins", c.Admins, clientChannelKinds()))
		}
		for j := range c.Maintenance {
			errs = append(errs, c.Maintenance[j].check(s.file, fmt.Sprintf("%s.maintenance.%d", key, j)))
		}
	}
	return errors.Join(errs...)
}

// zone is the time zone of a client.
func (s *Site) zone(c *Client) *time.Location {
	return cmp.Or(c.TimeZone.Location, s.Platform.TimeZone.Location)
}

// longestWait is the maximum group wait of a symptom with a longer group wait than that of its priority.
const longestWait = 3 * time.Minute

func (s *Site) checkPolicy() error {
	var errs []error
	fail := func(key, format string, args ...any) { errs = append(errs, s.file.Errorf(key, format, args...)) }
	grace := time.Duration(s.Policy.ResolveGrace)
	if grace <= 0 {
		fail("policy.resolve_grace", "missing: within which time is an alert that fires again the same incident? 2m")
	}
	if s.Policy.AckGrace <= 0 {
		fail("policy.ack_grace", "missing: how long do acknowledgements hold while ackd is unavailable? 15m")
	}
	for _, name := range sortedKeys(s.Policy.Priorities) {
		if !slices.Contains(Priorities(), name) {
			fail("policy.priorities."+name, "is not one of %s", strings.Join(Priorities(), ", "))
		}
	}
	for _, name := range Priorities() {
		key := "policy.priorities." + name
		t := s.Policy.Priorities[name]
		if t == nil {
			fail(key, "missing")
			continue
		}
		wait, interval, repeat := time.Duration(t.GroupWait), time.Duration(t.GroupInterval), time.Duration(t.RepeatInterval)
		longest := map[string]time.Duration{"P0": 30 * time.Second, "P1": time.Minute}[name]
		switch {
		case wait <= 0:
			fail(key+".group_wait", "missing")
		case longest > 0 && wait > longest:
			fail(key+".group_wait", "%s is too long for %s: at most %s", t.GroupWait, name, longest)
		}
		if interval < time.Second {
			fail(key+".group_interval", "missing: it is also how long Alertmanager retries a notification")
		}
		if repeat > 0 && repeat < interval {
			fail(key+".repeat_interval", "is shorter than group_interval")
		}
		if t.OfficeHeadStart > 0 && !t.OfficeHours {
			fail(key+".office_head_start", "needs hours: true")
		}
		if t.OfficeHours && (name == "P0" || name == "P1") {
			fail(key+".hours", "%s cannot wait for office hours", name)
		}
		if timeout := time.Duration(t.AckTimeout); timeout != 0 && timeout < 2*ackWarning {
			fail(key+".ack_timeout", "%s is too short: the team is notified %s before the end, so at least %s", t.AckTimeout, model.Duration(ackWarning), model.Duration(2*ackWarning))
		}
		before := grace
		for _, l := range Levels() {
			d := t.Delay(l.Role)
			switch {
			case d == 0:
			case name == "P3":
				fail(key+".escalate."+l.Role, "P3 does not escalate")
			case d <= before:
				fail(key+".escalate."+l.Role, "%s must be longer than the delay of the level before, and than resolve_grace", yamlfile.Duration(d))
			default:
				before = d
			}
		}
	}
	return errors.Join(errs...)
}
