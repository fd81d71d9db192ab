package routing

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/common/model"
	"go.yaml.in/yaml/v3"
)

// amConfig is Alertmanager's configuration, as far as we write it.
type amConfig struct {
	Global    *globalConfig  `yaml:"global,omitempty"`
	Templates []string       `yaml:"templates,flow"`
	Route     *route         `yaml:"route"`
	Inhibit   []inhibitRule  `yaml:"inhibit_rules"`
	Times     []timeInterval `yaml:"time_intervals,omitempty"`
	Receivers []receiver     `yaml:"receivers"`
}

type globalConfig struct {
	Smarthost    string `yaml:"smtp_smarthost"`
	From         string `yaml:"smtp_from"`
	Hello        string `yaml:"smtp_hello,omitempty"`
	Username     string `yaml:"smtp_auth_username,omitempty"`
	PasswordFile string `yaml:"smtp_auth_password_file,omitempty"`
	RequireTLS   bool   `yaml:"smtp_require_tls"`
}

type route struct {
	Receiver       string   `yaml:"receiver,omitempty"`
	Matchers       []string `yaml:"matchers,omitempty,flow"`
	GroupBy        []string `yaml:"group_by,omitempty,flow"`
	GroupWait      string   `yaml:"group_wait,omitempty"`
	GroupInterval  string   `yaml:"group_interval,omitempty"`
	RepeatInterval string   `yaml:"repeat_interval,omitempty"`
	Mute           []string `yaml:"mute_time_intervals,omitempty,flow"`
	Active         []string `yaml:"active_time_intervals,omitempty,flow"`
	Routes         []*route `yaml:"routes,omitempty"`
}

type receiver struct {
	name    string
	configs []Channel
	audience
	heartbeat string // the file with the address of the heartbeat
}

// MarshalYAML writes the channels by their kind, in the order in which they stand in the inventory.
func (r receiver) MarshalYAML() (any, error) {
	n := &yaml.Node{Kind: yaml.MappingNode, Content: []*yaml.Node{text("name"), text(r.name)}}
	if r.heartbeat != "" {
		config := &yaml.Node{Kind: yaml.MappingNode, Content: []*yaml.Node{
			text("url_file"), text(r.heartbeat), text("send_resolved"), {Kind: yaml.ScalarNode, Tag: "!!bool", Value: "false"}}}
		n.Content = append(n.Content, text("webhook_configs"), &yaml.Node{Kind: yaml.SequenceNode, Content: []*yaml.Node{config}})
		return n, nil
	}
	lists := map[string]*yaml.Node{}
	for _, c := range r.configs {
		if lists[c.Kind] == nil {
			lists[c.Kind] = &yaml.Node{Kind: yaml.SequenceNode}
			n.Content = append(n.Content, text(c.Kind+"_configs"), lists[c.Kind])
		}
		lists[c.Kind].Content = append(lists[c.Kind].Content, c.rendered(r.audience))
	}
	return n, nil
}

// never is a repeat interval that does not come.
const never = 365 * day

func duration(d time.Duration) string { return model.Duration(d).String() }

// builder collects receivers and time intervals while routes are made that need them.
type builder struct {
	*Routing
	receivers []receiver
	times     []timeInterval
}

// Names of receivers that are not somebody of the staff.
const (
	heartbeatReceiver = "heartbeat"
	nobodyReceiver    = "nobody"
	clientReceiver    = "client-" // and the slug
)

func (r *Routing) config() ([]byte, error) {
	b := &builder{Routing: r}
	config := amConfig{Templates: []string{"templates/*.tmpl"}, Route: b.root(), Inhibit: r.inhibitRules()}
	if m := r.Site.Mail; m != nil {
		config.Global = &globalConfig{Smarthost: m.Smarthost, From: m.From, Hello: m.Hello, Username: m.Username, PasswordFile: m.PasswordFile, RequireTLS: !m.Plain}
	}
	config.Times, config.Receivers = b.times, b.receivers
	var out bytes.Buffer
	fmt.Fprintf(&out, "# %s\n# %s\n\n", generated(SiteFile+", "+InhibitionFile+" and "+alertFiles),
		"Paths of secrets are relative to Alertmanager's working directory.")
	e := yaml.NewEncoder(&out)
	e.SetIndent(2)
	if err := e.Encode(config); err != nil {
		return nil, fmt.Errorf("%s: %w", ConfigFile, err)
	}
	return out.Bytes(), e.Close()
}

