package integration

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

	"github.com/consignwatch/consignwatch/pkg/exporter"
	"github.com/consignwatch/consignwatch/pkg/secret"
)

// clerk makes the collector of Clerk: the keys, the counts of users, and the check of tokens, each a target of its own.
func (b *builder) clerk() error {
	c := b.Clerk
	if c == nil {
		return nil
	}
	key, err := secret.Read(c.SecretKeyFile)
	if err != nil {
		return b.file.Errorf("clerk.secret_key_file", "%w", err)
	}
	client, err := b.httpClient(c.TLS)
	if err != nil {
		return b.file.Errorf("clerk.tls", "%w", err)
	}
	api := newClerkAPI(c, key, client, b.log)
	keys := newClerkKeys(api, b.catalog)
	b.add("clerk", c.schedule(c.Interval), keys, newClerkUsers(api, b.catalog))
	if c.ProbeSession != "" {
		b.add("clerk", c.schedule(c.TokenInterval), newTokenCheck(c, api, keys, b.catalog, b.log))
	}
	return nil
}

// clerkAPI is a client of Clerk's Backend API. It sends GET requests, and one POST: the one that creates a token for a session.
type clerkAPI struct {
	base    string
	version string
	keys    *service // the signing keys, which Clerk serves without a rate limit
	limited *service // all else
}

func newClerkAPI(c *clerkConfig, key secret.Value, client *http.Client, log *slog.Logger) *clerkAPI {
	part := func() *service {
		return &service{name: "clerk", http: client, key: key, classify: classifyClerk, log: log, now: time.Now}
	}
	return &clerkAPI{base: strings.TrimSuffix(c.URL, "/"), version: c.APIVersion, keys: part(), limited: part()}
}

// request makes a request; body is sent as JSON unless it is nil.
func (a *clerkAPI) request(method, path string, query url.Values, body any) (*http.Request, error) {
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
	req.Header.Set("Authorization", "Bearer "+a.limited.key.Reveal())
	req.Header.Set("Clerk-API-Version", a.version)
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	return req, nil
}

// signingKeys fetches the keys with which tokens may be signed.
func (a *clerkAPI) signingKeys(ctx context.Context, t *exporter.Recorder) (keySet, error) {
	req, err := a.request(http.MethodGet, "/jwks", nil, nil)
	if err != nil {
		return nil, err
	}
	var keys keySet
	err = a.keys.do(ctx, t, "jwks", req, func(body []byte) (err error) {
		keys, err = readKeySet(body)
		return err
	})
	return keys, err
}

// countUsers fetches the number of users, or of those active since a time that is not zero.
func (a *clerkAPI) countUsers(ctx context.Context, t *exporter.Recorder, activeSince time.Time) (float64, error) {
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
	err = a.limited.do(ctx, t, "count_users", req, func(body []byte) error {
		if err := readJSON(&answer)(body); err != nil {
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
func (a *clerkAPI) createToken(ctx context.Context, t *exporter.Recorder, session string, life time.Duration) (token *sessionToken, err error) {
	req, err := a.request(http.MethodPost, "/sessions/"+url.PathEscape(session)+"/tokens", nil, map[string]any{"expires_in_seconds": int(life.Seconds())})
	if err != nil {
		return nil, err
	}
	var answer struct {
		JWT string `json:"jwt"`
	}
	requested := a.limited.now()
	err = a.limited.do(ctx, t, "create_token", req, func(body []byte) error {
		if err := readJSON(&answer)(body); err != nil {
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

// classifyClerk derives the outcome from the status. The codes of Clerk's errors are for the log.
func classifyClerk(status int, body []byte) (outcome, what string) {
	var answer struct {
		Errors []struct {
			Code string `json:"code"`
		} `json:"errors"`
	}
	what = fmt.Sprintf("HTTP %d", status)
	if json.Unmarshal(body, &answer) == nil && len(answer.Errors) > 0 {
		what += " " + sanitize(answer.Errors[0].Code)
	}
	return statusOutcome(status), what
}
