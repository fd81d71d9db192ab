package simulator

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/consignwatch/consignwatch/pkg/demo/servers/serverstest"
	"github.com/consignwatch/consignwatch/simulator/faults"
	"github.com/consignwatch/consignwatch/simulator/oracle"
)

func TestControl(t *testing.T) {
	t.Parallel()
	p, err := New(Config{DSN: serverstest.MariaDB(t), Clients: 3, Events: 6, Items: 300, Speed: 60})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() })
	server := httptest.NewServer(p.Control())
	t.Cleanup(server.Close)
	call := func(method, path string, want int) []byte {
		t.Helper()
		request, err := http.NewRequestWithContext(t.Context(), method, server.URL+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		response, err := server.Client().Do(request)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		if err != nil {
			t.Fatal(err)
		}
		if response.StatusCode != want {
			t.Fatalf("%s %s: %s, want %d: %s", method, path, response.Status, want, body)
		}
		return body
	}
	call("GET", "/-/ready", 503)
	call("GET", "/state", 200)
	if err := p.Fill(t.Context()); err != nil {
		t.Fatal(err)
	}
	call("GET", "/-/ready", 503)
	stop := livePlatform(t, p)
	waitFor(t, "ready", p.Ready)
	call("GET", "/-/ready", 200)

	call("POST", "/pause", 204)
	var samples []oracle.Sample
	if err := json.Unmarshal(call("GET", "/expected-samples", 200), &samples); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(p.Truth(), samples, cmpopts.EquateApprox(0, 1e-6)); diff != "" {
		t.Errorf("expected samples (-package +interface):\n%s", diff)
	}
	var state State
	if err := json.Unmarshal(call("GET", "/state", 200), &state); err != nil {
		t.Fatal(err)
	}
	if !state.Filled || !state.Living || !state.Paused || state.Speed != 60 || state.Rows["items"] < 300 || len(state.Clients) != 3 {
		t.Errorf("state: %+v", state)
	}

	call("POST", "/faults/sold-twice/on?client="+state.Clients[1], 204)
	var listed []faults.State
	if err := json.Unmarshal(call("GET", "/faults", 200), &listed); err != nil {
		t.Fatal(err)
	}
	on := slices.DeleteFunc(listed, func(f faults.State) bool { return !f.On })
	if len(on) != 1 || on[0].Name != faults.SoldTwice || !cmp.Equal(on[0].Clients, []string{state.Clients[1]}) {
		t.Errorf("faults that are on: %+v", on)
	}
	call("POST", "/faults/sold-twice/off", 204)
	call("POST", "/resume", 204)
	if p.State().Paused {
		t.Error("still paused")
	}

	var refusal struct {
		Error string
		Known []string
	}
	if err := json.Unmarshal(call("POST", "/faults/nonsense/on", 404), &refusal); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(refusal.Error, "nonsense") || !cmp.Equal(refusal.Known, p.Faults().Names()) {
		t.Errorf("refusal: %+v", refusal)
	}
	call("POST", "/faults/sold-twice/on?client=nobody", 404)
	call("POST", "/faults/database-down/on", 409)
	call("GET", "/faults/sold-twice/on", 405)
	stop()
	call("GET", "/-/ready", 503)
}

func TestControlListensOnLoopbackOnly(t *testing.T) {
	t.Parallel()
	for _, address := range []string{"0.0.0.0:0", ":0", "192.0.2.1:80", "example.com:80", "nonsense"} {
		if l, err := ListenLoopback(t.Context(), address); err == nil {
			l.Close()
			t.Errorf("%s is accepted", address)
		} else if !strings.Contains(err.Error(), address) {
			t.Errorf("%s: the error does not name it: %v", address, err)
		}
	}
	for _, address := range []string{"127.0.0.1:0", "localhost:0"} {
		l, err := ListenLoopback(t.Context(), address)
		if err != nil {
			t.Errorf("%s: %v", address, err)
			continue
		}
		l.Close()
	}
}
