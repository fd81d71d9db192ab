package aggregate

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/consignwatch/consignwatch/exporters/events/internal/cloudevent"
	"github.com/consignwatch/consignwatch/exporters/events/internal/eventtest"
)

func TestEachTypeOfEventFeedsItsMetrics(t *testing.T) {
	for _, tt := range eventtest.Contract {
		t.Run(tt.Name, func(t *testing.T) {
			l := newAggregator(t, Options{})
			s := l.Shard("t", 0)
			s.Assign(0, "")
			if o, p := s.Count(start, &cloudevent.Record{Value: []byte(eventtest.Event(tt.Type, "anna", tt.Data))}); o != Counted {
				t.Fatalf("%v: %v", o, p)
			}
			if diff := cmp.Diff(map[string]float64(tt.Want), changes(scrape(t, l, start))); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			l.Rejected(func(metric, label string, n uint64) {
				if n > 0 {
					t.Errorf("label %s of %s became other", label, metric)
				}
			})
		})
	}
}

// A record that lacks a value counts nowhere, not even where the value is not needed.
func TestARecordWithoutItsValueIsMalformedAsAWhole(t *testing.T) {
	for _, tt := range []struct {
		name, typ, data string
		reason          cloudevent.Reason
		field           string
	}{
		{"no duration", "consign.api.request", `{"route":"/","method":"GET","status":200}`, cloudevent.MissingValue, "data.duration_seconds"},
		{"null duration", "consign.api.request", `{"route":"/","method":"GET","status":200,"duration_seconds":null}`, cloudevent.MissingValue, "data.duration_seconds"},
		{"duration as a text", "consign.api.request", `{"route":"/","method":"GET","status":200,"duration_seconds":"0.1"}`, cloudevent.NotANumber, "data.duration_seconds"},
		{"negative duration", "consign.api.request", `{"route":"/","method":"GET","status":200,"duration_seconds":-0.1}`, cloudevent.BelowZero, "data.duration_seconds"},
		{"infinite duration", "consign.api.request", `{"route":"/","method":"GET","status":200,"duration_seconds":1e999}`, cloudevent.TooLarge, "data.duration_seconds"},
		{"duration of a thousand years", "consign.api.request", `{"route":"/","method":"GET","status":200,"duration_seconds":3.2e10}`, cloudevent.TooLarge, "data.duration_seconds"},
		{"second of two durations", "consign.job.finished", `{"queue":"image","task":"resize","outcome":"dead","duration_seconds":1}`, cloudevent.MissingValue, "data.wait_seconds"},
		{"no amount", "consign.order.placed", `{"event":"spring","channel":"pos","currency":"USD"}`, cloudevent.MissingValue, "data.amount_cents"},
		{"fraction of a cent", "consign.order.placed", `{"event":"spring","channel":"pos","amount_cents":10.5,"currency":"USD"}`, cloudevent.NotAnInteger, "data.amount_cents"},
		{"negative amount", "consign.order.placed", `{"event":"spring","channel":"pos","amount_cents":-1,"currency":"USD"}`, cloudevent.BelowZero, "data.amount_cents"},
		{"amount beyond belief", "consign.order.placed", `{"event":"spring","channel":"pos","amount_cents":1e16,"currency":"USD"}`, cloudevent.TooLarge, "data.amount_cents"},
		{"amount of 30 digits", "consign.order.placed", `{"event":"spring","channel":"pos","amount_cents":123456789012345678901234567890,"currency":"USD"}`, cloudevent.TooLarge, "data.amount_cents"},
		{"no currency", "consign.order.placed", `{"event":"spring","channel":"pos","amount_cents":1}`, cloudevent.UnknownCurrency, "data.currency"},
		{"currency that does not exist", "consign.order.placed", `{"event":"spring","channel":"pos","amount_cents":1,"currency":"USX"}`, cloudevent.UnknownCurrency, "data.currency"},
		{"currency in lower case", "consign.order.placed", `{"event":"spring","channel":"pos","amount_cents":1,"currency":"usd"}`, cloudevent.UnknownCurrency, "data.currency"},
		{"half a conflict", "consign.sync.finished", `{"kind":"orders","outcome":"succeeded","conflicts":0.5,"duration_seconds":1}`, cloudevent.NotAnInteger, "data.conflicts"},
		{"pool without maximum", "consign.db.pool", `{"pool":"main","in_use":7,"idle":3}`, cloudevent.MissingValue, "data.max"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := newAggregator(t, Options{})
			s := l.Shard("t", 0)
			s.Assign(0, "")
			o, p := s.Count(start, &cloudevent.Record{Value: []byte(eventtest.Event(tt.typ, "anna", tt.data))})
			if want := (cloudevent.Problem{Reason: tt.reason, Field: tt.field, At: -1}); o != Malformed || p != want {
				t.Errorf("%v: %+v, want %+v", o, p, want)
			}
			if got := changes(scrape(t, l, start)); len(got) > 0 {
				t.Errorf("something was counted: %v", got)
			}
		})
	}
}

