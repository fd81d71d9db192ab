package aggregate

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	dto "github.com/prometheus/client_model/go"

	"github.com/consignwatch/consignwatch/exporters/events/internal/cloudevent"
	"github.com/consignwatch/consignwatch/exporters/events/internal/eventtest"
	"github.com/consignwatch/consignwatch/pkg/catalog"
	"github.com/consignwatch/consignwatch/test/seed"
)

// feeder counts events one after the other.
type feeder struct {
	t      testing.TB
	shard  *Shard
	offset int64
	now    time.Time
}

func newFeeder(t testing.TB, l *Aggregator) *feeder {
	s := l.Shard("t", 0)
	s.Assign(0, "")
	return &feeder{t: t, shard: s, now: start}
}

func (f *feeder) count(typ, client, data string) {
	f.t.Helper()
	f.offset++
	if o, p := f.shard.Count(f.now, &cloudevent.Record{Value: []byte(eventtest.EventID(fmt.Sprint(f.offset), typ, client, data)), Offset: f.offset}); o != Counted {
		f.t.Fatalf("%v: %v", o, p)
	}
}

func TestTheFirstValuesAreAdmittedAndKeepTheirPlaces(t *testing.T) {
	l := newAggregator(t, Options{})
	f := newFeeder(t, l)
	for round := range 2 {
		for i := range 30 { // of 20 categories
			f.count("consign.item.listed", "anna", fmt.Sprintf(`{"event":"spring","category":"c%d"}`, i))
		}
		got := changes(scrape(t, l, start))
		want := float64(round + 1)
		if got[`consign_category_items_total{category="c0",change="listed"}`] != want ||
			got[`consign_category_items_total{category="c19",change="listed"}`] != want ||
			got[`consign_category_items_total{category="other",change="listed"}`] != 10*want {
			t.Errorf("round %d: %v", round, got)
		}
	}
}

func TestClientsOfTheInventoryComeFirstAndOthersShareOneSeries(t *testing.T) {
	l := newAggregator(t, Options{Sizes: catalog.SizesFor(3)})
	f := newFeeder(t, l)
	const use, data = "consign.feature.used", `{"feature":"search","role":"shopper"}`
	f.count(use, "early", data)
	rejected := l.SetInventory([]string{"anna", "Not A Slug", "bert", "one-too-many"})
	if fmt.Sprint(rejected) != "[Not A Slug one-too-many]" {
		t.Errorf("refused: %v", rejected)
	}
	for _, client := range []string{"early", "anna", "bert", "one-too-many", "stranger", "stranger", ""} {
		f.count(use, client, data)
	}
	got := changes(scrape(t, l, start))
	for client, want := range map[string]float64{"early": 2, "anna": 1, "bert": 1, "other": 3, "_platform": 1, "stranger": 0} {
		if n := got[fmt.Sprintf(`consign_client_feature_uses_total{client=%q}`, client)]; n != want {
			t.Errorf("client %s: %v, want %v", client, n, want)
		}
	}
}

// A client who is new to the inventory gets its own series from then on.
func TestANewClientHasItsOwnSeriesAfterTheInventoryHasIt(t *testing.T) {
	l := newAggregator(t, Options{})
	f := newFeeder(t, l)
	const use, data = "consign.feature.used", `{"feature":"search","role":"shopper"}`
	l.SetInventory([]string{"anna"})
	f.count(use, "bert", data)
	l.SetInventory([]string{"anna", "bert"})
	f.count(use, "bert", data)
	got := changes(scrape(t, l, start))
	if got[`consign_client_feature_uses_total{client="bert"}`] != 1 || got[`consign_client_feature_uses_total{client="other"}`] != 1 {
		t.Errorf("%v", got)
	}
}

func TestAClientHasFiveSaleEventsAtATime(t *testing.T) {
	l := newAggregator(t, Options{})
	f := newFeeder(t, l)
	for _, client := range []string{"anna", "bert"} {
		for i := range 7 {
			f.count("consign.dropoff.scheduled", client, fmt.Sprintf(`{"event":"sale-%d"}`, i))
		}
	}
	got := changes(scrape(t, l, start))
	for _, client := range []string{"anna", "bert"} {
		for i, want := range []float64{1, 1, 1, 1, 1, 0, 0} {
			if n := got[fmt.Sprintf(`consign_dropoffs_total{client=%q,event="sale-%d",outcome="scheduled"}`, client, i)]; n != want {
				t.Errorf("%s, sale %d: %v, want %v", client, i, n, want)
			}
		}
		if n := got[fmt.Sprintf(`consign_dropoffs_total{client=%q,event="other",outcome="scheduled"}`, client)]; n != 2 {
			t.Errorf("%s, other sales: %v, want 2", client, n)
		}
	}
}