// root is the route of all alerts. What matches none of its routes goes to the technical team.
func (b *builder) root() *route {
	every := duration(time.Duration(b.Site.Heartbeat.Every))
	p1 := b.Site.Policy.Priorities["P1"]
	b.receivers = append(b.receivers, receiver{name: heartbeatReceiver, heartbeat: b.Site.Heartbeat.URLFile}, receiver{name: nobodyReceiver})
	root := &route{
		Receiver: b.receiver("technical", "initial"), GroupBy: []string{"alertname", "component"},
		GroupWait: duration(time.Duration(p1.GroupWait)), GroupInterval: duration(time.Duration(p1.GroupInterval)), RepeatInterval: repeat(p1),
		Routes: []*route{{
			Receiver: heartbeatReceiver, Matchers: []string{matcher("alertname", "Watchdog")}, GroupBy: []string{"alertname"},
			GroupWait: "0s", GroupInterval: every, RepeatInterval: every,
		}, {
			Receiver: nobodyReceiver, Matchers: []string{matcher("alertname", inhibitionSourceRecent)},
		}},
	}
	for _, c := range b.Site.Clients {
		if len(c.Maintenance) > 0 {
			// Data loss and security do not wait for the end of the window.
			root.Routes = append(root.Routes, &route{
				Matchers: []string{matcher("client", c.Slug), `category!~"data_loss|security"`},
				Mute:     b.maintenance(c, 0), Routes: b.everybody(c),
			})
		}
	}
	root.Routes = append(root.Routes, b.everybody(nil)...)
	return root
}

// everybody has the routes of all audiences; for a client: those of the client's alerts, muted during its maintenance.
func (b *builder) everybody(c *Client) []*route {
	var routes []*route
	for _, l := range Levels() {
		level := &route{
			Receiver: b.receiver("", l.Role), Matchers: []string{matcher("escalation", l.Name)},
			GroupBy: []string{"source_alertname", "component"}, Mute: b.maintenance(c, 0),
		}
		byPriority := func(team string) []*route { return b.priorities(c, team, l) }
		for _, team := range StaffTeams() {
			name, _ := b.Site.contact(team, l.Role)
			if name != level.Receiver || b.hasHours() {
				level.Routes = append(level.Routes, &route{
					Receiver: b.receiver(team, l.Role), Matchers: []string{matcher("team", team)},
					Mute: b.maintenance(c, 0), Routes: byPriority(team),
				})
			}
		}
		level.Routes = append(level.Routes, byPriority("technical")...)
		routes = append(routes, level)
	}
	// No escalation gets beyond this point, whatever its labels: what follows are first notifications only.
	routes = append(routes, &route{Receiver: b.receiver("technical", "initial"), Matchers: []string{`escalation!=""`},
		GroupBy: []string{"source_alertname", "component"}, Mute: b.maintenance(c, 0)})

	clients := &route{
		// Of a client without admins, or an unknown one: support is notified.
		Receiver: b.receiver("support", "initial"), Matchers: []string{matcher("team", clientAdmin)},
		GroupBy: []string{"client", "alertname"}, Mute: b.maintenance(c, 0),
	}
	for _, one := range b.Site.Clients {
		if one.Admins != nil && (c == nil || c == one) {
			clients.Routes = append(clients.Routes, b.client(one, c != nil))
		}
	}
	routes = append(routes, clients)
	for _, team := range StaffTeams() {
		routes = append(routes, &route{
			Receiver: b.receiver(team, "initial"), Matchers: []string{matcher("team", team)},
			Mute: b.maintenance(c, 0), Routes: b.priorities(c, team, Level{Role: "initial"}),
		})
	}
	return routes
}

// hasHours reports whether some priority notifies in office hours only.
func (b *builder) hasHours() bool {
	return slices.ContainsFunc(Priorities(), func(p string) bool { return b.Site.Policy.Priorities[p].Hours })
}

// priorities are the routes of one team and level by priority.
func (b *builder) priorities(c *Client, team string, l Level) []*route {
	var routes []*route
	for _, p := range Priorities() {
		t := b.Site.Policy.Priorities[p]
		delay := t.Delay(l.Role)
		if l.Name != "" && delay == 0 {
			continue
		}
		one := &route{
			Matchers: []string{matcher("priority", p)}, GroupWait: duration(time.Duration(t.GroupWait)),
			GroupInterval: duration(time.Duration(t.GroupInterval)), RepeatInterval: repeat(t), Mute: b.maintenance(c, delay),
		}
		if p == "P3" {
			one.Receiver = b.receiver(team, "low_priority")
		}
		if t.Hours {
			one.Active = []string{b.teamHours(team, l, t)}
		}
		if l.Name == "" {
			one.Routes = b.symptoms(p, one)
		}
		routes = append(routes, one)
	}
	return routes
}

