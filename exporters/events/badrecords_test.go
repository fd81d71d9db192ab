package events_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/api"
	prometheusv1 "github.com/prometheus/client_golang/api/prometheus/v1"
	"github.com/prometheus/common/model"

	"github.com/consignwatch/consignwatch/exporters/events"
	"github.com/consignwatch/consignwatch/pkg/demo/servers"
	"github.com/consignwatch/consignwatch/pkg/demo/servers/kafka"
	"github.com/consignwatch/consignwatch/pkg/exporter/exportertest"
)

// personal is what must not leave a record, wherever it stands in it.
const personal = "jane.doe"

// badRecords are records that are not counted, with their outcome and reason. Each holds personal data.
var badRecords = []struct {
	outcome, reason string
	record          record
}{
	{"malformed", "truncated", record{value: `{"specversion":"1.0","id":"jane.doe@example.org","sou`}},
	{"malformed", "syntax", record{value: `{"specversion":"1.0","id":'jane.doe'}`}},
	{"malformed", "syntax", record{value: "jane.doe, bought, 3 items"}},
	{"malformed", "syntax", record{value: `["jane.doe"]`}},
	{"malformed", "empty", record{value: "", key: personal}},
	{"malformed", "too_deep", record{value: `{"jane.doe":` + strings.Repeat("[", 200) + strings.Repeat("]", 200) + "}"}},
	{"malformed", "repeated_key", record{value: `{"specversion":"1.0","id":"jane.doe","id":"jane.doe","source":"s","type":"consign.auth.token","data":{"result":"valid"}}`}},
	{"malformed", "data_base64", record{value: `{"specversion":"1.0","id":"jane.doe","source":"s","type":"consign.auth.token","data_base64":"amFuZS5kb2U="}`}},
	{"malformed", "specversion", record{value: `{"specversion":"jane.doe","id":"1","source":"s","type":"consign.auth.token","data":{}}`}},
	{"malformed", "attribute", record{value: `{"specversion":"1.0","id":"","source":"/jane.doe","type":"consign.auth.token","data":{}}`}},
	{"malformed", "attribute", record{value: `{"specversion":"1.0","id":"1","source":{"name":"jane.doe"},"type":"consign.auth.token","data":{}}`}},
	{"malformed", "content_type", record{value: "{}", headers: map[string]string{"content-type": "application/cloudevents+jane.doe"}}},
	{"malformed", "missing_value", record{value: structured("jane.doe", "consign.api.request", "jane.doe", `{"route":"/jane.doe","method":"GET","status":200}`)}},
	{"malformed", "not_a_number", record{value: structured("1", "consign.api.request", "anna", `{"route":"/","method":"GET","status":200,"duration_seconds":"jane.doe"}`)}},
	{"malformed", "not_an_integer", record{value: structured("1", "consign.order.placed", "anna", `{"event":"jane.doe","channel":"pos","amount_cents":12.5,"currency":"USD"}`)}},
	{"malformed", "below_zero", record{value: structured("1", "consign.order.placed", "anna", `{"event":"jane.doe","channel":"pos","amount_cents":-1,"currency":"USD"}`)}},
	{"malformed", "too_large", record{value: structured("1", "consign.order.placed", "anna", `{"event":"jane.doe","channel":"pos","amount_cents":1e300,"currency":"USD"}`)}},
	{"malformed", "currency", record{value: structured("1", "consign.order.placed", "anna", `{"event":"a","channel":"pos","amount_cents":1,"currency":"jane.doe"}`)}},
	{"unknown_type", "unknown_type", record{value: structured("1", "com.example.jane.doe", "anna", `{}`)}},
	{"oversized", "oversized", record{value: structured("1", "consign.auth.token", "anna", `{"result":"valid","more":"`+strings.Repeat("jane.doe ", 130_000)+`"}`)}},
	{"not_utf8", "not_utf8", record{value: structured("1", "consign.auth.token", "anna", "{\"result\":\"valid\",\"more\":\"jane.doe\xff\"}")}},
	{"not_utf8", "not_utf8", record{value: "{}", headers: map[string]string{"ce_specversion": "1.0", "ce_id": "jane.doe\xc3\x28"}}},
}

// logged is a line of the log about a record that was not counted.
type logged struct {
	Message   string `json:"msg"`
	Outcome   string
	Reason    string
	Problem   string
	Topic     string
	Partition int32
	Offset    int64
	Skipped   int `json:"not_logged_before"`
}