// A sale event ends 14 days after its last record, as deliveries tell the time.
func TestASaleEventIsEvicted14DaysAfterItsLastRecord(t *testing.T) {
	l := newAggregator(t, Options{})
	f := newFeeder(t, l)
	dropOff := func(event string) { f.count("consign.dropoff.scheduled", "anna", fmt.Sprintf(`{"event":%q}`, event)) }
	for i := range 5 {
		dropOff(fmt.Sprintf("sale-%d", i))
	}
	dropOff("sale-5") // no place left
	scrape(t, l, f.now)
	f.now = f.now.Add(13 * 24 * time.Hour)
	dropOff("sale-1")
	scrape(t, l, f.now)
	dropOff("sale-2") // not delivered before it would be evicted
	f.now = f.now.Add(2 * 24 * time.Hour)
	if n := l.Evict(); n != 0 {
		t.Fatalf("%d sale events are evicted, while the values of the last 14 days are not delivered", n)
	}
	sc, err := l.StartScrape(f.now, 0)
	if err != nil {
		t.Fatal(err)
	}
	dropOff("sale-0") // counted beside the scrape, and not delivered
	if n := l.Evict(); n != 0 {
		t.Fatalf("%d sale events are evicted while a scrape is in flight", n)
	}
	sc.Delivered()
	if n := l.Evict(); n != 2 {
		t.Fatalf("%d sale events are evicted, want 2: 3 and 4", n)
	}
	dropOff("sale-5")
	dropOff("sale-1")
	f.now = f.now.Add(time.Minute)
	page := scrape(t, l, f.now)
	got := changes(page)
	want := map[string]float64{"sale-0": 2, "sale-1": 3, "sale-2": 2, "sale-3": 0, "sale-4": 0, "sale-5": 1, "other": 1}
	for event, n := range want {
		if got[fmt.Sprintf(`consign_dropoffs_total{client="anna",event=%q,outcome="scheduled"}`, event)] != n {
			t.Errorf("%s is not %v in %v", event, n, got)
		}
	}
	// It returns with a new start timestamp.
	dropOff("sale-3")
	families := scrape(t, l, f.now.Add(time.Minute))
	if since := createdOf(families, "consign_dropoffs_total", "sale-3"); !since.Equal(f.now) {
		t.Errorf("sale-3 counts since %v, want the last scrape, %v", since, f.now)
	}
	if n := changes(families)[`consign_dropoffs_total{client="anna",event="sale-3",outcome="scheduled"}`]; n != 1 {
		t.Errorf("sale-3 is %v, want 1: it begins again", n)
	}
}

// The places of an open label are taken, by routes that nobody asks for any more. A day after their last record others get
// them; the ones that are in use, and those of the configuration, stay.
func TestAnIdleRouteGivesItsPlaceBackAfterADay(t *testing.T) {
	l := newAggregatorOf(t, parsed(t, strings.Replace(shippedText(t), "known:\n", "known:\n  - {metric: consign_api_request_duration_seconds, labels: {route: /health}}\n", 1)), Options{Start: start})
	f := newFeeder(t, l)
	requests := func(from, to int) {
		for i := from; i < to; i++ {
			f.count("consign.api.request", "anna", fmt.Sprintf(`{"route":"/old/r%d","method":"GET","status":200,"duration_seconds":0.5}`, i))
		}
	}
	routes := func(families []*dto.MetricFamily) (n, other float64, known bool) {
		for line, v := range flatten(families) {
			if !strings.HasPrefix(line, "consign_api_request_duration_seconds_count") {
				continue
			}
			n++
			switch {
			case strings.Contains(line, "other"):
				other = v
			case strings.Contains(line, "/health"):
				known = true
			}
		}
		return n, other, known
	}
	requests(0, 58) // of 60, one of which is reserved
	scrape(t, l, f.now)
	f.now = f.now.Add(25 * time.Hour)
	scrape(t, l, f.now)
	if n := l.Evict(); n != 0 {
		t.Fatalf("%d routes are evicted although there is a place left", n)
	}
	requests(58, 60) // the last place, and none
	requests(0, 10)
	scrape(t, l, f.now)
	if n := l.Evict(); n != 48 {
		t.Fatalf("%d routes are evicted, want 48: 10 are in use, one is new", n)
	}
	requests(59, 60)
	requests(20, 30)
	if n, other, known := routes(scrape(t, l, f.now.Add(time.Minute))); n != 10+2+10+1+1 || other != 1 || !known {
		t.Errorf("%v routes, %v requests to others, the one of the configuration is there: %v; want 24, 1, true", n, other, known)
	}
}

