package aggregate

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/consignwatch/consignwatch/exporters/events/internal/cloudevent"
	"github.com/consignwatch/consignwatch/exporters/events/internal/mapping"
	"github.com/consignwatch/consignwatch/pkg/catalog"
)

const ownMapping = `
declare:
  - name: shop_visits_total
    type: counter
    unit: count
    help: Visits.
    labels:
      - {name: door, pattern: "[a-z]+", max_length: 10, limit: 2}
      - {name: weather, values: [dry, wet]}
  - name: shop_visit_duration_seconds
    type: histogram
    unit: seconds
    help: How long visits took.
    buckets: [60, 600]
    labels:
      - {name: door, pattern: "[a-z]+", max_length: 10, limit: 2}
  - {name: shop_read_bytes_total, type: counter, unit: bytes, help: Bytes.}
adjust:
  - {metric: consign_session_duration_seconds, buckets: [1, 2]}
  - {metric: consign_app_starts_total, limits: {component: 1}}
labels:
  door: {header: door, default: main}
events:
  - type: shop.visit
    feeds:
      - metric: shop_visits_total
        labels: {weather: {path: sky.rain, map: {"true": wet, "false": dry}, default: dry}}
        value: {path: people}
      - metric: shop_visit_duration_seconds
        value: {path: minutes.seconds, unit: seconds, optional: true}
      - metric: shop_read_bytes_total
        value: {path: bytes, unit: bytes}
        when: {attribute: subject, equals: reader}
      - metric: consign_session_duration_seconds
        labels: {role: {constant: shopper}}
        value: {path: people, unit: seconds}
      - metric: consign_app_starts_total
        labels: {component: sky.name}
`

func TestAnOperatorsOwnMapping(t *testing.T) {
	m, err := mapping.Parse("own.yml", []byte(ownMapping), catalog.Shipped())
	if err != nil {
		t.Fatal(err)
	}
	l := newAggregatorOf(t, m, Options{Start: start})
	s := l.Shard("t", 0)
	s.Assign(0, "")
	count := func(offset int64, value string, headers ...cloudevent.Header) Outcome {
		o, _ := s.Count(start, &cloudevent.Record{Value: []byte(value), Headers: headers, Offset: offset})
		return o
	}
	visit := func(subject, data string) string {
		return `{"specversion":"1.0","id":"1","source":"s","type":"shop.visit","subject":"` + subject + `","data":` + data + `}`
	}
	for i, tt := range []struct {
		value   string
		headers []cloudevent.Header
		want    Outcome
	}{
		{visit("reader", `{"people":3,"sky":{"rain":true,"name":"one"},"minutes":{"seconds":90},"bytes":1e6}`), []cloudevent.Header{{Key: []byte("door"), Value: []byte("back")}}, Counted},
		{visit("buyer", `{"people":1,"sky":{"rain":false,"name":"two"}}`), nil, Counted},
		{visit("buyer", `{"people":1}`), nil, Counted},
		{visit("reader", `{"people":1}`), nil, Malformed}, // the bytes are missing only for readers
		{visit("buyer", `{}`), nil, Malformed},
	} {
		if o := count(int64(i), tt.value, tt.headers...); o != tt.want {
			t.Errorf("record %d: %v, want %v", i, o, tt.want)
		}
	}
	page := scrape(t, l, start)
	want := map[string]float64{
		`shop_visits_total{door="back",weather="wet"}`:           3,
		`shop_visits_total{door="main",weather="dry"}`:           2,
		`shop_visit_duration_seconds_count{door="back"}`:         1,
		`shop_visit_duration_seconds_sum{door="back"}`:           90,
		`shop_read_bytes_total{}`:                                1e6,
		`consign_session_duration_seconds_count{role="shopper"}`: 3,
		`consign_session_duration_seconds_sum{role="shopper"}`:   5,
		`consign_app_starts_total{component="one"}`:              1,
		`consign_app_starts_total{component="other"}`:            2,
	}
	if diff := cmp.Diff(want, changes(page)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if got := flatten(page)[`consign_session_duration_seconds_bucket{role="shopper",le="2"}`]; got != 2 {
		t.Errorf("sessions up to the adjusted bound: %v, want 2", got)
	}
}
