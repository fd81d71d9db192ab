// Package wiretest asks servers in tests, and lets them answer without a network. It knows nothing of what they answer.
package wiretest

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// Answer is a whole answer.
type Answer struct {
	Status int
	Header http.Header
	Body   string
}

// Ask sends a request with headers, given as names and values in turn, and reads the whole answer. No answer ends the test.
func Ask(t *testing.T, method, url, body string, header ...string) Answer {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		request.Header.Set(header[i], header[i+1])
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	b, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return Answer{response.StatusCode, response.Header, string(b)}
}

// Direct lets a handler answer requests, without a network: in a bubble of testing/synctest, too.
type Direct struct{ http.Handler }

// RoundTrip implements http.RoundTripper.
func (d Direct) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	d.ServeHTTP(w, r)
	return w.Result(), nil
}
