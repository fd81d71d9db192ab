// Package webhookreceiver receives the notifications that Alertmanager sends to a
// webhook, and writes each as one line of text and one line of JSON. The demo
// shows the text, and drills read the JSON, to see whom Alertmanager notified.
// The package never decides who is notified: that is Alertmanager's work.
package webhookreceiver

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

// Notification is one group of alerts that Alertmanager sent to one receiver. Its
// JSON form is one line of the notifications file.
type Notification struct {
	Time     time.Time `json:"time"` // when it arrived; UTC in the file
	Status   string    `json:"status"`
	Receiver string    `json:"receiver"`
	GroupKey string    `json:"groupKey"`
	Alerts   []Alert   `json:"alerts"`
}

// Alert is one alert of a notification, as Alertmanager sends it.
type Alert struct {
	Status      string            `json:"status"`
	Labels      map[string]string `json:"labels"`
	Annotations map[string]string `json:"annotations"`
	StartsAt    time.Time         `json:"startsAt"`
	EndsAt      time.Time         `json:"endsAt"`
	Fingerprint string            `json:"fingerprint"`
}

// Line returns the notification as one line without colours: time, status,
// priority, severity, receiver, client, summary, description and runbook. Of
// several alerts it shows the one with the highest priority, and says how many
// more there are.
func (n Notification) Line() string {
	status := map[string]string{Firing: "FIRING  ", Resolved: "RESOLVED"}[n.Status]
	return withoutControlCharacters(n.Time.Format(time.TimeOnly) + "  " + cmp.Or(status, n.Status) + "  " + n.details())
}

func (n Notification) details() string {
	if len(n.Alerts) == 0 {
		return "(a notification without alerts, to " + n.Receiver + ")"
	}
	worst := slices.MinFunc(n.Alerts, compareAlerts)
	text := fmt.Sprintf("%-2s %-8s  to %s  %s  %s", worst.Labels["priority"], worst.Labels["severity"], n.Receiver,
		cmp.Or(worst.Labels["client"], "(no client)"),
		cmp.Or(worst.Annotations["summary"], worst.Labels["alertname"]))
	if description := worst.Annotations["description"]; description != "" {
		text += " — " + description
	}
	if runbook := worst.Annotations["runbook_url"]; runbook != "" {
		text += " — runbook " + runbook
	}
	if more := len(n.Alerts) - 1; more > 0 {
		text += fmt.Sprintf(" (and %d more)", more)
	}
	return text
}

// compareAlerts orders firing alerts before resolved ones, and P0 before P1.
func compareAlerts(a, b Alert) int {
	return cmp.Or(
		cmp.Compare(a.Status, b.Status), // firing < resolved
		cmp.Compare(a.Labels["priority"], b.Labels["priority"]),
		cmp.Compare(a.Labels["alertname"], b.Labels["alertname"]),
		cmp.Compare(a.Labels["client"], b.Labels["client"]),
		cmp.Compare(a.Fingerprint, b.Fingerprint),
	)
}

// withoutControlCharacters replaces control characters of a text by spaces, so
// that it stays on one line and has no escape sequences for the terminal.
func withoutControlCharacters(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, text)
}

// Receiver is the handler of the webhook. It writes one notification at a time.
type Receiver struct {
	lines  io.Writer
	file   io.Writer
	colour bool
	now    func() time.Time
	mu     sync.Mutex
}

// Config says where a receiver writes.
type Config struct {
	Lines  io.Writer        // one line of text per notification
	File   io.Writer        // one line of JSON per notification
	Colour bool             // colour the status, for a terminal
	Now    func() time.Time // nil: time.Now
}

// NewReceiver returns a receiver that writes to the writers of config.
func NewReceiver(config Config) *Receiver {
	now := config.Now
	if now == nil {
		now = time.Now
	}
	return &Receiver{lines: config.Lines, file: config.File, colour: config.Colour, now: now}
}

// ServeHTTP receives one notification. It responds with 400 to a request that is
// no notification, and with 500 when the notification could not be written, so
// that Alertmanager sends it again.
func (r *Receiver) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	if request.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		http.Error(w, "this is a webhook for Alertmanager: POST a notification", http.StatusMethodNotAllowed)
		return
	}
	var notification Notification
	if err := json.NewDecoder(http.MaxBytesReader(w, request.Body, maxBody)).Decode(&notification); err != nil {
		http.Error(w, "not a notification of Alertmanager: "+err.Error(), http.StatusBadRequest)
		return
	}
	notification.Time = r.now()
	if err := r.write(notification); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
	}
}

func (r *Receiver) write(notification Notification) error {
	line := notification.Line() // in the local time zone
	notification.Time = notification.Time.UTC()
	data, err := json.Marshal(notification)
	if err != nil {
		return fmt.Errorf("notification: %w", err)
	}
	if r.colour {
		line = coloured(line, notification.Status)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	_, fileErr := r.file.Write(append(data, '\n'))
	_, lineErr := fmt.Fprintln(r.lines, line)
	if err := errors.Join(fileErr, lineErr); err != nil {
		return fmt.Errorf("write a notification: %w", err)
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
