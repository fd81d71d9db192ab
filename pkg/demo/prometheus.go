package demo

import (
	_ "embed"
	"strings"
	"text/template"
)

//go:embed prometheus.yml.tmpl
var prometheusTemplate string

// target is one job of Prometheus.
type target struct{ Job, Address string }

// prometheusConfig returns the text of prometheus.yml: every part that is
// scraped, and Prometheus itself at its own address.
func (s *stack) prometheusConfig(own string) (string, error) {
	alertmanager, err := s.part(alertmanagerPart)
	if err != nil {
		return "", err
	}
	targets := []target{{prometheusPart, own}}
	for _, p := range s.up {
		if p.scraped {
			targets = append(targets, target{p.name, p.Address()})
		}
	}
	parsed, err := template.New("prometheus.yml").Parse(prometheusTemplate)
	if err != nil {
		return "", err
	}
	var text strings.Builder
	err = parsed.Execute(&text, struct {
		Alertmanager string
		Targets      []target
	}{alertmanager.Address(), targets})
	return text.String(), err
}
