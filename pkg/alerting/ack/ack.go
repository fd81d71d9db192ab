// Package ack implements acknowledgements: an acknowledged alert sends no further notifications and does not escalate. Alertmanager has
// silences, but no acknowledgements. An acknowledgement is a short silence that matches the identity of an alert and its escalations,
// and has the prefix ACK! in its comment. A Renewer renews the silence while the alert fires and expires it when the alert has resolved, so that the
// next incident pages again; without one the silence expires by itself. All state is in Alertmanager: the package stores none. It never decides who
// is paged, or when: that is the work of package routing.
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
	sourceLabel     = "source_alertname" // of an escalation: the name of the unacknowledged alert
	escalationLabel = "escalation"
	priorityLabel   = "priority"
)

// escalations is a regular expression for the names of escalation alerts. Each level is an alert of its own.
const escalations = "Escalation.+"

// Identity has the labels that distinguish an alert from all others.
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

// matchers select the alert and its escalations with one silence: of two silences, one could expire before the other. Matchers of
// Alertmanager before 0.32 have no "or" except within a regular expression: source_alertname is the name of the alert on its
// escalations, and empty on the alert itself.
func (i Identity) matchers() []amclient.Matcher {
	name := regexp.QuoteMeta(i.Alertname)
	return []amclient.Matcher{
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

// IsAcknowledgement reports whether a silence is an acknowledgement.
func IsAcknowledgement(s *amclient.Silence) bool { return strings.HasPrefix(s.Comment, Prefix) }