// notCounted reads the lines about records that were not counted from a log in JSON.
func notCounted(t *testing.T, log string) []logged {
	t.Helper()
	var all []logged
	for line := range strings.Lines(log) {
		var l logged
		if err := json.Unmarshal([]byte(line), &l); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		if l.Message == "record not counted" {
			all = append(all, l)
		}
	}
	return all
}

// TestEachKindOfBadRecordIsCountedAndLoggedAndNothingAfterItIsLost writes a good record behind each bad one.
func TestEachKindOfBadRecordIsCountedAndLoggedAndNothingAfterItIsLost(t *testing.T) {
	t.Parallel()
	b := startBroker(t, kafka.Config{})
	var all []record
	want := map[string]float64{requests("anna"): float64(len(badRecords))}
	var wantLog []logged
	for i, bad := range badRecords {
		r := bad.record
		r.topic, r.partition = telemetry, 1
		good := request("anna")
		good.partition = 1
		all = append(all, r, good)
		want[fmt.Sprintf(`consignwatch_records_total{outcome=%q,topic=%q}`, bad.outcome, telemetry)]++
		want[fmt.Sprintf(`consignwatch_records_total{outcome="counted",topic=%q}`, telemetry)]++
		wantLog = append(wantLog, logged{Message: "record not counted", Outcome: bad.outcome, Reason: bad.reason, Topic: telemetry, Partition: 1, Offset: int64(2 * i)})
	}
	write(t, b, all...)
	r := follow(t, b.Address(), "", "--log.format=json")
	r.await(t, want)
	lines := notCounted(t, r.Log())
	for i := range lines {
		if lines[i].Problem == "" {
			t.Errorf("offset %d: the log does not say what is wrong", lines[i].Offset)
		}
		lines[i].Problem = ""
	}
	if diff := cmp.Diff(wantLog, lines); diff != "" {
		t.Errorf("-want +logged:\n%s", diff)
	}
	for what, text := range map[string]string{"the log": r.Log(), "the scrape response": everyFormat(t, r)} {
		if strings.Contains(text, personal) {
			t.Errorf("%s holds personal data:\n%s", what, text)
		}
	}
}

// everyFormat is the exposition in text and in OpenMetrics.
func everyFormat(t *testing.T, r *inProcess) string {
	t.Helper()
	_, text := r.Get(t, "/metrics")
	_, om := r.Get(t, "/metrics", "Accept: application/openmetrics-text;version=1.0.0")
	return text + om
}

// TestAFloodOfBadRecordsDoesNotFloodTheLog writes many bad records at once: the log says a few of them, and of the
// others how many there were.
func TestAFloodOfBadRecordsDoesNotFloodTheLog(t *testing.T) {
	t.Parallel()
	const flood = 20_000
	b := startBroker(t, kafka.Config{})
	begin := time.Now()
	r := follow(t, b.Address(), "", "--log.format=json")
	malformed := fmt.Sprintf(`consignwatch_records_total{outcome="malformed",topic=%q}`, telemetry)
	write(t, b, times(flood, record{topic: telemetry, value: "no JSON"})...)
	r.await(t, map[string]float64{malformed: flood})
	logged := len(notCounted(t, r.Log()))
	if most := 50 + int(5*time.Since(begin).Seconds()) + 1; logged > most {
		t.Errorf("%d lines were logged for %d bad records, want at most %d", logged, flood, most)
	}
	// The first one that is logged again says how many were not.
	total := 1.0
	r.awaitThat(t, "one more line", func(map[string]float64) bool {
		lines := notCounted(t, r.Log())
		if lines[len(lines)-1].Skipped > 0 && lines[len(lines)-1].Offset >= flood {
			return true
		}
		write(t, b, record{topic: telemetry, value: "no JSON"})
		total++
		return false
	})
	lines := notCounted(t, r.Log())
	n := len(lines)
	for _, l := range lines {
		n += l.Skipped
	}
	if last := lines[len(lines)-1].Offset; int64(n) != last+1 {
		t.Errorf("the log accounts for %d records up to offset %d, want %d", n, last, last+1)
	}
}

// anyLabelMapping is the shipped mapping with a metric whose label takes anything.
var anyLabelMapping = `
declare:
  - name: anything_total
    type: counter
    unit: count
    help: "Anything, with \"quotes\", a backslash \\ and\na line break."
    labels: [{name: thing, pattern: "(?s).*", max_length: 30000, limit: 1000}]
` + strings.Replace(string(events.DefaultMapping()), "\nevents:\n", `
events:
  - {type: any.thing, feeds: [{metric: anything_total, labels: {thing: thing}}]}
`, 1)

