// Package amapi speaks the API v2 of Alertmanager, as far as acknowledgements and drills need it: alerts, silences and the
// status. It takes nothing for granted: an answer that is not what Alertmanager answers is an error, never an empty list. It
// knows nothing of what alerts and silences mean to us.
package amapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Alert is an alert that Alertmanager holds. Resolved alerts are not among those that it lists.
type Alert struct {
	Labels      map[string]string `json:"labels"`
	Annotations map[string]string `json:"annotations"`
	StartsAt    time.Time         `json:"startsAt"`
	EndsAt      time.Time         `json:"endsAt"`    // when it counts as resolved, unless it is sent again
	UpdatedAt   time.Time         `json:"updatedAt"` // when it was sent last
	Fingerprint string            `json:"fingerprint"`
	Status      AlertStatus       `json:"status"`
	Receivers   []Receiver        `json:"receivers"` // who is notified, unless something keeps it from them
}

// Receiver is one of the configuration.
type Receiver struct {
	Name string `json:"name"`
}

// AlertStatus says what keeps an alert from being notified.
type AlertStatus struct {
	State       string   `json:"state"` // unprocessed, active or suppressed
	SilencedBy  []string `json:"silencedBy"`
	InhibitedBy []string `json:"inhibitedBy"`
}

// PostableAlert is an alert as a sender posts it. Without an end it lasts for Alertmanager's resolve_timeout.
type PostableAlert struct {
	Labels       map[string]string `json:"labels"`
	Annotations  map[string]string `json:"annotations,omitempty"`
	StartsAt     time.Time         `json:"startsAt,omitzero"`
	EndsAt       time.Time         `json:"endsAt,omitzero"`
	GeneratorURL string            `json:"generatorURL,omitempty"`
}

// Status is what Alertmanager says of itself.
type Status struct {
	// Started is when the process began; what it was told before is lost, until it is told again.
	Started time.Time `json:"uptime"`
}

// Client asks one Alertmanager.
type Client struct {
	base *url.URL
	http *http.Client
}

// New makes a client of the Alertmanager at an address like http://alertmanager:9093, with its path prefix if it has one.
func New(address string, client *http.Client) (*Client, error) {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, fmt.Errorf("%q is not an address like http://alertmanager:9093", address)
	}
	return &Client{base: u.JoinPath("api/v2"), http: client}, nil
}

// StatusError is an answer that refuses.
type StatusError struct {
	Code int
	Text string // what the server says, shortened
}

func (e *StatusError) Error() string {
	return strings.TrimSpace(fmt.Sprintf("Alertmanager answers %d %s: %s", e.Code, http.StatusText(e.Code), e.Text))
}

// ErrAnswer marks an answer that is not one of Alertmanager's API v2.
var ErrAnswer = errors.New("this is not an answer of Alertmanager's API v2")

// Alerts lists all alerts that are not resolved, those that are silenced or inhibited among them.
func (c *Client) Alerts(ctx context.Context) ([]Alert, error) {
	var alerts []Alert
	if err := c.do(ctx, http.MethodGet, "alerts", nil, &alerts); err != nil {
		return nil, fmt.Errorf("list alerts: %w", err)
	}
	if alerts == nil {
		return nil, fmt.Errorf("list alerts: %w: null", ErrAnswer)
	}
	for i, a := range alerts {
		if len(a.Labels) == 0 || a.StartsAt.IsZero() || a.Fingerprint == "" {
			return nil, fmt.Errorf("list alerts: %w: alert %d has no labels, start or fingerprint", ErrAnswer, i)
		}
	}
	return alerts, nil
}

