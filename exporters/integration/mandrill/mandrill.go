// Package mandrill monitors a Mandrill account, with its subaccounts, webhooks and sending domains. It sends no mail, and changes
// nothing.
package mandrill

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/consignwatch/consignwatch/exporters/integration/httpapi"
	"github.com/consignwatch/consignwatch/pkg/catalog"
	"github.com/consignwatch/consignwatch/pkg/exporter"
	"github.com/consignwatch/consignwatch/pkg/secret"
)

// The metrics of the requests.
const (
	requestsTotal   = "consign_mandrill_requests_total"
	requestDuration = "consign_mandrill_request_duration_seconds"
)

// Options are what the collectors of an account are made of.
type Options struct {
	Config  *Config // filled and checked
	Key     secret.Value
	HTTP    *http.Client
	Clients []string // slugs of all clients
	Catalog *catalog.Catalog
	Log     *slog.Logger
}

// Collectors makes the collectors of an account: the account itself, its subaccounts, webhooks and sending domains, each a
// target of its own.
func Collectors(o Options) []exporter.Collector {
	c := o.Config
	api := newAPIClient(c, o.Key, o.HTTP, o.Log)
	often := []exporter.Target{newAccountTarget(api, o.Catalog)}
	if c.ClientSubaccounts {
		list := newSubaccountList(api, o.Clients, o.Catalog)
		often = append(often, list, newSubaccountMessages(api, list, c, o.Catalog))
	}
	return []exporter.Collector{
		exporter.NewCollector("mandrill", c.schedule(c.Interval), often...),
		exporter.NewCollector("mandrill", c.schedule(c.SlowInterval), newWebhooksTarget(api, o.Catalog), newDomainsTarget(api, o.Catalog)),
	}
}

// apiClient is a client of Mandrill's API. It only reads.
type apiClient struct {
	base    string
	key     secret.Value
	service *httpapi.Service
}

func newAPIClient(c *Config, key secret.Value, client *http.Client, log *slog.Logger) *apiClient {
	return &apiClient{
		base: strings.TrimSuffix(c.URL, "/"),
		key:  key,
		service: httpapi.New(httpapi.Options{
			Name: "mandrill", Requests: requestsTotal, Duration: requestDuration, HTTP: client, Key: key, Classify: classify, Log: log,
		}),
	}
}

// call calls a method of the API, like users/info. The key goes into the body, as Mandrill has it.
func (a *apiClient) call(ctx context.Context, t *exporter.Recorder, operation, method string, parameters map[string]string, read func(body []byte) error) error {
	body := map[string]string{"key": a.key.Reveal()}
	for name, value := range parameters {
		body[name] = value
	}
	text, err := json.Marshal(body)
	if err != nil {
		return fmt.Errorf("mandrill: %s: %w", operation, err)
	}
	req, err := http.NewRequest(http.MethodPost, a.base+"/"+method+".json", bytes.NewReader(text))
	if err != nil {
		return fmt.Errorf("mandrill: %s: %w", operation, err)
	}
	req.Header.Set("Content-Type", "application/json")
	return a.service.Do(ctx, t, operation, req, read)
}

// errorOutcomes are the outcomes of the errors whose names say more than Unknown_… or Invalid_….
var errorOutcomes = map[string]string{
	"Invalid_Key":          httpapi.Auth,
	"PaymentRequired":      httpapi.PaymentRequired,
	"ValidationError":      httpapi.InvalidRequest,
	"RequestLimitExceeded": httpapi.Throttled,
	"GeneralError":         httpapi.ServerError,
	"ServiceUnavailable":   httpapi.ServerError,
}

// classify derives the outcome from the name of the error: status and code differ between versions of the API, and one
// version answers 500 to an unknown key.
func classify(status int, body []byte) (outcome, what string) {
	var answer struct {
		Status string `json:"status"`
		Name   string `json:"name"`
	}
	what = fmt.Sprintf("HTTP %d", status)
	if json.Unmarshal(body, &answer) != nil || answer.Status != "error" && answer.Name == "" {
		return httpapi.StatusOutcome(status), what
	}
	if answer.Status != "error" && httpapi.StatusOutcome(status) == httpapi.OK {
		return httpapi.OK, what // a response that happens to have a name
	}
	what += " " + httpapi.Sanitize(answer.Name)
	outcome, known := errorOutcomes[answer.Name]
	switch {
	case known:
		return outcome, what
	case strings.HasPrefix(answer.Name, "Unknown_"):
		return httpapi.NotFound, what
	case strings.HasPrefix(answer.Name, "Invalid_"):
		return httpapi.InvalidRequest, what
	}
	return httpapi.Other, what
}

// timestamp is a time as Mandrill writes it: in UTC, without saying so, or as others do. It is zero when there is none.
type timestamp struct{ time.Time }

func (t *timestamp) UnmarshalJSON(text []byte) error {
	var s string
	if err := json.Unmarshal(text, &s); err != nil || s == "" {
		return err // null leaves s empty
	}
	var err error
	if t.Time, err = time.Parse(time.DateTime, s); err != nil {
		t.Time, err = time.Parse(time.RFC3339, s)
	}
	return err
}

// mailCounts are Mandrill's counts of messages.
type mailCounts struct {
	Sent        float64 `json:"sent"`
	HardBounces float64 `json:"hard_bounces"`
	SoftBounces float64 `json:"soft_bounces"`
	Rejects     float64 `json:"rejects"`
	Complaints  float64 `json:"complaints"`
	Unsubs      float64 `json:"unsubs"`
	Opens       float64 `json:"opens"`
	Clicks      float64 `json:"clicks"`
}

// inOrder is the counts in the order of catalog.MailKinds.
func (c *mailCounts) inOrder() []float64 {
	return []float64{c.Sent, c.HardBounces, c.SoftBounces, c.Rejects, c.Complaints, c.Unsubs, c.Opens, c.Clicks}
}