// A client without the inventory is a value of an open label, too. Its sale events go with it.
func TestAnIdleClientGivesItsPlaceBackAfterADay(t *testing.T) {
	l := newAggregator(t, Options{Sizes: catalog.SizesFor(2)})
	f := newFeeder(t, l)
	placed := func(client string) {
		f.count("consign.order.placed", client, `{"event":"autumn","channel":"pos","amount_cents":100,"currency":"EUR"}`)
	}
	placed("anna")
	placed("berta")
	placed("") // the platform itself needs no place
	scrape(t, l, f.now)
	f.now = f.now.Add(25 * time.Hour)
	placed("berta")
	scrape(t, l, f.now)
	if n := l.Evict(); n != 2 {
		t.Fatalf("%d values are evicted, want 2: anna and her sale event", n)
	}
	placed("carla")
	got := changes(scrape(t, l, f.now.Add(time.Minute)))
	for client, want := range map[string]float64{"anna": 0, "berta": 2, "carla": 1, "_platform": 1} {
		if n := got[fmt.Sprintf(`consign_orders_total{channel="pos",client=%q,event="autumn"}`, client)]; n != want {
			t.Errorf("orders of %s: %v, want %v", client, n, want)
		}
	}
}

// Ids, tokens and names that a producer has left in a route, a feature or a template become no label value. What clients and
// sale events are called is their own business.
func TestIdentifyingLabelValuesBecomeOther(t *testing.T) {
	l := newAggregator(t, Options{})
	f := newFeeder(t, l)
	const identifying = "eyJhbGciOiJub25lIn0"
	f.count("consign.api.request", "anna", `{"route":"/t/`+identifying+`","method":"GET","status":200,"duration_seconds":0.5}`)
	f.count("consign.feature.used", "anna", `{"feature":"`+identifying+`","role":"shopper"}`)
	f.count("consign.email.queued", "anna", `{"template":"`+identifying+`"}`)
	f.count("consign.item.listed", "shop-20260301", `{"event":"sale-1234567","category":"4711000"}`)
	got := flatten(scrape(t, l, start))
	for line := range got {
		if strings.Contains(line, identifying) || strings.Contains(line, "4711000") {
			t.Error(line)
		}
	}
	for line, want := range map[string]float64{
		`consign_api_requests_total{code="200",method="GET",route="other"}`:       1,
		`consign_feature_uses_total{feature="other",role="shopper"}`:              1,
		`consign_emails_total{outcome="queued",template="other"}`:                 1,
		`consign_category_items_total{category="other",change="listed"}`:          1,
		`consign_items_listed_total{client="shop-20260301",event="sale-1234567"}`: 1,
	} {
		if got[line] != want {
			t.Errorf("%s = %v, want %v", line, got[line], want)
		}
	}
	rejected := map[string]uint64{}
	l.Rejected(func(metric, label string, n uint64) {
		if n > 0 {
			rejected[metric+" "+label] = n
		}
	})
	want := map[string]uint64{
		"consign_api_requests_total route": 1, "consign_api_request_duration_seconds route": 1,
		"consign_feature_uses_total feature": 1, "consign_emails_total template": 1, "consign_category_items_total category": 1,
	}
	if diff := cmp.Diff(want, rejected); diff != "" {
		t.Errorf("rejected, -want +got:\n%s", diff)
	}
}

func createdOf(families []*dto.MetricFamily, metric, labelValue string) time.Time {
	for _, mf := range families {
		for _, m := range mf.Metric {
			for _, l := range m.Label {
				if mf.GetName() == metric && l.GetValue() == labelValue {
					if m.Histogram != nil {
						return m.Histogram.CreatedTimestamp.AsTime()
					}
					return m.Counter.CreatedTimestamp.AsTime()
				}
			}
		}
	}
	return time.Time{}
}