// TestNoLabelValueCanBreakTheExposition feeds hostile values to every label of two kinds of events: to the shipped mapping,
// and to one with a label that takes anything.
func TestNoLabelValueCanBreakTheExposition(t *testing.T) {
	t.Parallel()
	hostile := []string{
		`"`, `\`, `\\`, `"} 1`, "a\nb", "\n# TYPE consign_x counter\nconsign_x 1\n", "\r\n", "\x00", "\x01\x02\x1f", "\x7f", "\t", "\u2028\u2029", "\u0085",
		"{}", `{__name__="x"}`, `x",y="z`, "# EOF", "NaN", "<script>alert(1)</script>", "../../etc/passwd", "%n%s%x", "'; DROP TABLE items; --",
		strings.Repeat("a", 10_000), strings.Repeat("é", 5_000), "Zoë", "日本", "\U0001f4a9", "e\u0301", "\u202eabc", "\ufeff", "\ufffd", " ", "_platform", "other", "__name__", "le", "jane@example.org", "+1 555 0100",
	}
	b := startBroker(t, kafka.Config{})
	var all []record
	add := func(typ, client, data string) {
		all = append(all, record{topic: telemetry, value: structured(fmt.Sprint(len(all)), typ, client, data)})
	}
	for _, h := range hostile {
		q := quote(h)
		add("any.thing", "anna", `{"thing":`+q+`}`)
		add("consign.error.raised", "anna", `{"category":`+q+`,"kind":`+q+`,"component":`+q+`,"user_visible":true,"feature":`+q+`}`)
		add("consign.order.placed", "anna", `{"event":`+q+`,"channel":`+q+`,"amount_cents":1,"currency":"USD"}`)
		add("consign.api.request", "anna", `{"route":`+q+`,"method":`+q+`,"status":`+q+`,"duration_seconds":1}`)
		all = append(all, record{topic: telemetry, value: strings.Replace(structured("1", "any.thing", "CLIENT", `{"thing":"x"}`), `"CLIENT"`, q, 1)})
		all = append(all, record{topic: telemetry, value: `{"route":"/","method":"GET","status":200,"duration_seconds":1}`, headers: map[string]string{
			"ce_specversion": "1.0", "ce_id": "1", "ce_source": "/s", "ce_type": "consign.api.request", "ce_clientid": h, "ce_traceparent": h, "ce_time": h,
		}})
	}
	add("any.thing", "anna", `{"thing":"\ud800"}`) // half a surrogate pair
	add("any.thing", "anna", `{"thing":"\ud83d\udca9\u0000\udc00"}`)
	for _, raw := range []string{"\xff", "\xc3\x28", "a\xed\xa0\x80b", "\xf0\x9f\x92"} { // not UTF-8
		add("any.thing", "anna", `{"thing":"`+raw+`"}`)
	}
	write(t, b, all...)
	dir := folder(t, map[string]string{"mapping.yml": anyLabelMapping, "config.yml": followConfig(b.Address(), "mapping_file: mapping.yml\n")})
	r := followFile(t, dir+"/config.yml")
	got := r.await(t, map[string]float64{
		fmt.Sprintf(`consignwatch_records_total{outcome="counted",topic=%q}`, telemetry):  float64(len(all) - 4),
		fmt.Sprintf(`consignwatch_records_total{outcome="not_utf8",topic=%q}`, telemetry): 4,
	})
	values := map[string]bool{}
	for name := range got {
		if strings.HasPrefix(name, "anything_total{") {
			values[name] = true
		}
	}
	if len(values) < len(hostile) { // the mapping lets them all in: only so is the escaping tested
		t.Errorf("%d values of the label that takes anything are in the scrape response, want at least %d", len(values), len(hostile))
	}
	pages := readBy(t, r)
	for _, format := range []string{"OpenMetricsText1.0.0", "PrometheusProto"} {
		if diff := cmp.Diff(pages["PrometheusText0.0.4"], pages[format]); diff != "" {
			t.Errorf("-text +%s:\n%s", format, diff)
		}
	}
}

// quote writes a string in JSON, with characters as they are where JSON allows it.
func quote(s string) string {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	_ = e.Encode(s)
	return strings.TrimSuffix(b.String(), "\n")
}