// symptoms are those alerts of a priority that wait longer, so that their causes fire first.
func (b *builder) symptoms(priority string, parent *route) []*route {
	names := map[time.Duration][]string{}
	for _, a := range b.Alerts {
		w := b.Wait(a.Name, priority)
		if slices.Contains(a.Priorities, priority) && w > time.Duration(b.Site.Policy.Priorities[priority].GroupWait) {
			names[w] = append(names[w], a.Name)
		}
	}
	var routes []*route
	for w, alerts := range names {
		slices.Sort(alerts)
		routes = append(routes, &route{
			Matchers:  []string{fmt.Sprintf("alertname=~%q", strings.Join(alerts, "|"))},
			GroupWait: duration(w), Mute: parent.Mute, Active: parent.Active,
		})
	}
	slices.SortFunc(routes, func(a, b *route) int { return cmp.Compare(a.Matchers[0], b.Matchers[0]) })
	return routes
}

// client is the route of one client's admins. Only this client's alerts come here, grouped by the client besides.
func (b *builder) client(c *Client, inMaintenance bool) *route {
	one := &route{
		Receiver: b.add(receiver{name: clientReceiver + c.Slug, configs: c.Admins.Channels, audience: admins}),
		Matchers: []string{matcher("client", c.Slug)}, GroupBy: []string{"client", "alertname"},
	}
	if inMaintenance {
		one.Mute = b.maintenance(c, 0)
	}
	for _, p := range Priorities() {
		t := b.Site.Policy.Priorities[p]
		r := &route{Matchers: []string{matcher("priority", p)}, GroupWait: duration(time.Duration(t.GroupWait)),
			GroupInterval: duration(time.Duration(t.GroupInterval)), RepeatInterval: duration(never), Mute: one.Mute}
		if p == "P2" || p == "P3" {
			zone := b.Site.zone(c)
			r.Active = []string{b.time(b.Site.ClientHours.interval("client-hours-"+strings.ToLower(dashed(strings.ReplaceAll(zone.String(), "/", "-"))), zone))}
		}
		one.Routes = append(one.Routes, r)
	}
	return one
}

func repeat(t *Treatment) string { return duration(cmp.Or(time.Duration(t.RepeatInterval), never)) }

// receiver is the name of who has a role in a team; without a team: of who has it for all. It is made when it is first used.
func (b *builder) receiver(team, role string) string {
	name, c := role, b.Site.Contacts.of(role)
	if team != "" {
		name, c = b.Site.contact(team, role)
	}
	if c == nil {
		return b.receiver("technical", role) // every team has its own
	}
	return b.add(receiver{name: name, configs: c.Channels, audience: staff})
}

func (b *builder) add(r receiver) string {
	if !slices.ContainsFunc(b.receivers, func(o receiver) bool { return o.name == r.name }) {
		b.receivers = append(b.receivers, r)
	}
	return r.name
}

// time is the name of a time interval, which is made when it is first used.
func (b *builder) time(t timeInterval) string {
	if !slices.ContainsFunc(b.times, func(o timeInterval) bool { return o.Name == t.Name }) {
		b.times = append(b.times, t)
	}
	return t.Name
}

// teamHours are a team's office hours; of a level after the first: without the head start that the initial contact has.
func (b *builder) teamHours(team string, l Level, t *Treatment) string {
	hours, name := b.Site.Teams[team].Hours, dashed(team)+"-hours"
	if l.Name != "" && t.OfficeHeadStart > 0 {
		hours, name = hours.late(time.Duration(t.OfficeHeadStart)), name+"-late"
	}
	zone := cmp.Or(hours.TimeZone.Location, b.Site.Platform.TimeZone.Location)
	return b.time(hours.interval(name, zone))
}

// maintenance is the interval of a client's maintenance windows. For a level it ends later by the level's delay: at the end of
// the window the initial contact is notified of what still fires, and not all contacts at once.
func (b *builder) maintenance(c *Client, delay time.Duration) []string {
	if c == nil || len(c.Maintenance) == 0 {
		return nil
	}
	t := timeInterval{Name: "maintenance-" + c.Slug}
	if delay > 0 {
		t.Name += "-and-" + duration(delay)
	}
	for _, w := range c.Maintenance {
		t.Intervals = append(t.Intervals, w.spans(delay, b.Site.zone(c))...)
	}
	return []string{b.time(t)}
}
