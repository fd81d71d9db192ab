package clerk

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"

	"github.com/consignwatch/consignwatch/pkg/catalog"
	"github.com/consignwatch/consignwatch/pkg/secret"
)

func TestAnAnswerThatWasOvertakenIsNoChangeOfKeys(t *testing.T) {
	t.Parallel()
	instance := newInstance(t)
	asked, release := make(chan struct{}), make(chan struct{})
	var requests atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if requests.Add(1) != 2 {
			instance.ServeHTTP(w, r)
			return
		}
		old := httptest.NewRecorder()
		instance.ServeHTTP(old, r)
		close(asked)
		<-release
		_, _ = w.Write(old.Body.Bytes())
	}))
	t.Cleanup(server.Close)
	metrics := catalog.Shipped().ForExporter(catalog.Integration)
	c := &Config{URL: server.URL + "/v1"}
	c.Fill()
	keys := newKeysTarget(newAPIClient(c, secret.New(secretKey), newTestClient(t), slog.New(slog.DiscardHandler)), metrics)
	fetch := func() {
		if _, err := keys.fetch(t.Context()); err != nil {
			t.Error(err)
		}
	}
	fetch()
	overtaken := make(chan struct{})
	go func() { defer close(overtaken); fetch() }()
	<-asked
	instance.RotateKey(false)
	fetch()
	close(release)
	<-overtaken
	now, err := instance.Keys(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := keys.last[now.Keys[0].KeyID]; !ok || len(keys.last) != 1 {
		t.Error("the answer that came late replaced the later one: its key would come and go again")
	}
}
