// Package pages receives the notifications that Alertmanager sends to a
// webhook and writes each as one line for a person and one line of JSON for a
// program. The demo and the drills watch what a person on call would get
// through it. It never decides who is paged: that is Alertmanager's work.
package pages

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"
)

const maxBody = 8 << 20 // bytes of one notification

// Statuses of a notification and of an alert, as Alertmanager spells them.
const (
	Firing   = "firing"
	Resolved = "resolved"
)

// Page is one notification: one group of alerts sent to one receiver. Its JSON
// form is one line of the pages file.
type Page struct {
	Time     time.Time `json:"time"` // when it arrived; UTC in the file
	Status   string    `json:"status"`
	Receiver string    `json:"receiver"`
	GroupKey string    `json:"groupKey"`
	Alerts   []Alert   `json:"alerts"`
}

// Alert is one alert of a page, as Alertmanager sends it.
type Alert struct {
	Status      string            `json:"status"`
	Labels      map[string]string `json:"labels"`
	Annotations map[string]string `json:"annotations"`
	StartsAt    time.Time         `json:"startsAt"`
	EndsAt      time.Time         `json:"endsAt"`
	Fingerprint string            `json:"fingerprint"`
}

// Line returns the page as one line without colours: time, status, priority,
// severity, receiver, client, what the user feels, the numbers, and the runbook. A page
// of several alerts shows the worst one and says how many more there are.
func (p Page) Line() string {
	status := map[string]string{Firing: "FIRING  ", Resolved: "RESOLVED"}[p.Status]
	return plain(p.Time.Format(time.TimeOnly) + "  " + cmp.Or(status, p.Status) + "  " + p.text())
}

func (p Page) text() string {
	if len(p.Alerts) == 0 {
		return "(a notification without alerts, to " + p.Receiver + ")"
	}
	worst := slices.MinFunc(p.Alerts, compareAlerts)
	text := fmt.Sprintf("%-2s %-8s  to %s  %s  %s", worst.Labels["priority"], worst.Labels["severity"], p.Receiver,
		cmp.Or(worst.Labels["client"], "(no client)"),
		cmp.Or(worst.Annotations["summary"], worst.Labels["alertname"]))
	if description := worst.Annotations["description"]; description != "" {
		text += " — " + description
	}
	if runbook := worst.Annotations["runbook_url"]; runbook != "" {
		text += " — runbook " + runbook
	}
	if more := len(p.Alerts) - 1; more > 0 {
		text += fmt.Sprintf(" (and %d more)", more)
	}
	return text
}

// compareAlerts puts what fires before what is resolved, and P0 before P1.
func compareAlerts(a, b Alert) int {
	return cmp.Or(
		cmp.Compare(a.Status, b.Status), // firing < resolved
		cmp.Compare(a.Labels["priority"], b.Labels["priority"]),
		cmp.Compare(a.Labels["alertname"], b.Labels["alertname"]),
		cmp.Compare(a.Labels["client"], b.Labels["client"]),
		cmp.Compare(a.Fingerprint, b.Fingerprint),
	)
}

// plain makes one line of a text that comes from outside, and keeps a terminal
// from obeying it.
func plain(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, text)
}

// Receiver is the handler of the webhook. Pages are written one at a time.
type Receiver struct {
	lines  io.Writer
	file   io.Writer
	colour bool
	now    func() time.Time
	mu     sync.Mutex
}

// Config says where a receiver writes.
type Config struct {
	Lines  io.Writer        // one readable line per page
	File   io.Writer        // one line of JSON per page
	Colour bool             // colour the status, for a terminal
	Now    func() time.Time // nil: time.Now
}

// NewReceiver returns a receiver that writes to config.
func NewReceiver(config Config) *Receiver {
	now := config.Now
	if now == nil {
		now = time.Now
	}
	return &Receiver{lines: config.Lines, file: config.File, colour: config.Colour, now: now}
}

// ServeHTTP takes one notification. It answers 400 to what is none, and 500
// when the page could not be written, so that Alertmanager sends it again.
func (r *Receiver) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	if request.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		http.Error(w, "this is a webhook for Alertmanager: POST a notification", http.StatusMethodNotAllowed)
		return
	}
	var page Page
	if err := json.NewDecoder(http.MaxBytesReader(w, request.Body, maxBody)).Decode(&page); err != nil {
		http.Error(w, "not a notification of Alertmanager: "+err.Error(), http.StatusBadRequest)
		return
	}
	page.Time = r.now()
	if err := r.write(page); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
	}
}

func (r *Receiver) write(page Page) error {
	line := page.Line() // in the time zone of whoever looks on
	page.Time = page.Time.UTC()
	data, err := json.Marshal(page)
	if err != nil {
		return fmt.Errorf("page: %w", err)
	}
	if r.colour {
		line = coloured(line, page.Status)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	_, fileErr := r.file.Write(append(data, '\n'))
	_, lineErr := fmt.Fprintln(r.lines, line)
	if err := errors.Join(fileErr, lineErr); err != nil {
		return fmt.Errorf("write a page: %w", err)
	}
	return nil
}

func coloured(line, status string) string {
	const red, green, reset = "\x1b[1;31m", "\x1b[1;32m", "\x1b[0m"
	switch status {
	case Firing:
		return strings.Replace(line, "FIRING", red+"FIRING"+reset, 1)
	case Resolved:
		return strings.Replace(line, "RESOLVED", green+"RESOLVED"+reset, 1)
	}
	return line
}
