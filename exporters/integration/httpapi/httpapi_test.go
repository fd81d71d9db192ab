package httpapi

import (
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/consignwatch/consignwatch/pkg/catalog"
	"github.com/consignwatch/consignwatch/pkg/exporter"
	"github.com/consignwatch/consignwatch/pkg/exporter/exportertest"
	"github.com/consignwatch/consignwatch/pkg/secret"
)

const serviceKey = "planted-secret-5b1f"

// requestOutcome sends one request to a server, and returns the outcome.
func requestOutcome(t *testing.T, s *Service, url string, timeout time.Duration) (outcome string, err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	req, err := http.NewRequest(http.MethodPost, url, strings.NewReader(`{"key":"`+serviceKey+`"}`))
	if err != nil {
		t.Fatal(err)
	}
	recorder := exporter.NewRecorder(catalog.Shipped())
	err = s.Do(ctx, recorder, "account", req, ReadJSON(&struct{}{}))
	return OutcomeOf(err), err
}

// testService names its errors in its responses.
func testService(t *testing.T, log *slog.Logger) *Service {
	t.Helper()
	client, err := NewClient((&net.Dialer{}).DialContext, nil)
	if err != nil {
		t.Fatal(err)
	}
	return New(Options{
		Name: "mandrill", Requests: "consign_mandrill_requests_total", Duration: "consign_mandrill_request_duration_seconds",
		HTTP: client, Key: secret.New(serviceKey), Log: log,
		Classify: func(status int, body []byte) (outcome, what string) {
			var answer struct{ Name string }
			if json.Unmarshal(body, &answer) == nil && answer.Name != "" {
				return Other, Sanitize(answer.Name)
			}
			return StatusOutcome(status), fmt.Sprintf("HTTP %d", status)
		},
	})
}

func TestTheOutcomeOfARequestAlsoComesFromTheTransport(t *testing.T) {
	t.Parallel()
	var elsewhere atomic.Int32
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { elsewhere.Add(1) }))
	defer other.Close()
	closed := httptest.NewServer(http.NotFoundHandler())
	closed.Close()
	notHTTP, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer notHTTP.Close()
	go func() {
		for {
			c, err := notHTTP.Accept()
			if err != nil {
				return
			}
			fmt.Fprint(c, "220 mail.example.com ESMTP\r\n")
			c.Close()
		}
	}()
	for name, c := range map[string]struct {
		answer  http.HandlerFunc
		url     string
		timeout time.Duration
		want    string
		reason  exporter.Reason
	}{
		"redirect": {answer: func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, other.URL, http.StatusTemporaryRedirect)
		}, want: "invalid_response", reason: exporter.ReasonParse},
		"too long": {answer: func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprint(w, "{")
			_, _ = io.CopyN(w, blanks{}, maxResponse)
			fmt.Fprint(w, "}")
		}, want: "invalid_response", reason: exporter.ReasonParse},
		"no JSON":      {answer: func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<html>") }, want: "invalid_response", reason: exporter.ReasonParse},
		"broken off":   {answer: brokenOff, want: "connection", reason: exporter.ReasonConnection},
		"hanging":      {answer: func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body); <-r.Context().Done() }, timeout: 200 * time.Millisecond, want: "timeout", reason: exporter.ReasonTimeout},
		"nobody there": {url: closed.URL, want: "connection", reason: exporter.ReasonConnection},
		"not HTTP":     {url: "http://" + notHTTP.Addr().String(), want: "connection", reason: exporter.ReasonConnection},
		"plain 502":    {answer: status(http.StatusBadGateway), want: "server_error", reason: exporter.ReasonConnection},
		"plain 403":    {answer: status(http.StatusForbidden), want: "forbidden", reason: exporter.ReasonAuth},
		"plain 418":    {answer: status(http.StatusTeapot), want: "other", reason: exporter.ReasonQuery},
	} {
		t.Run(name, func(t *testing.T) {
			if c.answer != nil {
				server := httptest.NewServer(c.answer)
				defer server.Close()
				c.url = server.URL
			}
			if c.timeout == 0 {
				c.timeout = time.Minute
			}
			outcome, err := requestOutcome(t, testService(t, slog.New(slog.DiscardHandler)), c.url, c.timeout)
			if outcome != c.want || exporter.ReasonOf(err) != c.reason {
				t.Errorf("outcome %q, reason %q, want %q, %q: %v", outcome, exporter.ReasonOf(err), c.want, c.reason, err)
			}
			if strings.Contains(err.Error(), "127.0.0.1") && c.answer != nil {
				t.Errorf("the error repeats the address: %v", err)
			}
		})
	}
	if elsewhere.Load() != 0 {
		t.Error("the redirect was followed")
	}
}

