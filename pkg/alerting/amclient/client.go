// Package amclient is a client of Alertmanager's API v2, with the parts that acknowledgements and drills need: alerts, silences and
// status. It validates every response: one that does not follow the API is an error, never an empty list. It never interprets alerts
// or silences: acknowledgements are the work of package ack.
package amclient

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

	"github.com/consignwatch/consignwatch/pkg/secret"
)

// Alert is an alert of Alertmanager, which does not list resolved alerts.
type Alert struct {
	Labels      map[string]string `json:"labels"`
	Annotations map[string]string `json:"annotations"`
	StartsAt    time.Time         `json:"startsAt"`
	EndsAt      time.Time         `json:"endsAt"`    // when the alert resolves, unless it is sent again
	UpdatedAt   time.Time         `json:"updatedAt"` // when the alert was last sent
	Fingerprint string            `json:"fingerprint"`
	Status      AlertStatus       `json:"status"`
	Receivers   []Receiver        `json:"receivers"` // the receivers of its routes, also of a suppressed alert
}

// UnmarshalJSON decodes and validates an alert: what is no list of alerts ends at its first element, before the others take memory.
func (a *Alert) UnmarshalJSON(text []byte) error {
	type plain Alert
	if err := json.Unmarshal(text, (*plain)(a)); err != nil {
		return err
	}
	if len(a.Labels) == 0 || a.StartsAt.IsZero() || a.Fingerprint == "" {
		return errors.New("an alert has no labels, start or fingerprint")
	}
	return nil
}

// Receiver is a receiver of Alertmanager's configuration.
type Receiver struct {
	Name string `json:"name"`
}

// AlertStatus has the silences and the alerts that suppress an alert.
type AlertStatus struct {
	State       string   `json:"state"` // unprocessed, active or suppressed
	SilencedBy  []string `json:"silencedBy"`
	InhibitedBy []string `json:"inhibitedBy"`
}

// PostableAlert is an alert to post. Without an end, it resolves after Alertmanager's resolve_timeout.
type PostableAlert struct {
	Labels       map[string]string `json:"labels"`
	Annotations  map[string]string `json:"annotations,omitempty"`
	StartsAt     time.Time         `json:"startsAt,omitzero"`
	EndsAt       time.Time         `json:"endsAt,omitzero"`
	GeneratorURL string            `json:"generatorURL,omitempty"`
}

// Status is the status of Alertmanager.
type Status struct {
	// Started is the start time of the process. Alerts that were posted before it are lost until they are posted again.
	Started time.Time `json:"uptime"`
}

// Client sends requests to one Alertmanager.
type Client struct {
	base *url.URL
	http *http.Client
}

// New returns a client of the Alertmanager at a URL like http://alertmanager:9093, including the path prefix if there is one.
func New(address string, client *http.Client) (*Client, error) {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, fmt.Errorf("%q is not an address like http://alertmanager:9093", secret.Address(address))
	}
	own := *client
	own.CheckRedirect = stayOnHost(client.CheckRedirect)
	return &Client{base: u.JoinPath("api/v2"), http: &own}, nil
}

// maxRedirects is as many as package http follows.
const maxRedirects = 10

// stayOnHost follows a redirect only to the same host and scheme: package http sends our headers along, which may be secrets, and
// withholds from another host only those that it knows.
func stayOnHost(otherwise func(*http.Request, []*http.Request) error) func(*http.Request, []*http.Request) error {
	return func(next *http.Request, via []*http.Request) error {
		switch from := via[0].URL; {
		case next.URL.Host != from.Host || next.URL.Scheme != from.Scheme:
			return http.ErrUseLastResponse
		case otherwise != nil:
			return otherwise(next, via)
		case len(via) >= maxRedirects:
			return fmt.Errorf("stopped after %d redirects", maxRedirects)
		}
		return nil
	}
}

// StatusError is a response with another status than 200.
type StatusError struct {
	Code int
	Text string // the body, shortened
}

func (e *StatusError) Error() string {
	return strings.TrimSpace(fmt.Sprintf("Alertmanager answers %d %s: %s", e.Code, http.StatusText(e.Code), e.Text))
}

// ErrInvalidResponse says that a response does not follow Alertmanager's API v2.
var ErrInvalidResponse = errors.New("this is not an answer of Alertmanager's API v2")