// Silences lists all silences that Alertmanager holds: pending, active, and those that have expired but are still kept.
func (c *Client) Silences(ctx context.Context) ([]Silence, error) {
	var silences []Silence
	if err := c.do(ctx, http.MethodGet, "silences", nil, &silences); err != nil {
		return nil, fmt.Errorf("list silences: %w", err)
	}
	if silences == nil {
		return nil, fmt.Errorf("list silences: %w: null", ErrAnswer)
	}
	for i := range silences {
		if err := silences[i].check(); err != nil {
			return nil, fmt.Errorf("list silences: %w", err)
		}
	}
	return silences, nil
}

// Silence returns one silence as it is now.
func (c *Client) Silence(ctx context.Context, id string) (Silence, error) {
	var s Silence
	if err := c.do(ctx, http.MethodGet, "silence/"+url.PathEscape(id), nil, &s); err != nil {
		return Silence{}, fmt.Errorf("read silence %s: %w", id, err)
	}
	if err := s.check(); err != nil {
		return Silence{}, fmt.Errorf("read silence %s: %w", id, err)
	}
	return s, nil
}

// SetSilence makes a silence, or changes the end of the one that has the ID. It returns the ID that the silence has now: Alertmanager
// makes a new silence when the old one has expired, or when it differs in more than its end.
func (c *Client) SetSilence(ctx context.Context, s Silence) (string, error) {
	var answer struct {
		SilenceID string `json:"silenceID"`
	}
	if err := c.do(ctx, http.MethodPost, "silences", s.postable(), &answer); err != nil {
		return "", fmt.Errorf("set silence: %w", err)
	}
	if answer.SilenceID == "" {
		return "", fmt.Errorf("set silence: %w: no silenceID", ErrAnswer)
	}
	return answer.SilenceID, nil
}

// ExpireSilence ends a silence. One that has ended already is no error.
func (c *Client) ExpireSilence(ctx context.Context, id string) error {
	if err := c.do(ctx, http.MethodDelete, "silence/"+url.PathEscape(id), nil, nil); err != nil {
		return fmt.Errorf("expire silence %s: %w", id, err)
	}
	return nil
}

// PostAlerts sends alerts, as Prometheus does.
func (c *Client) PostAlerts(ctx context.Context, alerts ...PostableAlert) error {
	if err := c.do(ctx, http.MethodPost, "alerts", alerts, nil); err != nil {
		return fmt.Errorf("post alerts: %w", err)
	}
	return nil
}

// Status asks Alertmanager about itself.
func (c *Client) Status(ctx context.Context) (Status, error) {
	var s Status
	if err := c.do(ctx, http.MethodGet, "status", nil, &s); err != nil {
		return Status{}, fmt.Errorf("read the status: %w", err)
	}
	if s.Started.IsZero() {
		return Status{}, fmt.Errorf("read the status: %w: no uptime", ErrAnswer)
	}
	return s, nil
}

// maxAnswer bounds an answer: a hundred thousand alerts.
const maxAnswer = 256 << 20

// do sends one request. What is answered is decoded into answer, unless that is nil.
func (c *Client) do(ctx context.Context, method, path string, body, answer any) error {
	var content io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return err
		}
		content = bytes.NewReader(text)
	}
	request, err := http.NewRequestWithContext(ctx, method, c.base.String()+"/"+path, content)
	if err != nil {
		return err
	}
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	response, err := c.http.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer+1))
	switch {
	case err != nil:
		return fmt.Errorf("read the answer: %w", err)
	case len(text) > maxAnswer:
		return fmt.Errorf("%w: it has over %d MB", ErrAnswer, maxAnswer>>20)
	case response.StatusCode != http.StatusOK:
		return &StatusError{response.StatusCode, short(text)}
	case answer == nil:
		return nil
	}
	if err := json.Unmarshal(text, answer); err != nil {
		return fmt.Errorf("%w: %w: %s", ErrAnswer, err, short(text))
	}
	return nil
}

// short makes one line of an answer, for a message.
func short(text []byte) string {
	line := strings.Join(strings.Fields(string(text)), " ")
	if len(line) > 200 {
		line = strings.ToValidUTF8(line[:200], "") + "…"
	}
	return line
}
