// Package ack implements acknowledgements: an acknowledged alert sends no further notifications and does not escalate. Alertmanager has
// silences, but no acknowledgements. An acknowledgement is a short silence that matches the identity of an alert and its escalations,
// and has the prefix ACK! in its comment. It holds for the priority of the alert and milder ones: what becomes worse pages again. A Renewer renews the
// silence while the alert fires, for as long as the policy of its priority allows, and expires it when the alert has resolved, so that the
// next incident pages again; without one the silence expires by itself. All acknowledgements are in Alertmanager: the package stores none. It never
// decides who is paged, or when: that is the work of package routing.
package ack

import (
	"cmp"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/consignwatch/consignwatch/pkg/alerting/amclient"
)

// Prefix begins the comment of every acknowledgement. It is the convention of karma and kthxbye, so that a silence of karma's
// acknowledge button is an acknowledgement here, too.
const Prefix = "ACK!"

// DefaultLength is the duration of an acknowledgement that is not renewed.
const DefaultLength = 15 * time.Minute

// Labels with a meaning for acknowledgements.
const (
	nameLabel       = "alertname"
	sourceLabel     = "source_alertname" // of an alert about another alert: the name of that one
	escalationLabel = "escalation"
	priorityLabel   = "priority"
)

// escalations is a regular expression for the names of escalation alerts. Each level is an alert of its own.
const escalations = "Escalation.+"

// EndingAlert is the name of the alert that notifies the holder of an acknowledgement of its end.
const EndingAlert = "AcknowledgementEnding"

// HeartbeatPriority is the priority of alerts that always fire, or notify nobody. They cannot be acknowledged.
const HeartbeatPriority = "none"

// priorities are those of alerts that can be acknowledged, the most urgent first.
var priorities = []string{"P0", "P1", "P2", "P3"}

// Identity has the labels that distinguish an alert from all others. What becomes more urgent, or less, is another alert.
type Identity struct {
	Alertname string
	Client    string
	Component string
	Subject   string
	Priority  string
}

// IdentityOf reads the identity from an alert's labels. An escalation has the identity of its source.
func IdentityOf(labels map[string]string) Identity {
	i := Identity{
		Alertname: labels[nameLabel],
		Client:    labels["client"],
		Component: labels["component"],
		Subject:   labels["subject"],
		Priority:  labels[priorityLabel],
	}
	if standsForSource(labels) {
		i.Alertname = labels[sourceLabel]
	}
	return i
}

func (i Identity) String() string {
	return strings.TrimSpace(i.Alertname + " " + strings.Join(slices.DeleteFunc([]string{i.Client, i.Component, i.Subject, i.Priority}, func(s string) bool { return s == "" }), " "))
}

func (i Identity) compare(o Identity) int {
	return cmp.Or(cmp.Compare(i.Alertname, o.Alertname), cmp.Compare(i.Client, o.Client), cmp.Compare(i.Component, o.Component), cmp.Compare(i.Subject, o.Subject), cmp.Compare(i.Priority, o.Priority))
}

// matchers select the alert and its escalations with one silence, at its priority and milder ones: of two silences, one could expire before the
// other. Matchers of Alertmanager before 0.32 have no "or" except within a regular expression: source_alertname is the name of the alert on its
// escalations, and empty on the alert itself. An alert about another one has that one's name there, and never escalates: it is selected alone.
func (a *Alert) matchers() []amclient.Matcher {
	matchers := []amclient.Matcher{{Name: nameLabel, Value: a.Alertname, IsEqual: true}}
	if a.Labels[sourceLabel] == "" {
		name := regexp.QuoteMeta(a.Alertname)
		matchers = []amclient.Matcher{
			{Name: nameLabel, Value: name + "|" + escalations, IsRegex: true, IsEqual: true},
			{Name: sourceLabel, Value: "|" + name, IsRegex: true, IsEqual: true},
		}
	}
	return append(matchers,
		amclient.Matcher{Name: "client", Value: a.Client, IsEqual: true},
		amclient.Matcher{Name: "component", Value: a.Component, IsEqual: true},
		amclient.Matcher{Name: "subject", Value: a.Subject, IsEqual: true},
		atMost(a.Identity.Priority),
	)
}

// atMost matches a priority and all milder ones.
func atMost(priority string) amclient.Matcher {
	i := slices.Index(priorities, priority)
	if i < 0 { // an alert of other rules
		return amclient.Matcher{Name: priorityLabel, Value: priority, IsEqual: true}
	}
	return amclient.Matcher{Name: priorityLabel, Value: strings.Join(priorities[i:], "|"), IsRegex: true, IsEqual: true}
}

// standsForSource reports whether an alert only says that somebody must look at its source: an escalation, or the coming end of an acknowledgement.
// Whoever acknowledges it acknowledges the source. Other alerts about alerts are incidents of their own.
func standsForSource(labels map[string]string) bool {
	return labels[escalationLabel] != "" || labels[nameLabel] == EndingAlert
}

// IsAcknowledgement reports whether a silence is an acknowledgement.
func IsAcknowledgement(s *amclient.Silence) bool { return strings.HasPrefix(s.Comment, Prefix) }
