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

// job is a scrape job of Prometheus with one target.
type job struct {
	Name         string
	Address      string            // empty: the part starts after Prometheus, and its address is in File
	File         string            // file_sd file, in the folder of Prometheus
	Parameters   map[string]string // of the scrape
	User         string            // as whom it is scraped; empty for nobody
	PasswordFile string
}

// prometheusConfig renders prometheus.yml, with a job for every part that is
// scraped, and for Prometheus itself at its own address.
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
		j := job{Name: cmp.Or(p.job, p.name), File: targetFile(p.name), Parameters: p.parameters, User: p.user}
		if p.passwordFile != nil {
			j.PasswordFile = p.passwordFile(s)
		}
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
	}{alertmanager.Address(), jobs, s.scrapeInterval()})
	return text.String(), err
}

// scrapeInterval is the interval of scrapes and evaluations.
func (s *stack) scrapeInterval() time.Duration { return cmp.Or(s.config.Interval, 2*time.Second) }

func targetFile(part string) string { return "target-" + part + ".json" }

// writeTarget writes the file_sd file of a part that starts after Prometheus and is scraped.
func (s *stack) writeTarget(p part, address string) error {
	if _, err := s.part(prometheusPart); err != nil || !p.scraped || p.name == prometheusPart {
		return nil
	}
	text := fmt.Sprintf(`[{"targets": [%q]}]`, address)
	file := filepath.Join(s.folder, prometheusPart, targetFile(p.name))
	// Renaming makes the change atomic: Prometheus never reads half of the file.
	err := os.WriteFile(file+".new", []byte(text), 0o600)
	if err == nil {
		err = os.Rename(file+".new", file)
	}
	if err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	return nil
}
