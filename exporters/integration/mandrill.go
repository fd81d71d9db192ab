package integration

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/consignwatch/consignwatch/pkg/exporter"
	"github.com/consignwatch/consignwatch/pkg/secret"
)

// mandrill makes the collector of Mandrill: the account, its subaccounts, webhooks and sending domains, each a target of its own.
func (b *builder) mandrill() error {
	c := b.Mandrill
	if c == nil {
		return nil
	}
	key, err := secret.Read(c.KeyFile)
	if err != nil {
		return b.file.Errorf("mandrill.key_file", "%w", err)
	}
	client, err := b.httpClient(c.TLS)
	if err != nil {
		return b.file.Errorf("mandrill.tls", "%w", err)
	}
	api := newMandrillAPI(c, key, client, b.log)
	often := []exporter.Target{newMandrillAccount(api, b.catalog)}
	if c.ClientSubaccounts {
		list := newSubaccountList(api, b.slugs(), b.catalog)
		often = append(often, list, newSubaccountMessages(api, list, c, b.catalog))
	}
	b.add("mandrill", c.schedule(c.Interval), often...)
	b.add("mandrill", c.schedule(c.SlowInterval), newMandrillWebhooks(api, b.catalog), newMandrillDomains(api, b.catalog))
	return nil
}

// mandrillAPI is a client of Mandrill's API. It only reads.
type mandrillAPI struct {
	base    string
	service *service
}

func newMandrillAPI(c *mandrillConfig, key secret.Value, client *http.Client, log *slog.Logger) *mandrillAPI {
	return &mandrillAPI{
		base:    strings.TrimSuffix(c.URL, "/"),
		service: &service{name: "mandrill", http: client, key: key, classify: classifyMandrill, log: log, now: time.Now},
	}
}

// call calls a method of the API, like users/info. The key goes into the body, as Mandrill has it.
func (a *mandrillAPI) call(ctx context.Context, t *exporter.Recorder, operation, method string, parameters map[string]string, read func(body []byte) error) error {
	body := map[string]string{"key": a.service.key.Reveal()}
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
	return a.service.do(ctx, t, operation, req, read)
}

// mandrillErrors are the outcomes of the errors whose names say more than Unknown_… or Invalid_….
var mandrillErrors = map[string]string{
	"Invalid_Key":          serviceAuth,
	"PaymentRequired":      servicePayment,
	"ValidationError":      serviceInvalidRequest,
	"RequestLimitExceeded": serviceThrottled,
	"GeneralError":         serviceServerError,
	"ServiceUnavailable":   serviceServerError,
}

// classifyMandrill derives the outcome from the name of the error: status and code differ between versions of the API, and one
// version answers 500 to an unknown key.
func classifyMandrill(status int, body []byte) (outcome, what string) {
	var answer struct {
		Status string `json:"status"`
		Name   string `json:"name"`
	}
	what = fmt.Sprintf("HTTP %d", status)
	if json.Unmarshal(body, &answer) != nil || answer.Status != "error" && answer.Name == "" {
		return statusOutcome(status), what
	}
	if answer.Status != "error" && statusOutcome(status) == serviceOK {
		return serviceOK, what // a response that happens to have a name
	}
	what += " " + sanitize(answer.Name)
	outcome, known := mandrillErrors[answer.Name]
	switch {
	case known:
		return outcome, what
	case strings.HasPrefix(answer.Name, "Unknown_"):
		return serviceNotFound, what
	case strings.HasPrefix(answer.Name, "Invalid_"):
		return serviceInvalidRequest, what
	}
	return serviceOther, what
}

// mandrillTime is a time as Mandrill writes it: in UTC, without saying so, or as others do. It is zero when there is none.
type mandrillTime struct{ time.Time }

func (t *mandrillTime) UnmarshalJSON(text []byte) error {
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