// Alerts lists all alerts that are not resolved, those that are silenced or inhibited among them.
func (c *Client) Alerts(ctx context.Context) ([]Alert, error) {
	var alerts []Alert
	if err := c.do(ctx, http.MethodGet, "alerts", nil, &alerts); err != nil {
		return nil, fmt.Errorf("list alerts: %w", err)
	}
	if alerts == nil {
		return nil, fmt.Errorf("list alerts: %w: null", ErrInvalidResponse)
	}
	return alerts, nil
}

// Silences lists all silences of Alertmanager: pending, active, and expired ones within the retention.
func (c *Client) Silences(ctx context.Context) ([]Silence, error) {
	var silences []Silence
	if err := c.do(ctx, http.MethodGet, "silences", nil, &silences); err != nil {
		return nil, fmt.Errorf("list silences: %w", err)
	}
	if silences == nil {
		return nil, fmt.Errorf("list silences: %w: null", ErrInvalidResponse)
	}
	return silences, nil
}

// Silence returns the current state of one silence.
func (c *Client) Silence(ctx context.Context, id string) (Silence, error) {
	var s Silence
	if err := c.do(ctx, http.MethodGet, "silence/"+url.PathEscape(id), nil, &s); err != nil {
		return Silence{}, fmt.Errorf("read silence %s: %w", id, err)
	}
	return s, nil
}

// SetSilence creates a silence, or updates the silence with the ID. It returns the ID of the result: Alertmanager creates a new
// silence when the old one has expired, or when more than the end differs.
func (c *Client) SetSilence(ctx context.Context, s Silence) (string, error) {
	var response struct {
		SilenceID string `json:"silenceID"`
	}
	if err := c.do(ctx, http.MethodPost, "silences", s.postable(), &response); err != nil {
		return "", fmt.Errorf("set silence: %w", err)
	}
	if response.SilenceID == "" {
		return "", fmt.Errorf("set silence: %w: no silenceID", ErrInvalidResponse)
	}
	return response.SilenceID, nil
}

// ExpireSilence expires a silence. It returns no error for a silence that has already expired.
func (c *Client) ExpireSilence(ctx context.Context, id string) error {
	if err := c.do(ctx, http.MethodDelete, "silence/"+url.PathEscape(id), nil, nil); err != nil {
		return fmt.Errorf("expire silence %s: %w", id, err)
	}
	return nil
}

// PostAlerts posts alerts, as Prometheus does.
func (c *Client) PostAlerts(ctx context.Context, alerts ...PostableAlert) error {
	if err := c.do(ctx, http.MethodPost, "alerts", alerts, nil); err != nil {
		return fmt.Errorf("post alerts: %w", err)
	}
	return nil
}

// Status returns the status of Alertmanager.
func (c *Client) Status(ctx context.Context) (Status, error) {
	var s Status
	if err := c.do(ctx, http.MethodGet, "status", nil, &s); err != nil {
		return Status{}, fmt.Errorf("read the status: %w", err)
	}
	if s.Started.IsZero() {
		return Status{}, fmt.Errorf("read the status: %w: no uptime", ErrInvalidResponse)
	}
	return s, nil
}

// maxResponse is the maximum size of a response, in bytes. Our alerts have about 2 kB each: it is enough for 30,000, which is every
// client of a thousand with thirty of them.
const maxResponse = 64 << 20

// do sends one request, and decodes the body of the response into answer unless that is nil.
func (c *Client) do(ctx context.Context, method, path string, body, result any) error {
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
	text, err := io.ReadAll(io.LimitReader(response.Body, maxResponse+1))
	switch {
	case err != nil:
		return fmt.Errorf("read the answer: %w", err)
	case len(text) > maxResponse:
		return fmt.Errorf("%w: it has over %d MiB", ErrInvalidResponse, maxResponse>>20)
	case response.StatusCode != http.StatusOK:
		return &StatusError{response.StatusCode, shortened(text)}
	case result == nil:
		return nil
	}
	if err := json.Unmarshal(text, result); err != nil {
		return fmt.Errorf("%w: %w: %s", ErrInvalidResponse, err, shortened(text))
	}
	return nil
}

// shortened shortens a response body to one line, for an error message. A proxy may repeat our headers in it.
func shortened(text []byte) string {
	line := strings.Join(strings.Fields(secret.Mask(string(text))), " ") // masked before it is cut: half a secret would not be found
	if len(line) > 200 {
		line = strings.ToValidUTF8(line[:200], "") + "…"
	}
	return line
}
