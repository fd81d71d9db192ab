// Package wire is what the HTTP servers of all fakes of external services have in common: latency, dropped connections, and JSON as those
// services write it. It knows none of them.
package wire

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"
)

// maxWaiting is how much of a request is buffered during Wait.
const maxWaiting = 32 << 20

// Wait delays the response. It returns false when the client has left meanwhile.
func Wait(r *http.Request, d time.Duration) bool {
	if d <= 0 {
		return true
	}
	// A server notices that its client has left only once the whole request has been read.
	body, err := io.ReadAll(io.LimitReader(r.Body, maxWaiting))
	if err != nil {
		return false
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-r.Context().Done():
		return false
	}
}

// Drop closes the connection without a response and without a log line. It does not return.
func Drop() { panic(http.ErrAbortHandler) }

// Marshal encodes JSON without escaping <, > and &. A value that cannot be encoded is a mistake of the fake's, and panics.
func Marshal(v any) []byte {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(v); err != nil {
		panic(fmt.Errorf("a fake's answer cannot be encoded: %w", err))
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

// Answer writes a response with its whole body.
func Answer(w http.ResponseWriter, status int, contentType string, body []byte) {
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	_, _ = w.Write(body) // the client may have left
}

// HTMLPage responds as a proxy before a service does: with an HTML error page.
func HTMLPage(w http.ResponseWriter, status int) {
	const page = "<!DOCTYPE html>\n<html><head><title>%[1]d %[2]s</title></head><body><center><h1>%[1]d %[2]s</h1></center></body></html>\n"
	Answer(w, status, "text/html; charset=utf-8", fmt.Appendf(nil, page, status, http.StatusText(status)))
}
