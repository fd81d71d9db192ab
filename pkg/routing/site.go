package routing

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/consignwatch/consignwatch/pkg/yamlfile"
)

// Site is the inventory of an installation: who there is, how to reach them, and how long each is given.
type Site struct {
	// Platform is what messages call the monitored platform, and its time zone.
	Platform struct {
		Name     string   `yaml:"name"`
		TimeZone TimeZone `yaml:"time_zone"`
	} `yaml:"platform"`
	// Links are the addresses that a person can open.
	Links Links `yaml:"links"`
	// Mail is the relay that takes all mail.
	Mail *Mail `yaml:"mail"`
	// Heartbeat is the service outside that misses the Watchdog.
	Heartbeat Heartbeat `yaml:"heartbeat"`
	// Contacts are called by every team that names nobody of its own for the role.
	Contacts Contacts `yaml:"contacts"`
	// Teams are the staff: technical, support and system_admin.
	Teams map[string]*Team `yaml:"teams"`
	// ClientHours are when client admins hear of what can wait, each in their own time zone.
	ClientHours Hours `yaml:"client_hours"`
	// Clients are the tenants.
	Clients []*Client `yaml:"clients"`
	// Policy says how fast, how often, and who is next.
	Policy Policy `yaml:"policy"`

	file *yamlfile.File
}

// Links are addresses in messages to staff.
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

// Heartbeat is asked for by a service that raises an alarm when it no longer hears of the Watchdog.
type Heartbeat struct {
	URLFile string            `yaml:"url_file"`
	Every   yamlfile.Duration `yaml:"every"`
}

// Contacts are those who are called, in the order of the levels.
type Contacts struct {
	Initial    *Contact `yaml:"initial"`
	Secondary  *Contact `yaml:"secondary"`
	Management *Contact `yaml:"management"`
	Emergency  *Contact `yaml:"emergency"`
}

