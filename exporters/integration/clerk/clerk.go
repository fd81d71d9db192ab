// Package clerk monitors Clerk: its signing keys, the number of users, and whether session tokens are verified as they should be.
// It reads no user, and changes nothing at Clerk but for the tokens that it creates for the session of a test user.
package clerk

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/consignwatch/consignwatch/exporters/integration/httpapi"
	"github.com/consignwatch/consignwatch/pkg/catalog"
	"github.com/consignwatch/consignwatch/pkg/exporter"
	"github.com/consignwatch/consignwatch/pkg/secret"
)

// The metrics of the requests.
const (
	requestsTotal   = "consign_clerk_requests_total"
	requestDuration = "consign_clerk_request_duration_seconds"
)

// Options are what the collectors of an instance are made of.
type Options struct {
	Config  *Config // filled and checked
	Key     secret.Value
	HTTP    *http.Client
	Catalog *catalog.Catalog
	Log     *slog.Logger
}

// Collectors makes the collectors of an instance: its keys, the counts of its users, and the check of tokens, each a target
// of its own.
func Collectors(o Options) []exporter.Collector {
	c := o.Config
	api := newAPIClient(c, o.Key, o.HTTP, o.Log)
	keys := newKeysTarget(api, o.Catalog)
	collectors := []exporter.Collector{exporter.NewCollector("clerk", c.schedule(c.Interval), keys, newUsersTarget(api, o.Catalog))}
	if c.ProbeSession != "" {
		collectors = append(collectors, exporter.NewCollector("clerk", c.schedule(c.TokenInterval), newTokenCheck(c, api, keys, o.Catalog, o.Log)))
	}
	return collectors
}

// apiClient is a client of Clerk's Backend API. It sends GET requests, and one POST: the one that creates a token for a session.
type apiClient struct {
	base    string
	version string
	key     secret.Value
	http    *http.Client
	now     func() time.Time
	keys    *httpapi.Service // the signing keys, which Clerk serves without a rate limit
	limited *httpapi.Service // all else
}

func newAPIClient(c *Config, key secret.Value, client *http.Client, log *slog.Logger) *apiClient {
	a := &apiClient{base: strings.TrimSuffix(c.URL, "/"), version: c.APIVersion, key: key, http: client, now: time.Now}
	part := func() *httpapi.Service {
		return httpapi.New(httpapi.Options{
			Name: "clerk", Requests: requestsTotal, Duration: requestDuration, HTTP: client, Key: key, Classify: classify, Log: log,
			Now: func() time.Time { return a.now() },
		})
	}
	a.keys, a.limited = part(), part()
	return a
}

// clockOffset is Clerk's clock minus ours. The response with the keys may come from a cache, which says nothing of Clerk's clock;
// then it is that of the last other response.
func (a *apiClient) clockOffset() (time.Duration, bool) {
	if offset, ok := a.keys.ClockOffset(); ok {
		return offset, true
	}
	return a.limited.ClockOffset()
}

// request makes a request; body is sent as JSON unless it is nil.
func (a *apiClient) request(method, path string, query url.Values, body any) (*http.Request, error) {
	var text []byte
	if body != nil {
		var err error
		if text, err = json.Marshal(body); err != nil {
			return nil, fmt.Errorf("clerk: %s: %w", path, err)
		}
	}
	address := a.base + path
	if len(query) > 0 {
		address += "?" + query.Encode()
	}
	req, err := http.NewRequest(method, address, bytes.NewReader(text))
	if err != nil {
		return nil, fmt.Errorf("clerk: %s: %w", path, err)
	}
	req.Header.Set("Authorization", "Bearer "+a.key.Reveal())
	req.Header.Set("Clerk-API-Version", a.version)
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	return req, nil
}

// signingKeys fetches the keys with which tokens may be signed.
func (a *apiClient) signingKeys(ctx context.Context, t *exporter.Recorder) (keySet, error) {
	req, err := a.request(http.MethodGet, "/jwks", nil, nil)
	if err != nil {
		return nil, err
	}
	var keys keySet
	err = a.keys.Do(ctx, t, "jwks", req, func(body []byte) (err error) {
		keys, err = readKeySet(body)
		return err
	})
	return keys, err
}

// countUsers fetches the number of users, or of those active since a time that is not zero.
func (a *apiClient) countUsers(ctx context.Context, t *exporter.Recorder, activeSince time.Time) (float64, error) {
	query := url.Values{}
	if !activeSince.IsZero() {
		query.Set("last_active_at_after", strconv.FormatInt(activeSince.UnixMilli(), 10))
	}
	req, err := a.request(http.MethodGet, "/users/count", query, nil)
	if err != nil {
		return 0, err
	}
	var answer struct {
		TotalCount *float64 `json:"total_count"`
	}
	err = a.limited.Do(ctx, t, "count_users", req, func(body []byte) error {
		if err := httpapi.ReadJSON(&answer)(body); err != nil {
			return err
		}
		if answer.TotalCount == nil || *answer.TotalCount < 0 {
			return errors.New("the answer has no total_count")
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	return *answer.TotalCount, nil
}

// createToken creates a token for a session, with the given life.
func (a *apiClient) createToken(ctx context.Context, t *exporter.Recorder, session string, life time.Duration) (token *sessionToken, err error) {
	req, err := a.request(http.MethodPost, "/sessions/"+url.PathEscape(session)+"/tokens", nil, map[string]any{"expires_in_seconds": int(life.Seconds())})
	if err != nil {
		return nil, err
	}
	var answer struct {
		JWT string `json:"jwt"`
	}
	requested := a.now()
	err = a.limited.Do(ctx, t, "create_token", req, func(body []byte) error {
		if err := httpapi.ReadJSON(&answer)(body); err != nil {
			return err
		}
		token, err = readToken(answer.JWT, requested)
		return err
	})
	if err != nil {
		return nil, err
	}
	return token, nil
}

// classify derives the outcome from the status. The codes of Clerk's errors are for the log.
func classify(status int, body []byte) (outcome, what string) {
	var answer struct {
		Errors []struct {
			Code string `json:"code"`
		} `json:"errors"`
	}
	what = fmt.Sprintf("HTTP %d", status)
	if json.Unmarshal(body, &answer) == nil && len(answer.Errors) > 0 {
		what += " " + httpapi.Sanitize(answer.Errors[0].Code)
	}
	return httpapi.StatusOutcome(status), what
}