// blanks are as many as one wants.
type blanks struct{}

func (blanks) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = ' '
	}
	return len(p), nil
}

func status(code int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "<html>", code) }
}

func brokenOff(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Length", "1000")
	fmt.Fprint(w, "{")
	if f, ok := w.(http.Flusher); ok {
		f.Flush()
	}
	panic(http.ErrAbortHandler)
}

func TestAServiceIsNotCalledUntilRetryAfter(t *testing.T) {
	t.Parallel()
	var requests atomic.Int32
	retryAfter := "30"
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if requests.Add(1) == 1 {
			w.Header().Set("Retry-After", retryAfter)
			w.WriteHeader(http.StatusTooManyRequests)
			return
		}
		fmt.Fprint(w, "{}")
	}))
	defer server.Close()
	begin := time.Now()
	for value, want := range map[string]time.Duration{
		"30":     30 * time.Second,
		"999999": maxBackoff,
		begin.Add(20*time.Second + time.Second - 1).UTC().Format(http.TimeFormat): 20 * time.Second, // whole seconds
		"30.0":                 30 * time.Second,
		"1e2":                  100 * time.Second,
		"Infinity":             maxBackoff,
		"99999999999999999999": maxBackoff,
		"30, 30":               maxBackoff, // cannot be read, and so it asks for the longest
		"soon":                 maxBackoff,
		"NaN":                  maxBackoff,
		"-5":                   0,
	} {
		t.Run(value, func(t *testing.T) {
			requests.Store(0)
			retryAfter = value
			s := testService(t, slog.New(slog.DiscardHandler))
			now := begin.Truncate(time.Second)
			s.options.Now = func() time.Time { return now }
			if outcome, _ := requestOutcome(t, s, server.URL, 10*time.Second); outcome != "throttled" {
				t.Fatalf("outcome %q", outcome)
			}
			if want > 0 {
				now = now.Add(want - time.Second)
				_, err := requestOutcome(t, s, server.URL, 10*time.Second)
				if err == nil || exporter.ReasonOf(err) != exporter.ReasonThrottled || requests.Load() != 1 {
					t.Fatalf("a second before the end of the pause: %d requests, %v", requests.Load(), err)
				}
			}
			now = now.Add(2 * time.Second)
			if _, err := requestOutcome(t, s, server.URL, 10*time.Second); err != nil || requests.Load() != 2 {
				t.Errorf("after the pause: %d requests, %v", requests.Load(), err)
			}
		})
	}
}

func TestARetryAfterDateIsReadByTheServersClock(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	theirs := now.Add(-time.Hour)
	header := http.Header{"Date": {theirs.UTC().Format(http.TimeFormat)}, "Retry-After": {theirs.Add(90 * time.Second).UTC().Format(http.TimeFormat)}}
	if pause, ok := RetryAfter(header, now, time.Hour); !ok || pause != 90*time.Second {
		t.Errorf("pause %s, %v, want 90s", pause, ok)
	}
}

func TestABackoffIsNeverShortened(t *testing.T) {
	s := testService(t, slog.New(slog.DiscardHandler))
	now := time.Unix(1_800_000_000, 0)
	s.options.Now = func() time.Time { return now }
	s.backOff(time.Minute)
	s.backOff(time.Second)
	if wait := s.backoff(); wait != time.Minute {
		t.Errorf("another %s, want a minute", wait)
	}
}