func TestLabelsOutsideTheirDomainBecomeOther(t *testing.T) {
	for _, tt := range []struct {
		name, typ, client, data string
		metric, label           string
		want                    string
	}{
		{"closed", "consign.auth.token", "anna", `{"result":"stolen"}`,
			"consign_token_validations_total", "result", `consign_token_validations_total{result="other"}`},
		{"missing", "consign.auth.token", "anna", `{}`,
			"consign_token_validations_total", "result", `consign_token_validations_total{result="other"}`},
		{"an object", "consign.auth.token", "anna", `{"result":{"a":1}}`,
			"consign_token_validations_total", "result", `consign_token_validations_total{result="other"}`},
		{"a mail address as a component", "consign.app.crashed", "", `{"component":"jane@example.org"}`,
			"consign_app_crashes_total", "component", `consign_app_crashes_total{component="other"}`},
		{"a line break in a feature", "consign.feature.used", "anna", `{"feature":"a\nb","role":"shopper"}`,
			"consign_feature_uses_total", "feature", `consign_feature_uses_total{feature="other",role="shopper"}`},
		{"half a surrogate pair", "consign.feature.used", "anna", `{"feature":"a\ud800","role":"shopper"}`,
			"consign_feature_uses_total", "feature", `consign_feature_uses_total{feature="other",role="shopper"}`},
		{"too long", "consign.feature.used", "anna", `{"feature":"` + strings.Repeat("x", 101) + `","role":"shopper"}`,
			"consign_feature_uses_total", "feature", `consign_feature_uses_total{feature="other",role="shopper"}`},
		{"empty", "consign.feature.used", "anna", `{"feature":"","role":"shopper"}`,
			"consign_feature_uses_total", "feature", `consign_feature_uses_total{feature="other",role="shopper"}`},
		{"status beyond 599", "consign.api.request", "anna", `{"route":"/","method":"GET","status":999,"duration_seconds":1}`,
			"consign_client_api_requests_total", "code_class", `consign_client_api_requests_total{client="anna",code_class="other"}`},
		{"client that is no slug", "consign.feature.used", "Anna's", `{"feature":"search","role":"shopper"}`,
			"consign_client_feature_uses_total", "client", `consign_client_feature_uses_total{client="other"}`},
		{"event of a client that is no slug", "consign.item.listed", "Anna's", `{"event":"spring","category":"toys"}`,
			"consign_items_listed_total", "event", `consign_items_listed_total{client="other",event="other"}`},
		{"bounce of another kind", "consign.email.bounced", "anna", `{"template":"welcome","bounce":"strange"}`,
			"consign_client_emails_total", "outcome", `consign_client_emails_total{client="anna",outcome="other"}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := newAggregator(t, Options{})
			s := l.Shard("t", 0)
			s.Assign(0, "")
			if o, p := s.Count(start, &cloudevent.Record{Value: []byte(eventtest.Event(tt.typ, tt.client, tt.data))}); o != Counted {
				t.Fatal(o, p)
			}
			if got := changes(scrape(t, l, start)); got[tt.want] != 1 {
				t.Errorf("%s is not 1 in %v", tt.want, got)
			}
			rejected := uint64(0)
			l.Rejected(func(metric, label string, n uint64) {
				if metric == tt.metric && label == tt.label {
					rejected = n
				}
			})
			if rejected != 1 {
				t.Errorf("%d rejected values of %s in %s, want 1", rejected, tt.label, tt.metric)
			}
		})
	}
}

func TestAnEventWithoutAClientConcernsThePlatform(t *testing.T) {
	l := newAggregator(t, Options{})
	s := l.Shard("t", 0)
	s.Assign(0, "")
	for i, client := range []string{"", "_platform"} {
		s.Count(start, &cloudevent.Record{Value: []byte(eventtest.Event("consign.feature.used", client, `{"feature":"search","role":"shopper"}`)), Offset: int64(i)})
	}
	if got := changes(scrape(t, l, start))[`consign_client_feature_uses_total{client="_platform"}`]; got != 2 {
		t.Errorf("uses of the platform: %v, want 2", got)
	}
}
