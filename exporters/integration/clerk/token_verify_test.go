package clerk

import (
	"compress/gzip"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
)

func TestABodyWithoutEndOfThePlatformIsNotReadToItsEnd(t *testing.T) {
	t.Parallel()
	var ended atomic.Bool
	closed := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		defer close(closed)
		w.Header().Set("Content-Encoding", "gzip")
		compressed := gzip.NewWriter(w)
		for range 1 << 20 { // without the limit, this is 64 GB
			if _, err := io.WriteString(compressed, strings.Repeat(" ", 64<<10)); err != nil {
				return
			}
		}
		ended.Store(true)
	}))
	t.Cleanup(server.Close)
	v := &endpointVerifier{url: server.URL, http: newTestClient(t)}
	if accepted, err := v.verify(t.Context(), &sessionToken{text: "token"}, nil); !accepted || err != nil {
		t.Errorf("accepted %v, %v", accepted, err)
	}
	<-closed
	if ended.Load() {
		t.Error("the body was read to its end")
	}
}