// readBy lets a Prometheus read the exposition in each of its formats, where one bad line would lose all of it. It returns
// the counters of the stream that Prometheus has, by format and series.
func readBy(t *testing.T, r *inProcess) map[string]map[string]string {
	t.Helper()
	formats := []string{"PrometheusText0.0.4", "OpenMetricsText1.0.0", "PrometheusProto"}
	p, err := servers.StartPrometheus(t.Context(), t.TempDir(), servers.PrometheusConfig{Text: func(string) (string, error) {
		text := "global: {scrape_interval: 1s}\nscrape_configs:\n"
		for _, format := range formats {
			text += fmt.Sprintf("  - {job_name: %q, scrape_protocols: [%s], static_configs: [{targets: [%q]}]}\n", format, format, strings.TrimPrefix(r.URL, "http://"))
		}
		return text, nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Kill() })
	client, err := api.NewClient(api.Config{Address: p.URL()})
	if err != nil {
		t.Fatal(err)
	}
	query := func(q string) model.Vector {
		v, _, _, err := prometheusv1.NewAPI(client).Query(t.Context(), q, time.Time{})
		if err != nil {
			t.Fatal(err)
		}
		return v.(model.Vector)
	}
	await(t, "Prometheus reads the scrape response in every format", func() bool { return len(query("sum(up) == 3")) == 1 })
	pages := map[string]map[string]string{}
	for _, s := range query(`{__name__=~"anything_total|consign_.+_total"}`) {
		for name, value := range s.Metric {
			v := string(value)
			if !utf8.ValidString(v) || s.Metric["__name__"] != "anything_total" && (strings.ContainsAny(v, "\"\\\n\x00<'% ") || strings.Contains(v, "jane@") || len(v) > 200) {
				t.Errorf("%s took the value %q for %s", s.Metric["__name__"], v, name)
			}
		}
		format := string(s.Metric["job"])
		delete(s.Metric, "job")
		delete(s.Metric, "instance")
		if pages[format] == nil {
			pages[format] = map[string]string{}
		}
		pages[format][s.Metric.String()] = s.Value.String()
	}
	if len(pages) != len(formats) {
		t.Errorf("%d formats, want %d", len(pages), len(formats))
	}
	return pages
}

// TestExemplarsAndStartTimesReachTheScraper looks at what leaves the process, in both formats that can hold them.
func TestExemplarsAndStartTimesReachTheScraper(t *testing.T) {
	t.Parallel()
	b := startBroker(t, kafka.Config{})
	begin := time.Now().Add(-time.Second)
	const trace = "0af7651916cd43dd8448eb211c80319c"
	traced := request("anna")
	traced.value = strings.Replace(traced.value, `"data":`, `"traceparent":"00-`+trace+`-b7ad6b7169203331-01","data":`, 1)
	write(t, b, traced)
	r := follow(t, b.Address(), "")
	r.await(t, map[string]float64{requests("anna"): 1})
	_, om := r.Get(t, "/metrics", "Accept: application/openmetrics-text;version=1.0.0")
	for _, want := range []string{
		`consign_client_api_requests_created{client="anna",code_class="2xx"} 1`,
		`consign_client_api_request_duration_seconds_created{client="anna"} 1`,
		`# {span_id="b7ad6b7169203331",trace_id="` + trace + `"} 0.25 1`,
	} {
		if !strings.Contains(om, want) {
			t.Errorf("OpenMetrics lacks %s", want)
		}
	}
	exemplars, created := 0, 0
	for _, mf := range r.Families(t) {
		if !strings.HasPrefix(mf.GetName(), "consign_") {
			continue
		}
		for _, m := range mf.Metric {
			name := exportertest.Name(mf.GetName(), m)
			if c := m.GetCounter(); c != nil {
				if at := c.CreatedTimestamp.AsTime(); at.Before(begin) || at.After(time.Now()) {
					t.Errorf("%s counts since %v", name, at)
				}
				created++
			}
			if h := m.GetHistogram(); h != nil {
				for _, bucket := range h.Bucket {
					if bucket.Exemplar != nil {
						exemplars++
					}
				}
				if h.CreatedTimestamp == nil {
					t.Errorf("%s has no start time", name)
				}
			}
		}
	}
	if exemplars != 2 || created == 0 {
		t.Errorf("%d exemplars and %d start times in protobuf, want 2 and many", exemplars, created)
	}
}