// Whatever the stream holds, the exposition stays within the budget, is valid UTF-8, and every event is counted somewhere.
func TestAHostileStreamStaysWithinTheBudget(t *testing.T) {
	t.Parallel()
	const clients, budget, events = 200, 50_000, 100_000
	l := newAggregator(t, Options{Sizes: catalog.SizesFor(clients)})
	s := l.Shard("t", 0)
	s.Assign(0, "")
	rnd := seed.Rand(t)
	word := func() string {
		if rnd.IntN(3) == 0 {
			return []string{"a\u0000b", "jane@example.org", strings.Repeat("x", 200), "\u2028", "{}", "Zoë", `\"}`}[rnd.IntN(7)]
		}
		return fmt.Sprintf("v%d", rnd.IntN(2000))
	}
	for i := range events {
		typ := eventtest.Contract[rnd.IntN(len(eventtest.Contract))].Type
		e := l.mapping.Event([]byte(typ))
		fields := map[string]string{}
		for _, label := range e.Labels {
			path, ok := strings.CutPrefix(l.mapping.Layout.Name(label.Slot), "data.")
			if !ok {
				continue
			}
			decl := label.Interner.Declaration()
			v := word()
			switch {
			case decl.Name == "currency":
				v = []string{"USD", "EUR", "JPY", "KWD"}[rnd.IntN(4)]
			case decl.Name == "route":
				v = "/" + v
			case decl.Name == "code":
				v = fmt.Sprint(100 + rnd.IntN(500))
			case decl.Closed() && rnd.IntN(5) > 0:
				v = decl.Values[rnd.IntN(len(decl.Values))]
			}
			fields[path] = fmt.Sprintf("%q", v)
		}
		for _, v := range e.Values {
			for _, slot := range []int{v.Slot, v.Minus} {
				if slot >= 0 {
					fields[strings.TrimPrefix(l.mapping.Layout.Name(slot), "data.")] = fmt.Sprint(rnd.IntN(5000))
				}
			}
		}
		data := "{"
		for _, k := range slices.Sorted(maps.Keys(fields)) {
			v := strings.NewReplacer(`\x00`, `\u0000`, `\\`, `\\`).Replace(fields[k])
			data += fmt.Sprintf(`"%s":%s,`, k, v)
		}
		data = strings.TrimSuffix(data, ",") + "}"
		value := eventtest.EventID(fmt.Sprint(i), typ, fmt.Sprintf("client-%d", rnd.IntN(300)), data)
		if o, p := s.Count(start, &cloudevent.Record{Value: []byte(value), Offset: int64(i)}); o != Counted {
			t.Fatalf("%s: %v: %v", value, o, p)
		}
	}
	total, requests := 0, 0.0
	perMetric := map[string]int{}
	for _, mf := range scrape(t, l, start) {
		for _, m := range mf.Metric {
			perMetric[mf.GetName()]++
			total++
			if m.Histogram != nil {
				total += len(m.Histogram.Bucket) + 1
			}
			for _, label := range m.Label {
				if v := label.GetValue(); strings.ContainsAny(v, "@\x00\u2028\"ë") || len(v) > 120 {
					t.Errorf("%s has the label value %q", mf.GetName(), v)
				}
			}
		}
		if mf.GetName() == "consign_api_requests_total" {
			for _, m := range mf.Metric {
				requests += m.Counter.GetValue()
			}
		}
	}
	t.Logf("%d series", total)
	if total > budget {
		t.Errorf("%d series, want at most %d: %v", total, budget, perMetric)
	}
	if requests == 0 {
		t.Error("no requests")
	}
}

func TestBeyondItsLimitAMetricStaysCompleteForEachClientAndCurrency(t *testing.T) {
	l := newAggregator(t, Options{Sizes: catalog.Sizes{Clients: 2, Events: 1}}) // 1+2 sale events in all, for 2+2 clients
	f := newFeeder(t, l)
	for _, client := range []string{"anna", "bert"} {
		for i := range 4 {
			f.count("consign.order.placed", client, fmt.Sprintf(`{"event":"sale-%d","channel":"pos","amount_cents":150,"currency":"USD"}`, i))
		}
	}
	got := changes(scrape(t, l, start))
	series := map[string]float64{}
	for k, v := range got {
		if strings.HasPrefix(k, "consign_sales_amount_total") {
			series[k] = v
		}
	}
	anna, bert := 0.0, 0.0
	for k, v := range series {
		if strings.Contains(k, `client="anna"`) {
			anna += v
		}
		if strings.Contains(k, `client="bert"`) {
			bert += v
		}
	}
	if anna != 6 || bert != 6 {
		t.Errorf("anna %v, bert %v, want 6 each: %v", anna, bert, series)
	}
	dropped := uint64(0)
	l.Dropped(func(metric string, n uint64) {
		if metric == "consign_sales_amount_total" {
			dropped = n
		}
	})
	if dropped == 0 || len(series) > 3+2 {
		t.Errorf("%d label sets found no room, the metric has %d series: %v", dropped, len(series), series)
	}
}

