package aggregate

import (
	"bytes"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"google.golang.org/protobuf/encoding/protodelim"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/consignwatch/consignwatch/exporters/events/internal/cloudevent"
	"github.com/consignwatch/consignwatch/exporters/events/internal/eventtest"
	"github.com/consignwatch/consignwatch/pkg/catalog"
	"github.com/consignwatch/consignwatch/pkg/executable"
	"github.com/consignwatch/consignwatch/pkg/golden"
)

// openMetrics writes an exposition as Prometheus would be served it, with start timestamps and exemplars.
func openMetrics(t testing.TB, families []*dto.MetricFamily) []byte {
	t.Helper()
	var b bytes.Buffer
	for _, mf := range families {
		if _, err := expfmt.MetricFamilyToOpenMetrics(&b, mf, expfmt.WithCreatedLines()); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := expfmt.FinalizeOpenMetrics(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// goldenFamilies are made by one event of each kind, over two partitions and two clients, all with a trace.
func goldenFamilies(t *testing.T) []*dto.MetricFamily {
	t.Helper()
	l := newAggregator(t, Options{})
	l.SetInventory([]string{"anna", "bert"})
	var shards []*Shard
	for p := range int32(2) {
		s := l.Shard("consign.telemetry", p)
		s.Assign(100, []string{"4f8a1c52-93b7-4d0e-a6f1-2c5e7d90b384", ""}[p])
		s.SetEnd(1000)
		shards = append(shards, s)
	}
	for i, tt := range eventtest.Contract {
		client := []string{"anna", "bert"}[i%2]
		value := strings.Replace(eventtest.Traced(tt.Type, client, tt.Data, eventtest.Trace), "id-1", fmt.Sprint("id-", i), 1)
		if o, p := shards[i%2].Count(start, &cloudevent.Record{Value: []byte(value), Offset: int64(100 + i), Timestamp: start.UnixMilli() - 250}); o != Counted {
			t.Fatal(o, p)
		}
	}
	shards[0].Count(start, &cloudevent.Record{Value: []byte("{"), Offset: 900})
	return scrape(t, l, start)
}

// TestTheScrapeResponseIsAsRecorded compares an exposition with what it was before, in every format. Protobuf, which alone can be compared as
// messages, is kept as it goes over the wire.
func TestTheScrapeResponseIsAsRecorded(t *testing.T) {
	page := goldenFamilies(t)
	for file, encode := range map[string]func(testing.TB, []*dto.MetricFamily) []byte{"scrape_response.om": openMetrics, "scrape_response.txt": plainText, "scrape_response.pb": delimited} {
		got := encode(t, page)
		want := golden.Read(t, "testdata/"+file, got)
		diff := ""
		if file == "scrape_response.pb" {
			diff = cmp.Diff(undelimited(t, want), undelimited(t, got), protocmp.Transform())
		} else {
			diff = cmp.Diff(strings.Split(string(want), "\n"), strings.Split(string(got), "\n"))
		}
		if diff != "" {
			t.Errorf("%s: -want +got (go test -run Golden -update writes it anew):\n%s", file, diff)
		}
	}
}

// plainText writes an exposition in the text format, which has neither exemplars nor start timestamps.
func plainText(t testing.TB, families []*dto.MetricFamily) []byte {
	t.Helper()
	var b bytes.Buffer
	for _, mf := range families {
		if _, err := expfmt.MetricFamilyToText(&b, mf); err != nil {
			t.Fatal(err)
		}
	}
	return b.Bytes()
}

// delimited writes an exposition in protobuf.
func delimited(t testing.TB, families []*dto.MetricFamily) []byte {
	t.Helper()
	var b bytes.Buffer
	for _, mf := range families {
		if _, err := protodelim.MarshalTo(&b, mf); err != nil {
			t.Fatal(err)
		}
	}
	return b.Bytes()
}

func undelimited(t testing.TB, page []byte) []*dto.MetricFamily {
	t.Helper()
	var families []*dto.MetricFamily
	for r := bytes.NewReader(page); r.Len() > 0; {
		mf := &dto.MetricFamily{}
		if err := protodelim.UnmarshalFrom(r, mf); err != nil {
			t.Fatal(err)
		}
		families = append(families, mf)
	}
	return families
}

// TestPromtoolFindsNothingWrongWithTheExposition lints the metrics as Prometheus wants them.
func TestPromtoolFindsNothingWrongWithTheExposition(t *testing.T) {
	promtool, err := executable.Find("promtool")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), promtool, "check", "metrics")
	cmd.Stdin = bytes.NewReader(plainText(t, goldenFamilies(t)))
	if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestExpositionsAreSortedAndValid(t *testing.T) {
	l := newAggregator(t, Options{})
	f := newFeeder(t, l)
	for i := range 50 {
		f.count("consign.feature.used", fmt.Sprintf("c%d", 97*i%50), fmt.Sprintf(`{"feature":"f%d","role":"shopper"}`, 31*i%50))
		if i%10 == 0 {
			scrape(t, l, start) // series are added to expositions that exist
		}
	}
	page := scrape(t, l, start)
	if !slices.IsSortedFunc(page, func(a, b *dto.MetricFamily) int { return strings.Compare(a.GetName(), b.GetName()) }) {
		t.Error("the families are not in the order of their names")
	}
	for _, mf := range page {
		decl, ok := catalog.Shipped().Lookup(mf.GetName())
		if !ok || decl.Help != mf.GetHelp() {
			t.Errorf("%s: not as it is declared", mf.GetName())
			continue
		}
		// Series stand in the order of their label values as they are declared.
		var values [][]string
		for _, m := range mf.Metric {
			if !slices.IsSortedFunc(m.Label, func(a, b *dto.LabelPair) int { return strings.Compare(a.GetName(), b.GetName()) }) {
				t.Errorf("%s: labels are not sorted: %v", mf.GetName(), m.Label)
			}
			var v []string
			for _, name := range decl.LabelNames() {
				for _, l := range m.Label {
					if l.GetName() == name {
						v = append(v, l.GetValue())
					}
				}
			}
			values = append(values, v)
		}
		if !slices.IsSortedFunc(values, slices.Compare[[]string]) {
			t.Errorf("%s: series are not sorted: %v", mf.GetName(), values)
		}
	}
	var b bytes.Buffer
	for _, mf := range page {
		if _, err := expfmt.MetricFamilyToText(&b, mf); err != nil {
			t.Fatal(err)
		}
		if _, err := proto.Marshal(mf); err != nil {
			t.Fatal(err)
		}
	}
}

func TestASeriesCountsSinceTheScrapeBeforeItAppeared(t *testing.T) {
	l := newAggregator(t, Options{})
	f := newFeeder(t, l)
	use := func(feature string) {
		f.count("consign.feature.used", "anna", `{"feature":"`+feature+`","role":"shopper"}`)
	}
	since := func(sc []*dto.MetricFamily, feature string) time.Duration {
		return createdOf(sc, "consign_feature_uses_total", feature).Sub(start)
	}
	use("one")
	first := scrape(t, l, start.Add(15*time.Second))
	if got := since(first, "one"); got != 0 {
		t.Errorf("in the first scrape: since %v after the start, want the start", got)
	}
	use("two")
	sc, err := l.StartScrape(start.Add(30*time.Second), 0)
	if err != nil {
		t.Fatal(err)
	}
	sc.Unknown()
	use("three")
	third := scrape(t, l, start.Add(45*time.Second))
	for feature, want := range map[string]time.Duration{"one": 0, "two": 15 * time.Second, "three": 30 * time.Second} {
		if got := since(third, feature); got != want {
			t.Errorf("%s: since %v after the start, want %v", feature, got, want)
		}
	}
	if got := createdOf(third, "consign_token_validations_total", "expired").Sub(start); got != 0 {
		t.Errorf("a known series: since %v after the start, want the start", got)
	}
}

func TestKnownSeriesBeginAtZero(t *testing.T) {
	l := newAggregator(t, Options{})
	l.SetInventory([]string{"anna"})
	got := flatten(scrape(t, l, start))
	for _, line := range []string{
		`consign_token_validations_total{result="malformed"}`,
		`consign_security_violations_total{client="anna",kind="brute_force"}`,
		`consign_client_api_requests_total{client="anna",code_class="5xx"}`,
		`consign_process_duration_seconds_count{process="pickup"}`,
		`consign_dropoff_duration_seconds_sum{}`,
	} {
		if v, ok := got[line]; !ok || v != 0 {
			t.Errorf("%s: %v, %v, want 0", line, v, ok)
		}
	}
	for line := range got {
		if strings.HasPrefix(line, "consign_db_pool") || strings.HasPrefix(line, "consignwatch_offset") || strings.HasPrefix(line, "consign_api_requests") {
			t.Errorf("%s is not known, but in the scrape response", line)
		}
	}
}

func TestExemplars(t *testing.T) {
	request := func(trace string, seconds float64) string {
		return eventtest.Traced("consign.api.request", "anna", fmt.Sprintf(`{"route":"/","method":"GET","status":200,"duration_seconds":%v}`, seconds), trace)
	}
	l := newAggregator(t, Options{})
	s := l.Shard("t", 0)
	s.Assign(0, "")
	old := strings.Replace(eventtest.Trace, "0af7", "1111", 1)
	for i, value := range []string{
		request(old, 0.15), request(eventtest.Trace, 0.16), // the last one of a bucket stays
		request(strings.Replace(eventtest.Trace, "-01", "-00", 1), 0.7),                             // not sampled
		request(strings.ToUpper(eventtest.Trace), 1.5),                                              // not as W3C wants it
		request("00-00000000000000000000000000000000-b7ad6b7169203331-01", 3),                       // no trace
		request(`00-0af7651916cd43dd8448eb211c80\"\u00e9c-b7ad6b7169203331-01`, 7), request("x", 8), // nonsense
		request(old, 100), // beyond the last bound
	} {
		if o, p := s.Count(start, &cloudevent.Record{Value: []byte(value), Offset: int64(i), Timestamp: start.UnixMilli() - 1500}); o != Counted {
			t.Fatal(o, p)
		}
	}
	got := map[string]string{}
	for _, mf := range scrape(t, l, start) {
		if mf.GetName() != "consign_api_request_duration_seconds" {
			continue
		}
		for _, b := range mf.Metric[0].Histogram.Bucket {
			if e := b.Exemplar; e != nil {
				got[fmt.Sprint(b.GetUpperBound())] = fmt.Sprintf("%s=%s %s=%s %v %v", e.Label[0].GetName(), e.Label[0].GetValue(), e.Label[1].GetName(), e.Label[1].GetValue(), e.GetValue(), e.Timestamp.AsTime().Sub(start))
			}
		}
	}
	want := map[string]string{
		"0.2":  "span_id=b7ad6b7169203331 trace_id=0af7651916cd43dd8448eb211c80319c 0.16 -1.5s",
		"+Inf": "span_id=b7ad6b7169203331 trace_id=1111651916cd43dd8448eb211c80319c 100 -1.5s",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestStreamMetrics(t *testing.T) {
	l := newAggregator(t, Options{})
	s := l.Shard("consign.commerce", 3)
	s.Assign(500, "")
	s.SetEnd(510)
	order := eventtest.Event("consign.order.placed", "anna", `{"event":"spring","channel":"pos","amount_cents":100,"currency":"USD"}`)
	for i, value := range []string{order, order, "{", eventtest.Event("unknown.type", "anna", "{}"), "\xff", strings.Repeat(" ", 2<<20)} {
		s.Count(start, &cloudevent.Record{Value: []byte(value), Offset: 500 + int64(i)})
	}
	if o, _ := s.Count(start, &cloudevent.Record{Value: []byte(order), Offset: 503}); o != AlreadyCounted {
		t.Errorf("a record that was there before: %v", o)
	}
	got := flatten(scrape(t, l, start))
	for line, want := range map[string]float64{
		`consignwatch_records_total{outcome="counted",topic="consign.commerce"}`:      1,
		`consignwatch_records_total{outcome="duplicate",topic="consign.commerce"}`:    1,
		`consignwatch_records_total{outcome="malformed",topic="consign.commerce"}`:    1,
		`consignwatch_records_total{outcome="unknown_type",topic="consign.commerce"}`: 1,
		`consignwatch_records_total{outcome="not_utf8",topic="consign.commerce"}`:     1,
		`consignwatch_records_total{outcome="oversized",topic="consign.commerce"}`:    1,
		`consignwatch_offset{partition="3",topic="consign.commerce"}`:                 506,
		`consignwatch_records_lag{partition="3",topic="consign.commerce"}`:            4,
		`consignwatch_record_delay_seconds_count{topic="consign.commerce"}`:           3,
		`consignwatch_record_delay_seconds_sum{topic="consign.commerce"}`:             1.5,
		`consignwatch_last_record_timestamp_seconds{topic="consign.commerce"}`:        float64(start.UnixMilli()-500) / 1000,
	} {
		if got[line] != want {
			t.Errorf("%s = %v, want %v", line, got[line], want)
		}
	}
	// The topic was made anew: its offset has the new id only.
	for id, want := range map[string]string{
		"6d1c0b7e-52a4-4f39-8e10-b94d3ac6f2e7": `consignwatch_offset{partition="3",topic="consign.commerce",topic_id="6d1c0b7e-52a4-4f39-8e10-b94d3ac6f2e7"}`,
		"":                                     `consignwatch_offset{partition="3",topic="consign.commerce"}`,
	} {
		s.Assign(0, id)
		var got []string
		for line := range flatten(scrape(t, l, start)) {
			if strings.HasPrefix(line, "consignwatch_offset") {
				got = append(got, line)
			}
		}
		if diff := cmp.Diff([]string{want}, got); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
	}
	s.Revoke()
	for line := range flatten(scrape(t, l, start)) {
		if strings.HasPrefix(line, "consignwatch_offset") || strings.HasPrefix(line, "consignwatch_records_lag") {
			t.Errorf("%s is there without the partition", line)
		}
	}
}

// benchmarkAggregator has about 20,000 series as Prometheus counts them, in 4 partitions.
func benchmarkAggregator(b *testing.B) *Aggregator {
	l := newAggregator(b, Options{})
	series := func() int {
		n := 0
		for _, mf := range scrape(b, l, start) {
			for _, m := range mf.Metric {
				n++
				if m.Histogram != nil {
					n += len(m.Histogram.Bucket) + 1
				}
			}
		}
		return n
	}
	var shards []*Shard
	for p := range int32(4) {
		s := l.Shard("t", p)
		s.Assign(0, "")
		shards = append(shards, s)
	}
	offset := int64(0)
	for n := series(); n < 20_000; n = series() {
		for range 20 {
			client := fmt.Sprintf("client-%d", offset)
			for _, tt := range eventtest.Contract {
				offset++
				s := shards[offset%4]
				if o, p := s.Count(start, &cloudevent.Record{Value: []byte(eventtest.EventID(fmt.Sprint(offset), tt.Type, client, tt.Data)), Offset: offset}); o != Counted {
					b.Fatal(o, p)
				}
			}
		}
	}
	return l
}

func BenchmarkGather20000Series(b *testing.B) {
	l := benchmarkAggregator(b)
	now := start
	b.ReportAllocs()
	for b.Loop() {
		now = now.Add(time.Second)
		scrape(b, l, now)
	}
}
