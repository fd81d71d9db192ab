package events

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/consignwatch/consignwatch/exporters/events/internal/eventtest"
)

func TestExplainSaysWhatEachEventDoes(t *testing.T) {
	order := eventtest.Event("consign.order.placed", "anna", `{"event":"spring","channel":"pos","amount_cents":1.999e3,"currency":"USD"}`)
	in := strings.Join([]string{
		eventtest.Event("consign.api.request", "anna", `{"route":"/items","method":"GET","status":200,"duration_seconds":0.1}`),
		"",
		order,
		order,
		eventtest.Event("consign.api.request", "anna", `{"route":"jane@example.org","method":"GET","status":200,"duration_seconds":0.2}`),
		eventtest.Event("consign.api.request", "anna", `{"route":"/items","method":"GET","status":200}`),
		eventtest.Event("consign.new", "anna", `{}`),
		`{"specversion":`,
		eventtest.Event("consign.worker.threads", "", `{"pool":"jobs","busy":5,"max":16}`),
	}, "\n")
	m, _, err := loadMapping("")
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	rejected, err := explain(strings.NewReader(in), &out, m)
	if err != nil {
		t.Fatal(err)
	}
	if rejected != 4 {
		t.Errorf("%d events were refused, want 4", rejected)
	}
	want := `line 1: counted: consign.api.request
  consign_api_requests_total{route="/items",method="GET",code="200"} +1
  consign_api_request_duration_seconds{route="/items"} observes 0.1
  consign_client_api_requests_total{client="anna",code_class="2xx"} +1
  consign_client_api_request_duration_seconds{client="anna"} observes 0.1
line 3: counted: consign.order.placed
  consign_orders_total{client="anna",event="spring",channel="pos"} +1
  consign_sales_amount_total{client="anna",event="spring",currency="USD"} +19.99
  consign_order_amount{currency="USD"} observes 19.99
line 4: duplicate: an earlier event has the same source and id
line 5: counted: consign.api.request
  consign_api_requests_total{route="other",method="GET",code="200"} +1
  consign_api_request_duration_seconds{route="other"} observes 0.2
  consign_client_api_requests_total{client="anna",code_class="2xx"} +1
  consign_client_api_request_duration_seconds{client="anna"} observes 0.2
  note: label route of consign_api_request_duration_seconds became "other": its value is missing, not in the label's domain, looks like an id, or is over its limit
  note: label route of consign_api_requests_total became "other": its value is missing, not in the label's domain, looks like an id, or is over its limit
line 6: malformed: data.duration_seconds: the value is missing
line 7: unknown_type: the type of the event is not in the mapping
line 8: malformed: the JSON ends too early (byte 15)
line 9: counted: consign.worker.threads
  consign_worker_max_threads{pool="jobs"} is 16, of this source
  consign_worker_threads{pool="jobs",state="busy"} is 5, of this source
  consign_worker_threads{pool="jobs",state="idle"} is 11, of this source
`
	// The events' time is long ago: a gauge of then is not remembered, but it is explained.
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}