func TestTheClockOffsetIsTheDateMinusOurTime(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	for name, c := range map[string]struct {
		header http.Header
		want   time.Duration
		known  bool
	}{
		"ahead":        {http.Header{"Date": {now.Add(12 * time.Second).UTC().Format(http.TimeFormat)}}, 12*time.Second + dateResolution/2, true},
		"behind":       {http.Header{"Date": {now.Add(-time.Hour).UTC().Format(http.TimeFormat)}}, -time.Hour + dateResolution/2, true},
		"from a cache": {http.Header{"Date": {now.Add(-time.Hour).UTC().Format(http.TimeFormat)}, "Age": {"3600"}}, 0, false},
		"no date":      {http.Header{}, 0, false},
		"no such date": {http.Header{"Date": {"yesterday"}}, 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			s := testService(t, slog.New(slog.DiscardHandler))
			s.options.Now = func() time.Time { return now }
			s.compareClocks(c.header, now)
			if got, known := s.ClockOffset(); got != c.want || known != c.known {
				t.Errorf("offset %s, %v, want %s, %v", got, known, c.want, c.known)
			}
		})
	}
}

func TestALimitHoldsForTheDecompressedBody(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		compressed := gzip.NewWriter(w)
		_, _ = io.CopyN(compressed, blanks{}, 2*maxResponse)
		_, _ = io.WriteString(compressed, "{}")
		_ = compressed.Close()
	}))
	defer server.Close()
	if outcome, err := requestOutcome(t, testService(t, slog.New(slog.DiscardHandler)), server.URL, time.Minute); outcome != InvalidResponse {
		t.Errorf("outcome %q: %v", outcome, err)
	}
}

func TestAListHasALimit(t *testing.T) {
	type element struct {
		ID string `json:"id"`
	}
	for name, c := range map[string]struct {
		body string
		n    int // -1: an error
	}{
		"two":               {`[{"id":"a"},{"id":"b"}]`, 2},
		"none":              {`[]`, 0},
		"as many as may be": {"[{}" + strings.Repeat(",{}", maxElements-1) + "]", maxElements},
		"one more":          {"[{}" + strings.Repeat(",{}", maxElements) + "]", -1},
		"no list":           {`{"id":"a"}`, -1},
		"no end":            {`[{"id":"a"}`, -1},
		"another element":   {`["a"]`, -1},
		"nothing":           {``, -1},
	} {
		var got []element
		if err := ReadList(&got)([]byte(c.body)); (err != nil) != (c.n < 0) || c.n >= 0 && len(got) != c.n {
			t.Errorf("%s: %d elements, %v", name, len(got), err)
		}
	}
}

func TestAnUnknownAnswerIsLoggedOnceAndWithoutSecrets(t *testing.T) {
	t.Parallel()
	name := "Poor" + serviceKey + "\x1b[31m" + strings.Repeat("x", 300)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusInternalServerError)
		fmt.Fprintf(w, `{"status":"error","code":10,"name":%q,"message":"key %s is odd"}`, strings.ReplaceAll(name, "\x1b", "?"), serviceKey)
	}))
	defer server.Close()
	var log exportertest.Log
	s := testService(t, log.Logger())
	for range 3 {
		outcome, err := requestOutcome(t, s, server.URL, 10*time.Second)
		if outcome != "other" {
			t.Fatalf("outcome %q: %v", outcome, err)
		}
		if strings.Contains(err.Error(), serviceKey) || len(err.Error()) > 200 {
			t.Errorf("the error says %v", err)
		}
	}
	if n := strings.Count(log.String(), "\n"); n != 1 {
		t.Errorf("%d lines, want one:\n%s", n, log.String())
	}
	if strings.Contains(log.String(), serviceKey) {
		t.Errorf("the key is in the log:\n%s", log.String())
	}
	for i := range 2 * maxUnknownResponses {
		s.logOnce("account", fmt.Sprint(i))
	}
	if n := strings.Count(log.String(), "\n"); n != maxUnknownResponses {
		t.Errorf("%d lines of different answers, want at most %d", n, maxUnknownResponses)
	}
}

func TestARequestThatTheStopCutsOffCountsAsNothing(t *testing.T) {
	t.Parallel()
	arrived := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		close(arrived)
		<-r.Context().Done()
	}))
	defer server.Close()
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-arrived; cancel() }()
	req, err := http.NewRequest(http.MethodPost, server.URL, strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	err = testService(t, slog.New(slog.DiscardHandler)).Do(ctx, exporter.NewRecorder(catalog.Shipped()), "account", req, ReadJSON(&struct{}{}))
	if !errors.Is(err, context.Canceled) || OutcomeOf(err) != "" {
		t.Errorf("error %v", err)
	}
}