func (c Contacts) of(role string) *Contact {
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

// Contact is somebody, with all ways to reach them. A notification goes all these ways at once.
type Contact struct {
	Name     string    `yaml:"name"`
	Channels []Channel `yaml:"channels"`
}

// Team is a part of the staff.
type Team struct {
	Name     string   `yaml:"name"`
	Hours    Hours    `yaml:"hours"`
	Quiet    *Contact `yaml:"quiet"` // hears of P3
	Contacts `yaml:",inline"`
}

// Client is a tenant.
type Client struct {
	Slug        string   `yaml:"slug"`
	Name        string   `yaml:"name"`
	TimeZone    TimeZone `yaml:"time_zone"`
	Admins      *Contact `yaml:"admins"`
	Maintenance []Window `yaml:"maintenance"`
}

// Policy says for each priority how fast and how often somebody hears of it, and when the next one does.
type Policy struct {
	// Gap is for how long an alert may be gone and still be the same incident.
	Gap yamlfile.Duration `yaml:"gap"`
	// Memory is for how long acknowledgements hold when ackd no longer says so.
	Memory     yamlfile.Duration     `yaml:"memory"`
	Priorities map[string]*Treatment `yaml:"priorities"`
}

// Treatment is what becomes of alerts of one priority.
type Treatment struct {
	Wait     yamlfile.Duration `yaml:"wait"`     // for others that belong to it, before the first notification
	Interval yamlfile.Duration `yaml:"interval"` // between notifications on a group that changes
	Repeat   yamlfile.Duration `yaml:"repeat"`   // of what nobody has acknowledged; 0: never
	// Hours: only in the hours of whoever hears of it.
	Hours bool `yaml:"hours"`
	// HeadStart is how long the first contact has each day before the next one hears of it; with Hours.
	HeadStart yamlfile.Duration `yaml:"head_start"`
	// Escalate has the delay of each role after the first; 0: not called.
	Escalate struct {
		Secondary  yamlfile.Duration `yaml:"secondary"`
		Management yamlfile.Duration `yaml:"management"`
		Emergency  yamlfile.Duration `yaml:"emergency"`
	} `yaml:"escalate"`
}

// Delay is how long an alert fires, and nobody takes it, until the role is called; 0: it is not.
func (t *Treatment) Delay(role string) time.Duration {
	switch role {
	case "secondary":
		return time.Duration(t.Escalate.Secondary)
	case "management":
		return time.Duration(t.Escalate.Management)
	case "emergency":
		return time.Duration(t.Escalate.Emergency)
	}
	return 0
}

// Level is a step of the escalation.
type Level struct {
	Name string // the value of the label escalation
	Role string
}

// Levels are the steps after the first notification, in order.
func Levels() []Level {
	return []Level{{"L2", "secondary"}, {"L3", "management"}, {"L4", "emergency"}}
}

// Priorities of alerts, the worst first.
func Priorities() []string { return []string{"P0", "P1", "P2", "P3"} }

// StaffTeams are the teams of the staff. The first one hears of what belongs to nobody.
func StaffTeams() []string { return []string{"technical", "support", "system_admin"} }

// clientAdmin is the team that is not staff: each client has its own.
const clientAdmin = "client_admin"

// contact is who has the role in a team, and the name of the receiver.
func (s *Site) contact(team, role string) (receiver string, c *Contact) {
	t := s.Teams[team]
	switch {
	case role == "quiet" && t.Quiet != nil:
		return dashed(team) + "-quiet", t.Quiet
	case role == "quiet":
		return s.contact(team, "initial")
	case t.of(role) != nil:
		return dashed(team) + "-" + role, t.of(role)
	}
	return role, s.Contacts.of(role)
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

var slugPattern = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,62}$`)

// check finds everything that is wrong with the inventory by itself.
func (s *Site) check() error {
	var errs []error
	fail := func(key, format string, args ...any) { errs = append(errs, s.file.Errorf(key, format, args...)) }
	if s.Platform.Name == "" {
		fail("platform.name", "missing: what do messages call the platform?")
	}
	if s.Platform.TimeZone.Location == nil {
		fail("platform.time_zone", "missing: write a name like Europe/Paris")
	}
	for key, link := range map[string]string{"grafana": s.Links.Grafana, "runbooks": s.Links.Runbooks, "alertmanager": s.Links.Alertmanager} {
		if u, err := url.Parse(link); err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") || u.User != nil {
			fail("links."+key, "%q is not an address like https://grafana.example.com without a password", link)
		}
	}
	if s.Heartbeat.URLFile == "" {
		fail("heartbeat.url_file", "missing: without a heartbeat nobody hears that the monitoring is dead")
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
		contact("contacts."+role, s.Contacts.of(role))
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
			fail(key+".name", "missing: what do messages call the team?")
		}
		errs = append(errs, t.Hours.check(s.file, key+".hours", true))
		contact(key+".quiet", t.Quiet)
		for _, role := range roles {
			contact(key+"."+role, t.of(role))
			if t.of(role) == nil && s.Contacts.of(role) == nil {
				fail(key+"."+role, "missing, and contacts.%s too: who is called?", role)
			}
		}
	}
	return errors.Join(errs...)
}

func (s *Site) checkContact(key string, c *Contact, kinds []string) error {
	var errs []error
	if c.Name == "" {
		errs = append(errs, s.file.Errorf(key+".name", "missing: messages say who has been told"))
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
		if !slugPattern.MatchString(c.Slug) || c.Slug == "other" {
			fail(key+".slug", "%q is not the slug of a client, like north-sale", c.Slug)
		}
		if seen[c.Slug] {
			fail(key+".slug", "%q is there twice", c.Slug)
		}
		seen[c.Slug] = true
		if c.Name == "" {
			fail(key+".name", "missing: what do messages call the client?")
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

// zone is where a client is.
func (s *Site) zone(c *Client) *time.Location {
	return cmp.Or(c.TimeZone.Location, s.Platform.TimeZone.Location)
}

// longestWait bounds how long what belongs together is waited for.
const longestWait = 3 * time.Minute

func (s *Site) checkPolicy() error {
	var errs []error
	fail := func(key, format string, args ...any) { errs = append(errs, s.file.Errorf(key, format, args...)) }
	gap := time.Duration(s.Policy.Gap)
	if gap <= 0 {
		fail("policy.gap", "missing: for how long may an alert be gone and still be the same incident? 2m")
	}
	if s.Policy.Memory <= 0 {
		fail("policy.memory", "missing: for how long do acknowledgements hold while ackd is blind? 15m")
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
		wait, interval, repeat := time.Duration(t.Wait), time.Duration(t.Interval), time.Duration(t.Repeat)
		limit := map[string]time.Duration{"P0": 30 * time.Second, "P1": time.Minute}[name]
		switch {
		case wait <= 0:
			fail(key+".wait", "missing")
		case limit > 0 && wait > limit:
			fail(key+".wait", "%s is too long for %s: at most %s", t.Wait, name, limit)
		}
		if interval < time.Second {
			fail(key+".interval", "missing: it is also how long Alertmanager tries to send")
		}
		if repeat > 0 && repeat < interval {
			fail(key+".repeat", "is shorter than interval")
		}
		if t.HeadStart > 0 && !t.Hours {
			fail(key+".head_start", "makes sense only with hours: true")
		}
		if t.Hours && (name == "P0" || name == "P1") {
			fail(key+".hours", "%s cannot wait for the morning", name)
		}
		before := gap
		for _, l := range Levels() {
			d := t.Delay(l.Role)
			switch {
			case d == 0:
			case name == "P3":
				fail(key+".escalate."+l.Role, "P3 goes to a quiet channel and does not escalate")
			case d <= before:
				fail(key+".escalate."+l.Role, "%s must be longer than what comes before it, and than the gap", yamlfile.Duration(d))
			default:
				before = d
			}
		}
	}
	return errors.Join(errs...)
}
