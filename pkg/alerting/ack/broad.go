package ack

import (
	"slices"
	"time"

	"github.com/consignwatch/consignwatch/pkg/alerting/amclient"
	"github.com/consignwatch/consignwatch/pkg/catalog"
)

// What a silence may do before it counts as too broad.
const (
	maxSilencedClients = 3
	maxSilenceLength   = 7 * 24 * time.Hour
)

// kindLabels say what kind of alert it is, and nothing of what it is about: matchers on them alone select alerts of all clients and all resources.
var kindLabels = []string{nameLabel, sourceLabel, escalationLabel, priorityLabel, "severity", "team", "category", "component", "cause", "depends_on"}

// TooBroad counts the active silences that hide more than they should, by the reason. A silence with several reasons counts for each. An acknowledgement matches one
// identity, and is never too broad, but may be too long.
func (s *Snapshot) TooBroad() map[string]int {
	counts := map[string]int{}
	for i := range s.Silences {
		silence := &s.Silences[i]
		if !silence.Active() {
			continue
		}
		if silence.EndsAt.Sub(silence.StartsAt) > maxSilenceLength {
			counts[catalog.SilenceLong]++
		}
		if IsAcknowledgement(silence) {
			continue
		}
		if unrestricted(s.selectors[i]) {
			counts[catalog.SilenceUnrestricted]++
		}
		if s.silencedClients(i) > maxSilencedClients {
			counts[catalog.SilenceManyClients]++
		}
	}
	return counts
}

// unrestricted reports whether a silence matches alerts of any client and any resource: no matcher, except for those on the kind of alert, excludes a value that
// nothing has.
func unrestricted(matchers amclient.Selector) bool {
	labels := map[string]string{}
	var others amclient.Selector
	for _, m := range matchers {
		if !slices.Contains(kindLabels, m.Name) {
			others = append(others, m)
			labels[m.Name] = "consignwatch-has-no-such-value"
		}
	}
	return others.Matches(labels)
}

// silencedClients counts the clients of whom a silence, by its index, matches firing alerts.
func (s *Snapshot) silencedClients(silence int) int {
	clients := map[string]bool{}
	for i := range s.Alerts {
		if client := s.Alerts[i].Labels["client"]; client != "" && client != "_platform" && s.selectors[silence].Matches(s.Alerts[i].Labels) {
			clients[client] = true
		}
	}
	return len(clients)
}
