package main

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/consignwatch/consignwatch/pkg/demo/drill"
	"github.com/consignwatch/consignwatch/pkg/demo/statefile"
)

// A drill takes from a recording which alerts its fault fires, so both have to switch the same fault.
func TestTheRecordingOfAFaultIsOfThatFault(t *testing.T) {
	var requests []string
	platform := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		requests = append(requests, r.URL.Path)
		w.WriteHeader(http.StatusNoContent)
	}))
	t.Cleanup(platform.Close)
	state := statefile.State{Parts: []statefile.Part{{Name: "platform-sim", URL: platform.URL}}}
	drilled := map[string]bool{}
	for _, f := range slices.Concat(drill.Batches()...) {
		if f.Recording == "" {
			continue
		}
		drilled[f.Recording] = true
		requests = nil
		i := findIncident(t, f.Recording)
		if err := i.on(t.Context(), state); err != nil {
			t.Fatal(err)
		}
		if err := i.off(t.Context(), state); err != nil {
			t.Fatal(err)
		}
		if want := []string{"/faults/" + f.Name + "/on", "/faults/" + f.Name + "/off"}; !slices.Equal(requests, want) {
			t.Errorf("the recording %s of the fault %s requests %s", f.Recording, f.Name, strings.Join(requests, ", "))
		}
	}
	without := []string{"quiet", "tables-locked", "connections-used-up", "exporter-hung"} // of no fault of the platform
	for _, i := range incidents() {
		if drilled[i.name] == slices.Contains(without, i.name) {
			t.Errorf("no drill uses the recording %s, or it is of no fault", i.name)
		}
	}
}
