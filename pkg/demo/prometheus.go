package demo

import (
	"cmp"
	_ "embed"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"text/template"
	"time"
)

//go:embed prometheus.yml.tmpl
var prometheusTemplate string

// job is one job of Prometheus, with one target.
type job struct {
	Name       string
	Address    string            // empty: the part starts after Prometheus, and its address comes by file
	File       string            // of the address, in the folder of Prometheus
	Parameters map[string]string // of the scrape
}

// prometheusConfig returns the text of prometheus.yml: every part that is
// scraped, and Prometheus itself at its own address.
func (s *stack) prometheusConfig(own string) (string, error) {
	alertmanager, err := s.part(alertmanagerPart)
	if err != nil {
		return "", err
	}
	var jobs []job
	for _, p := range s.parts {
		if !p.scraped {
			continue
		}
		j := job{Name: cmp.Or(p.job, p.name), File: targetFile(p.name), Parameters: p.parameters}
		if p.name == prometheusPart {
			j.Address = own
		} else if up, err := s.part(p.name); err == nil {
			j.Address = up.Address()
		}
		jobs = append(jobs, j)
	}
	parsed, err := template.New("prometheus.yml").Parse(prometheusTemplate)
	if err != nil {
		return "", err
	}
	var text strings.Builder
	err = parsed.Execute(&text, struct {
		Alertmanager string
		Jobs         []job
		Interval     time.Duration
	}{alertmanager.Address(), jobs, s.interval()})
	return text.String(), err
}

// interval is that of scrapes and evaluations.
func (s *stack) interval() time.Duration { return cmp.Or(s.config.Interval, 2*time.Second) }

func targetFile(part string) string { return "target-" + part + ".json" }

// announce tells Prometheus, when it is up already, of a part that is scraped.
func (s *stack) announce(p part, address string) error {
	if _, err := s.part(prometheusPart); err != nil || !p.scraped || p.name == prometheusPart {
		return nil
	}
	text := fmt.Sprintf(`[{"targets": [%q]}]`, address)
	file := filepath.Join(s.folder, prometheusPart, targetFile(p.name))
	// Written beside it and renamed, so that Prometheus never reads half of it.
	err := os.WriteFile(file+".new", []byte(text), 0o600)
	if err == nil {
		err = os.Rename(file+".new", file)
	}
	if err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	return nil
}
