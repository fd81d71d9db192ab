// Package ack has the acknowledgements: an acknowledged alert notifies nobody else. Alertmanager has no acknowledgements, it has
// silences. An acknowledgement is a silence on the identity of an alert and on the escalations of it, short, and
// marked in its comment. The daemon (App) renews it while the alert fires and ends it when the alert has resolved, so that the next
// incident pages again; without the daemon it ends by itself. All that there is to know stands in Alertmanager: the package keeps
// nothing of its own. It never decides who is paged, or when: that is routing.
package ack

import (
	"cmp"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/consignwatch/consignwatch/pkg/amapi"
)

// Prefix begins the comment of every acknowledgement. It is the convention of karma's button and of kthxbye, so that what is
// acknowledged there is an acknowledgement here.
const Prefix = "ACK!"

// DefaultLength is how long an acknowledgement lasts unless it is renewed.
const DefaultLength = 15 * time.Minute

// Labels with a meaning for acknowledgements.
const (
	nameLabel       = "alertname"
	sourceLabel     = "source_alertname" // of an escalation: the alert that is unacknowledged
	escalationLabel = "escalation"
	priorityLabel   = "priority"
)

// escalations matches the names of escalations. Each level is an alert of its own.
const escalations = "Escalation.+"

// Identity tells one alert from all others.
type Identity struct {
	Alertname string
	Client    string
	Component string
	Subject   string
}

// IdentityOf reads the identity from an alert's labels. An escalation has the identity of its source.
func IdentityOf(labels map[string]string) Identity {
	return Identity{
		Alertname: cmp.Or(labels[sourceLabel], labels[nameLabel]),
		Client:    labels["client"],
		Component: labels["component"],
		Subject:   labels["subject"],
	}
}

func (i Identity) String() string {
	return strings.TrimSpace(i.Alertname + " " + strings.Join(slices.DeleteFunc([]string{i.Client, i.Component, i.Subject}, func(s string) bool { return s == "" }), " "))
}

func (i Identity) compare(o Identity) int {
	return cmp.Or(cmp.Compare(i.Alertname, o.Alertname), cmp.Compare(i.Client, o.Client), cmp.Compare(i.Component, o.Component), cmp.Compare(i.Subject, o.Subject))
}

// matchers select the alert and its escalations, in one silence: two could come apart. Alertmanager before 0.32 has no "or" but within a
// value: source_alertname is that of an escalation, or empty as on the alert itself.
func (i Identity) matchers() []amapi.Matcher {
	name := regexp.QuoteMeta(i.Alertname)
	return []amapi.Matcher{
		{Name: nameLabel, Value: name + "|" + escalations, IsRegex: true, IsEqual: true},
		{Name: sourceLabel, Value: "|" + name, IsRegex: true, IsEqual: true},
		{Name: "client", Value: i.Client, IsEqual: true},
		{Name: "component", Value: i.Component, IsEqual: true},
		{Name: "subject", Value: i.Subject, IsEqual: true},
	}
}

// isEscalation reports whether an alert is an escalation of another one.
func isEscalation(labels map[string]string) bool {
	return labels[escalationLabel] != "" || labels[sourceLabel] != ""
}

// IsAcknowledgement reports whether a silence is one.
func IsAcknowledgement(s *amapi.Silence) bool { return strings.HasPrefix(s.Comment, Prefix) }