// Money that finds no room becomes "other" by client and sale event, never by currency: each currency stays a sum of its
// own, in its own decimals.
func TestMoneyBeyondTheLimitOfSeriesKeepsItsCurrency(t *testing.T) {
	l := newAggregator(t, Options{Sizes: catalog.Sizes{Clients: 2, Events: 1}})
	f := newFeeder(t, l)
	currencies := map[string]float64{"EUR": 100, "JPY": 1, "KWD": 1000, "USD": 100, "SEK": 100}
	want := map[string]float64{}
	for client := range 2 {
		for event := range 3 {
			for i, currency := range slices.Sorted(maps.Keys(currencies)) {
				amount := 1230 + 10*i
				f.count("consign.order.placed", fmt.Sprintf("shop-%d", client), fmt.Sprintf(`{"event":"sale-%d","channel":"pos","amount_cents":%d,"currency":%q}`, event, amount, currency))
				want[currency] += float64(amount) / currencies[currency]
			}
		}
	}
	got := map[string]float64{}
	for _, mf := range scrape(t, l, start) {
		if mf.GetName() != "consign_sales_amount_total" {
			continue
		}
		for _, m := range mf.Metric {
			for _, label := range m.Label {
				if label.GetName() == "currency" {
					got[label.GetValue()] += m.Counter.GetValue()
				}
			}
		}
	}
	if diff := cmp.Diff(want, got, cmpopts.EquateApprox(0, 1e-9)); diff != "" {
		t.Errorf("sales by currency, -want +got:\n%s", diff)
	}
}

// An amount in a currency beyond the limit of the label is left out, and counted: a series of several currencies would be a
// sum of nothing. The order itself counts.
func TestMoneyInACurrencyBeyondTheLimitIsLeftOut(t *testing.T) {
	text := strings.Replace(shippedText(t), "declare:", "#", 1) + "\nadjust: [{metric: consign_order_amount, limits: {currency: 1}}]\n"
	l := newAggregatorOf(t, parsed(t, text), Options{Start: start})
	f := newFeeder(t, l)
	for _, tt := range []string{"USD", "JPY", "KWD", "EUR"} {
		f.count("consign.order.placed", "anna", `{"event":"s","channel":"pos","amount_cents":1234,"currency":"`+tt+`"}`)
	}
	got := flatten(scrape(t, l, start))
	if v, ok := got[`consign_order_amount_sum{currency="other"}`]; ok {
		t.Errorf("dinars, euros and yen are added up: %v", v)
	}
	for series, want := range map[string]float64{
		`consign_order_amount_sum{currency="USD"}`:                                                        12.34,
		`consign_orders_total{channel="pos",client="anna",event="s"}`:                                     4,
		`consignwatch_values_rejected_total{metric="consign_order_amount",reason="currency_limit"}`:       3,
		`consignwatch_values_rejected_total{metric="consign_sales_amount_total",reason="currency_limit"}`: 0,
	} {
		if v, ok := got[series]; !ok || v != want {
			t.Errorf("%s is %v, %v, want %v", series, v, ok, want)
		}
	}
}

// What was exposed to somebody is not delivered: nothing ages before it is known that it was ingested.
func TestWhatIsExposedDoesNotAgeUntilItIsIngested(t *testing.T) {
	l := newAggregator(t, Options{Sizes: catalog.SizesFor(2)})
	f := newFeeder(t, l)
	f.count("consign.dropoff.scheduled", "anna", `{"event":"spring"}`)
	scrape(t, l, f.now)
	f.now = f.now.Add(15 * 24 * time.Hour)
	sc, err := l.StartScrape(f.now, 0)
	if err != nil {
		t.Fatal(err)
	}
	sc.Exposed()
	if n := l.Evict(); n != 0 {
		t.Fatalf("%d sale events are evicted, while it is not known whether the response was ingested", n)
	}
	l.Ingested(f.now)
	if n := l.Evict(); n != 1 {
		t.Fatalf("%d sale events are evicted, want 1", n)
	}
}
