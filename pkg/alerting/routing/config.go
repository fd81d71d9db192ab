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

// amConfig has the fields of Alertmanager's configuration that we write.
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
	heartbeat string // url_file of the dead man's switch
}

// MarshalYAML groups the channels by kind, in the order of the inventory.
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

// never is a repeat interval for notifications that are not repeated.
const never = 365 * day

func duration(d time.Duration) string { return model.Duration(d).String() }

// builder collects the receivers and time intervals that the routes refer to, while it builds the routes.
type builder struct {
	*Routing
	receivers []receiver
	times     []timeInterval
}

// Names of receivers that are no contacts of the staff.
const (
	heartbeatReceiver = "heartbeat"
	nobodyReceiver    = "nobody"
	clientReceiver    = "client-" // and the slug
)

func (r *Routing) config() ([]byte, error) {
	b := &builder{Routing: r}
	config := amConfig{Templates: []string{"templates/*.tmpl"}, Route: b.rootRoute(), Inhibit: r.inhibitRules()}
	if m := r.Site.Mail; m != nil {
		config.Global = &globalConfig{Smarthost: m.Smarthost, From: encodedAddresses(m.From), Hello: m.Hello, Username: m.Username, PasswordFile: m.PasswordFile, RequireTLS: !m.Plain}
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

// rootRoute is the root of the routing tree. An alert that matches none of its routes goes to the technical team.
func (b *builder) rootRoute() *route {
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
			// Alerts of these categories are notified during the window, too.
			root.Routes = append(root.Routes, &route{
				Matchers: []string{matcher("client", c.Slug), `category!~"data_loss|security"`},
				Mute:     b.maintenance(c, 0), Routes: b.audienceRoutes(c),
			})
		}
	}
	root.Routes = append(root.Routes, b.audienceRoutes(nil)...)
	return root
}

// audienceRoutes are the routes to all levels, client admins and teams. For a client they are muted during its maintenance windows.
func (b *builder) audienceRoutes(c *Client) []*route {
	var routes []*route
	for _, l := range Levels() {
		level := &route{
			Receiver: b.receiver("", l.Role), Matchers: []string{matcher("escalation", l.Name)},
			GroupBy: []string{"source_alertname", "component"}, Mute: b.maintenance(c, 0),
		}
		byPriority := func(team string) []*route { return b.priorityRoutes(c, team, l) }
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
	// This route catches every other escalation, whatever its labels: the routes after it are for first notifications only.
	routes = append(routes, &route{Receiver: b.receiver("technical", "initial"), Matchers: []string{`escalation!=""`},
		GroupBy: []string{"source_alertname", "component"}, Mute: b.maintenance(c, 0)})

	clients := &route{
		// Alerts of a client without admins, and of an unknown client, go to support.
		Receiver: b.receiver("support", "initial"), Matchers: []string{matcher("team", clientAdmin)},
		GroupBy: []string{"client", "alertname"}, Mute: b.maintenance(c, 0),
	}
	for _, one := range b.Site.Clients {
		if one.Admins != nil && (c == nil || c == one) {
			clients.Routes = append(clients.Routes, b.clientRoute(one, c != nil))
		}
	}
	routes = append(routes, clients)
	for _, team := range StaffTeams() {
		routes = append(routes, &route{
			Receiver: b.receiver(team, "initial"), Matchers: []string{matcher("team", team)},
			Mute: b.maintenance(c, 0), Routes: b.priorityRoutes(c, team, Level{Role: "initial"}),
		})
	}
	return routes
}

// hasHours reports whether any priority notifies in office hours only.
func (b *builder) hasHours() bool {
	return slices.ContainsFunc(Priorities(), func(p string) bool { return b.Site.Policy.Priorities[p].OfficeHours })
}

// priorityRoutes are the routes of one team and level, by priority.
func (b *builder) priorityRoutes(c *Client, team string, l Level) []*route {
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
		if t.OfficeHours {
			one.Active = []string{b.teamHours(team, l, t)}
		}
		if l.Name == "" {
			one.Routes = b.symptomRoutes(p, one)
		}
		routes = append(routes, one)
	}
	return routes
}

// symptomRoutes are the routes of alerts with a longer group wait than that of their priority, so that their causes fire first.
func (b *builder) symptomRoutes(priority string, parent *route) []*route {
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

// clientRoute is the route to one client's admins. It matches only alerts of this client, and also groups by client.
func (b *builder) clientRoute(c *Client, inMaintenance bool) *route {
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

func repeat(t *PriorityPolicy) string {
	return duration(cmp.Or(time.Duration(t.RepeatInterval), never))
}

// receiver returns the name of the receiver for a role in a team, or for the role in all teams if team is empty. The first use adds it.
func (b *builder) receiver(team, role string) string {
	name, c := role, b.Site.Contacts.byRole(role)
	if team != "" {
		name, c = b.Site.contact(team, role)
	}
	if c == nil {
		return b.receiver("technical", role) // no contact for all teams: every team has its own
	}
	return b.add(receiver{name: name, configs: c.Channels, audience: staff})
}

func (b *builder) add(r receiver) string {
	if !slices.ContainsFunc(b.receivers, func(o receiver) bool { return o.name == r.name }) {
		b.receivers = append(b.receivers, r)
	}
	return r.name
}

// time returns the name of a time interval. The first use adds it.
func (b *builder) time(t timeInterval) string {
	if !slices.ContainsFunc(b.times, func(o timeInterval) bool { return o.Name == t.Name }) {
		b.times = append(b.times, t)
	}
	return t.Name
}

// teamHours returns the time interval of a team's office hours. For an escalation level it begins after the head start of the initial contact.
func (b *builder) teamHours(team string, l Level, t *PriorityPolicy) string {
	hours, name := b.Site.Teams[team].Hours, dashed(team)+"-hours"
	if l.Name != "" && t.OfficeHeadStart > 0 {
		hours, name = hours.startingAfter(time.Duration(t.OfficeHeadStart)), name+"-late"
	}
	zone := cmp.Or(hours.TimeZone.Location, b.Site.Platform.TimeZone.Location)
	return b.time(hours.interval(name, zone))
}

// maintenance returns the time interval of a client's maintenance windows. For an escalation level it ends later by the level's delay: at the
// end of a window, only the initial contact is notified of the alerts that still fire, and not all contacts at once.
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
