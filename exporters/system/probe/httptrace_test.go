package probe

import (
	"context"
	"errors"
	"net"
	"testing"
	"time"

	"github.com/consignwatch/consignwatch/pkg/catalog"
)

// TestALookUpOfANameIsTracedAlsoWhenItFails probes without a name server. A failed probe exports no phases.
func TestALookUpOfANameIsTracedAlsoWhenItFails(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed := listener.Addr().String()
	_ = listener.Close()
	dialer := &net.Dialer{Resolver: &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		return nil, errors.New("there is no name server")
	}}}
	for name, c := range map[string]struct {
		url, outcome string
		looked       bool
	}{
		"name leads nowhere": {"http://nowhere.invalid/", outcomeDNS, true},
		"nobody listens":     {"http://" + closed + "/", outcomeConnection, false},
	} {
		t.Run(name, func(t *testing.T) {
			config := Config{URL: c.url}
			config.Fill()
			p := New(Options{Name: "p", Config: config, Timeout: time.Minute, Dial: dialer.DialContext, Catalog: catalog.Shipped()})
			trace := &httpTrace{}
			if got := p.probe(t.Context(), trace); got != c.outcome {
				t.Errorf("outcome %s, want %s", got, c.outcome)
			}
			if _, looked := trace.phases()["dns"]; looked != c.looked {
				t.Errorf("phases %v", trace.phases())
			}
		})
	}
}
