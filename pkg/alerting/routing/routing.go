// Package routing decides who is notified of which alert, when, and to whom an unacknowledged one escalates. It reads the
// inventory of an installation (alertmanager/site.yml), the inhibitions (alertmanager/inhibition.yml) and the alert rules, and
// renders Alertmanager's configuration, the escalation rules, and the part of the message templates that depends on the
// inventory. It sends nothing, and knows no secret: those stay in the files that the inventory names.
package routing

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"

	"github.com/consignwatch/consignwatch/pkg/yamlfile"
)

// Paths of the files that are read and rendered, from the root of the project or of an installation.
const (
	SiteFile       = "alertmanager/site.yml"
	InhibitionFile = "alertmanager/inhibition.yml"
	ConfigFile     = "alertmanager/alertmanager.yml"
	AckPolicyFile  = "alertmanager/acknowledgement.yml"
	TemplateFile   = "alertmanager/templates/site.tmpl"
	EscalationFile = "rules/alerts/escalation.yml"
	ClockFile      = "rules/recording/escalation.yml"
	ClientsFile    = "rules/recording/clients.yml"
	alertFiles     = "rules/alerts/*.yml"
)

// Platform is the value of the label client of alerts about the platform as a whole.
const Platform = "_platform"

// Routing has everything that decides which receivers are notified of an alert, and when.
type Routing struct {
	Site       *Site
	Inhibition *Inhibition
	Alerts     []Alert
}

// Load reads the inventory, the inhibitions and the alert rules below root, and checks them against each other.
func Load(root fs.FS) (*Routing, error) {
	site, siteErr := readSite(root)
	alerts, alertErr := readAlerts(root)
	inhibition, inhibitionErr := readInhibition(root)
	if err := errors.Join(siteErr, alertErr, inhibitionErr); err != nil {
		return nil, err
	}
	r := &Routing{Site: site, Inhibition: inhibition, Alerts: alerts}
	return r, r.Check()
}

// Check checks the parts against each other. Call it after a change of one of them.
func (r *Routing) Check() error {
	return errors.Join(r.checkInhibition(), r.checkChannels())
}

// Render renders the generated files of the routing, by path. The result depends on nothing but the files below root.
func Render(root fs.FS) (map[string][]byte, error) {
	r, err := Load(root)
	if err != nil {
		return nil, err
	}
	return r.Files()
}

// Files are the generated files, by path.
func (r *Routing) Files() (map[string][]byte, error) {
	config, err := r.config()
	if err != nil {
		return nil, err
	}
	return map[string][]byte{
		ConfigFile:     config,
		AckPolicyFile:  r.ackPolicy(),
		TemplateFile:   r.template(),
		EscalationFile: r.escalationRules(),
		ClockFile:      r.clockRules(),
		ClientsFile:    r.clientRules(),
	}, nil
}

// generated is the first line of each generated file, without the comment sign.
func generated(from string) string {
	return fmt.Sprintf("Made by `consignwatch render` from %s. Change those, not this file.", from)
}

func readFile(root fs.FS, name string, v any) (*yamlfile.File, error) {
	text, err := fs.ReadFile(root, name)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, errors.Unwrap(err))
	}
	return yamlfile.Parse(name, text, v)
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
