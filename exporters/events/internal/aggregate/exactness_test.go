package aggregate

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	dto "github.com/prometheus/client_model/go"

	"github.com/consignwatch/consignwatch/exporters/events/internal/cloudevent"
	"github.com/consignwatch/consignwatch/exporters/events/internal/eventtest"
	"github.com/consignwatch/consignwatch/pkg/catalog"
	"github.com/consignwatch/consignwatch/test/seed"
)

type lines map[string]float64

// logged is one record of a partition's log, with what it must add to which line of the exposition. All numbers are
// multiples of 1/1024, so that float64 adds them without rounding, in any order.
type logged struct {
	record cloudevent.Record
	adds   lines
	id     string // of what counts once; empty when it may count twice
}

// randomLog writes the log of a partition. Some events of commerce are published again, some of them within the span in
// which that is noticed, some records cannot be read.
func randomLog(rnd *rand.Rand, topic string, n int, span int64) []logged {
	log := make([]logged, n)
	for i := range log {
		log[i] = randomRecord(rnd, fmt.Sprintf("%s-%d", topic, i))
		if again := i - 1 - rnd.IntN(2*int(span)); again >= 0 && rnd.IntN(8) == 0 {
			log[i] = logged{cloudevent.Record{Value: log[again].record.Value}, maps.Clone(log[again].adds), log[again].id}
		}
		log[i].record.Offset = int64(i)
	}
	for i := range log {
		r := &log[i]
		outcome := "counted"
		switch {
		case r.adds == nil:
			outcome = "malformed"
			r.adds = lines{}
		case r.id != "":
			// The rule: a duplicate is what stands within the span before it.
			for j := max(0, i-int(span)); j < i; j++ {
				if log[j].id == r.id {
					outcome = "duplicate"
					r.adds = lines{}
					break
				}
			}
		}
		r.adds[fmt.Sprintf(`consignwatch_records_total{outcome=%q,topic=%q}`, outcome, topic)]++
	}
	return log
}

func randomRecord(rnd *rand.Rand, id string) logged {
	client := fmt.Sprintf("client-%d", rnd.IntN(4))
	seconds := float64(rnd.IntN(1<<13)) / 1024
	var typ, data string
	adds, once := lines{}, ""
	observe := func(metric, labels string, v float64) {
		sep := ","
		if labels == "" {
			sep = ""
		}
		adds[fmt.Sprintf("%s_count{%s}", metric, labels)]++
		adds[fmt.Sprintf("%s_sum{%s}", metric, labels)] += v
		for _, m := range buckets[metric] {
			if v <= m {
				adds[fmt.Sprintf("%s_bucket{%s%sle=%q}", metric, labels, sep, fmt.Sprint(m))]++
			}
		}
		adds[fmt.Sprintf("%s_bucket{%s%sle=%q}", metric, labels, sep, "+Inf")]++
	}
	switch rnd.IntN(5) {
	case 0:
		route := fmt.Sprintf("/r%d", rnd.IntN(3))
		typ, data = "consign.api.request", fmt.Sprintf(`{"route":%q,"method":"GET","status":200,"duration_seconds":%v}`, route, seconds)
		adds[fmt.Sprintf(`consign_api_requests_total{code="200",method="GET",route=%q}`, route)]++
		adds[fmt.Sprintf(`consign_client_api_requests_total{client=%q,code_class="2xx"}`, client)]++
		observe("consign_api_request_duration_seconds", fmt.Sprintf(`route=%q`, route), seconds)
		observe("consign_client_api_request_duration_seconds", fmt.Sprintf(`client=%q`, client), seconds)
	case 1:
		cents := 25 * rnd.IntN(10_000)
		typ, data = "consign.order.placed", fmt.Sprintf(`{"event":"spring","channel":"online","amount_cents":%d,"currency":"EUR"}`, cents)
		adds[fmt.Sprintf(`consign_orders_total{channel="online",client=%q,event="spring"}`, client)]++
		adds[fmt.Sprintf(`consign_sales_amount_total{client=%q,currency="EUR",event="spring"}`, client)] += float64(cents) / 100
		observe("consign_order_amount", `currency="EUR"`, float64(cents)/100)
		once = id
	case 2:
		typ, data = "consign.job.finished", fmt.Sprintf(`{"queue":"image","task":"resize","outcome":"succeeded","wait_seconds":0,"duration_seconds":%v}`, seconds)
		adds[`consign_jobs_total{outcome="succeeded",queue="image",task="resize"}`]++
		adds[fmt.Sprintf(`consign_client_jobs_total{client=%q,outcome="succeeded"}`, client)]++
		adds[fmt.Sprintf(`consign_client_job_seconds_total{client=%q}`, client)] += seconds
		observe("consign_job_duration_seconds", `queue="image",task="resize"`, seconds)
		observe("consign_job_wait_duration_seconds", `queue="image"`, 0)
	case 3:
		n := rnd.IntN(5)
		typ, data = "consign.sync.finished", fmt.Sprintf(`{"kind":"orders","outcome":"failed","items":0,"conflicts":%d,"duration_seconds":%v}`, n, seconds)
		adds[fmt.Sprintf(`consign_sync_runs_total{client=%q,kind="orders",outcome="failed"}`, client)]++
		adds[fmt.Sprintf(`consign_sync_conflicts_total{client=%q,kind="orders"}`, client)] += float64(n)
		observe("consign_sync_duration_seconds", `kind="orders"`, seconds)
	case 4:
		return logged{record: cloudevent.Record{Value: []byte(`{"specversion":"1.0","id":"cut`)}}
	}
	value := strings.Replace(eventtest.EventID(id, typ, client, data), `"time":"2026-03-01T11:59:59.5Z",`, "", 1)
	return logged{cloudevent.Record{Value: []byte(value)}, adds, once}
}

var buckets = func() map[string][]float64 {
	b := map[string][]float64{}
	for _, m := range catalog.Shipped().Of(catalog.Events) {
		b[m.Name] = m.Buckets
	}
	return b
}()

func sum(to, from lines) {
	for k, v := range from {
		to[k] += v
	}
}

// exactLines is the exposition without zeros, gauges and what depends on the clock.
func exactLines(families []*dto.MetricFamily) lines {
	got := lines{}
	for k, v := range flatten(families) {
		if v != 0 && !strings.HasPrefix(k, "consignwatch_offset") && !strings.HasPrefix(k, "consignwatch_record_delay") {
			got[k] = v
		}
	}
	return got
}

func withoutZeros(l lines) lines {
	maps.DeleteFunc(l, func(_ string, v float64) bool { return v == 0 })
	return l
}

// naiveShard is the whole idea of a shard, written down as plainly as possible.
type naiveShard struct {
	acknowledged, inFlight, pending                     lines
	assigned                                            bool
	next, inFlightOffset, acknowledgedOffset, delivered int64
}

func (n *naiveShard) deliver() {
	sum(n.acknowledged, n.inFlight)
	n.inFlight = lines{}
	n.acknowledgedOffset = n.inFlightOffset
}

// TestShardsMatchANaiveReference does random things to an Aggregator and to the naive reference, and compares every exposition.
func TestShardsMatchANaiveReference(t *testing.T) {
	t.Parallel()
	inRounds(t, 25, againstReference)
}

// inRounds runs a model test so many times, each round with random choices of its own, until one fails. A round can be repeated alone.
func inRounds(t *testing.T, rounds int, test func(*testing.T, *rand.Rand)) {
	t.Helper()
	for round := range rounds {
		if !t.Run(fmt.Sprint("round=", round), func(t *testing.T) { test(t, seed.Rand(t)) }) {
			return
		}
	}
}

func againstReference(t *testing.T, rnd *rand.Rand) {
	const partitions, span = 3, 12
	l := newAggregator(t, Options{DedupeSpan: span})
	now := start
	var logs [partitions][]logged
	var real [partitions]*Shard
	var naive [partitions]*naiveShard
	var started [partitions]int64 // the start offsets
	var deferred [partitions]bool // whether the replay before them was
	for p := range partitions {
		logs[p] = randomLog(rnd, "t", 400, span)
		real[p] = l.Shard("t", int32(p))
		naive[p] = &naiveShard{acknowledged: lines{}, inFlight: lines{}, pending: lines{}}
	}
	var inFlight *Scrape
	scraped := [partitions]bool{} // whose freeze is the one in flight
	var before lines
	settle := func() {
		for p := range partitions {
			if scraped[p] {
				naive[p].deliver()
			}
		}
		inFlight = nil
		scraped = [partitions]bool{}
	}
	replay := func(p int, from, to int64) {
		for o := from; o < to; o++ {
			real[p].Replay(&logs[p][o].record)
		}
	}
	// passOver makes known what was passed over without being counted: which events are duplicates is a matter of the log.
	passOver := func(p int, from, to int64) {
		if deferred[p] {
			replay(p, max(0, started[p]-span), started[p])
			real[p].Replayed()
			deferred[p] = false
		}
		replay(p, from, to)
	}
	check := func(what string, families []*dto.MetricFamily, want lines) {
		t.Helper()
		if diff := cmp.Diff(withoutZeros(want), exactLines(families)); diff != "" {
			t.Fatalf("%s: -reference +got:\n%s", what, diff)
		}
	}
	delivered := func() lines {
		want := lines{}
		for _, n := range naive {
			sum(want, n.acknowledged)
		}
		return want
	}
	for range 300 {
		now = now.Add(time.Second)
		p := rnd.IntN(partitions)
		n, s := naive[p], real[p]
		switch rnd.IntN(12) {
		case 0: // assign, anywhere
			at := int64(rnd.IntN(len(logs[p])))
			if rnd.IntN(2) == 0 {
				at = n.delivered
			}
			s.Assign(at, "")
			if deferred[p] = rnd.IntN(2) == 0; deferred[p] {
				s.DeferReplay()
			} else {
				replay(p, max(0, at-span), at)
			}
			started[p] = at
			n.deliver() // a scrape that is in flight may have arrived
			scraped[p] = false
			n.pending = lines{}
			n.assigned, n.next, n.inFlightOffset, n.acknowledgedOffset, n.delivered = true, at, at, at, at
		case 1:
			s.Revoke()
			n.deliver()
			scraped[p] = false
			n.pending, n.assigned = lines{}, false
		case 2, 3, 4, 5: // count; sometimes records that were there before
			from := max(0, n.next-int64(rnd.IntN(3)))
			to := min(int64(len(logs[p])), n.next+int64(rnd.IntN(30)))
			var batch []cloudevent.Record
			for o := from; o < to; o++ {
				batch = append(batch, logs[p][o].record)
				if n.assigned && o >= n.next {
					sum(n.pending, logs[p][o].adds)
					n.next = o + 1
				}
			}
			bad := func(r *cloudevent.Record, o Outcome, p cloudevent.Problem) {
				if o != Malformed || p.Reason != cloudevent.Truncated {
					t.Errorf("offset %d: %v: %v", r.Offset, o, p)
				}
			}
			if done := s.CountBatch(now, batch, bad); done < len(batch) { // the replay was deferred until now
				replay(p, max(0, batch[done].Offset-span), started[p])
				s.Replayed()
				deferred[p] = false
				if done += s.CountBatch(now, batch[done:], bad); done < len(batch) {
					t.Fatalf("offset %d needs a replay again", batch[done].Offset)
				}
			}
		case 6, 7: // scrape, or finish the one in flight
			if inFlight != nil {
				if _, err := l.StartScrape(now, 0); err != ErrScrapeInFlight {
					t.Fatalf("a second scrape in flight: %v", err)
				}
				switch rnd.IntN(2) {
				case 0:
					offsets := map[int32]int64{}
					for _, p := range inFlight.Delivered() {
						offsets[p.Partition] = p.Offset
					}
					want := map[int32]int64{}
					for p, n := range naive {
						if scraped[p] && n.assigned {
							n.delivered = n.inFlightOffset
							want[int32(p)] = n.inFlightOffset
						}
					}
					if diff := cmp.Diff(want, offsets); diff != "" {
						t.Fatalf("offsets to commit: -reference +got:\n%s", diff)
					}
					settle()
				case 1:
					inFlight.Unknown()
					settle()
				}
				break
			}
			sc, err := l.StartScrape(now, 0)
			if err != nil {
				t.Fatal(err)
			}
			inFlight = sc
			want := lines{}
			offsets := lines{}
			for p, n := range naive {
				scraped[p] = true
				n.inFlight, n.pending, n.inFlightOffset = n.pending, lines{}, n.next
				sum(want, n.acknowledged)
				sum(want, n.inFlight)
				if n.assigned {
					offsets[fmt.Sprintf(`consignwatch_offset{partition="%d",topic="t"}`, p)] = float64(n.next)
				}
			}
			check("scrape", sc.Families, want)
			for k, v := range flatten(sc.Families) {
				if strings.HasPrefix(k, "consignwatch_offset") && offsets[k] != v {
					t.Fatalf("%s = %v, want %v", k, v, offsets[k])
				}
				delete(offsets, k)
			}
			if len(offsets) > 0 {
				t.Fatalf("offsets are missing: %v", offsets)
			}
		case 8: // an exposition for a reader that is no scraper
			page := l.Acknowledged(now)
			check("page", page, delivered())
			for p, n := range naive {
				v, ok := flatten(page)[fmt.Sprintf(`consignwatch_offset{partition="%d",topic="t"}`, p)]
				if ok != n.assigned || ok && v != float64(n.acknowledgedOffset) {
					t.Fatalf("page: offset of partition %d is %v, %v, want %v, %v", p, v, ok, n.acknowledgedOffset, n.assigned)
				}
			}
			after := exactLines(page)
			for k, v := range before {
				if after[k] < v {
					t.Fatalf("%s fell from %v to %v", k, v, after[k])
				}
			}
			before = after
		case 9:
			if s.Next() != n.next && n.assigned {
				t.Fatalf("partition %d: next is %d, want %d", p, s.Next(), n.next)
			}
		case 10: // a batch that cannot be read, sometimes one that was there before, or that begins before the start offset
			from := max(0, n.next-int64(rnd.IntN(6)))
			to := min(int64(len(logs[p])), from+int64(rnd.IntN(8)))
			o := []Outcome{Oversized, Undecodable}[rnd.IntN(2)]
			want := AlreadyCounted
			if n.assigned && to > n.next {
				want = o
				n.pending[fmt.Sprintf(`consignwatch_records_total{outcome=%q,topic="t"}`, o)] += float64(to - n.next)
				n.next = to
			}
			before := s.Next()
			if got := s.Skip(from, to, o, to-from); got != want {
				t.Fatalf("skip from %d to %d: %v, want %v", from, to, got, want)
			}
			passOver(p, before, to)
		case 11: // markers
			to := min(int64(len(logs[p])), max(0, n.next+int64(rnd.IntN(8)-4)))
			before := s.Next()
			s.Advance(to)
			passOver(p, before, to)
			if n.assigned {
				n.next = max(n.next, to)
			}
		}
	}
}

// Values that may have arrived are never rolled back: a scrape that has ended with an unknown outcome stays exposed, also
// when the partition is revoked, but its offsets are not to be committed.
func TestWhatMayHaveArrivedStaysExposed(t *testing.T) {
	const series = `consign_feature_uses_total{feature="search",role="shopper"}`
	l := newAggregator(t, Options{})
	f := newFeeder(t, l)
	f.count("consign.feature.used", "anna", `{"feature":"search","role":"shopper"}`)
	sc, err := l.StartScrape(start, 0)
	if err != nil {
		t.Fatal(err)
	}
	if got, ok := flatten(sc.Families)[series]; got != 1 {
		t.Fatalf("in flight: %v, %v", got, ok)
	}
	if got, ok := flatten(l.Acknowledged(start))[series]; ok {
		t.Errorf("in flight, another reader gets %v", got)
	}
	sc.Unknown()
	f.shard.Revoke()
	if got, ok := flatten(l.Acknowledged(start))[series]; got != 1 {
		t.Errorf("revoked: %v, %v", got, ok)
	}
	if got := sc.Delivered(); got != nil {
		t.Errorf("finished twice, offsets to commit: %v", got)
	}
}

// trustedServer is the Prometheus that the design trusts: it stores the samples of a scrape together with the offsets, all or nothing. It
// adds increases up from raw samples: after a reset, which a start timestamp above the last sample also is, a counter
// has increased by its whole value.
type trustedServer struct {
	t         *testing.T
	last      map[string]map[string]*lastSample // by instance and line
	scraped   map[string]time.Time              // the last scrape, by instance
	increases lines
	offsets   map[int32]int64
}

// lastSample is the last sample of a series. shown is that it was in the last exposition: when it is not in the next one, or
// there is none, Prometheus stores at that scrape's time that the series has ended.
type lastSample struct {
	value float64
	at    time.Time
	shown bool
}

// fail is a scrape that fails.
func (p *trustedServer) fail(instance string, at time.Time) { p.ingest(instance, at, nil) }

func (p *trustedServer) ingest(instance string, at time.Time, families []*dto.MetricFamily) {
	series := p.last[instance]
	if series == nil {
		series = map[string]*lastSample{}
		p.last[instance] = series
	}
	ended := map[string]bool{}
	for line, s := range series {
		ended[line] = s.shown
	}
	defer func() {
		for line, was := range ended {
			if was {
				series[line].at, series[line].shown = at, false
			}
		}
	}()
	created := map[string]time.Time{}
	for _, mf := range families {
		for _, m := range mf.Metric {
			one := []*dto.MetricFamily{{Name: mf.Name, Metric: []*dto.Metric{m}}}
			for line := range flatten(one) {
				if m.Counter != nil {
					created[line] = m.Counter.CreatedTimestamp.AsTime()
				}
				if m.Histogram != nil {
					created[line] = m.Histogram.CreatedTimestamp.AsTime()
				}
			}
		}
	}
	for line, v := range flatten(families) {
		since, counts := created[line]
		if !counts {
			var partition int32
			if n, _ := fmt.Sscanf(line, `consignwatch_offset{partition="%d"`, &partition); n == 1 {
				p.offsets[partition] = max(p.offsets[partition], int64(v))
			}
			continue
		}
		delete(ended, line)
		last, had := series[line]
		switch {
		case !had, since.After(last.at):
			p.increases[line] += v
		case v < last.value:
			p.t.Fatalf("%s of %s fell from %v to %v", line, instance, last.value, v)
		default:
			p.increases[line] += v - last.value
		}
		if !since.Before(at) {
			p.t.Fatalf("%s of %s: starts at %v, which is not before the scrape at %v", line, instance, since, at)
		}
		series[line] = &lastSample{v, at, true}
	}
}

// process is a replica of the exporter, as the consumer around the Aggregator drives it in the exact mode.
type process struct {
	name       string
	skew       time.Duration // how far its clock is ahead of the server's
	aggregator *Aggregator
	owns       map[int32]*Shard
}

// partitions are those that the process owns, in an order that is the same in each run.
func (p *process) partitions() []int32 { return slices.Sorted(maps.Keys(p.owns)) }

// TestIncreasesInPrometheusEqualWhatWasProduced runs three replicas over four partitions. Partitions move at any time,
// processes are killed at any moment, scrapes fail before they reach the exporter, and get lost before and after
// Prometheus has them; clocks differ. In the end the increases that Prometheus has are those of the log, each event once.
func TestIncreasesInPrometheusEqualWhatWasProduced(t *testing.T) {
	t.Parallel()
	inRounds(t, 12, throughCrashes)
}

func throughCrashes(t *testing.T, rnd *rand.Rand) {
	const partitions, replicas, span = 4, 3, 12
	mapping := shippedMapping(t)
	now := start
	tick := func() time.Time {
		now = now.Add(time.Duration(1+rnd.IntN(5000)) * time.Millisecond)
		return now
	}
	const interval, timeout, latency = 15 * time.Second, 10 * time.Second, time.Second
	prom := &trustedServer{t: t, last: map[string]map[string]*lastSample{}, scraped: map[string]time.Time{}, increases: lines{}, offsets: map[int32]int64{}}
	// due is the time of the next scrape by the server's clock.
	due := func(pr *process) time.Time {
		if next := prom.scraped[pr.name].Add(interval); tick().Before(next) {
			now = next
		}
		prom.scraped[pr.name] = now
		return now
	}
	// by is when a scrape arrives by the process's clock.
	by := func(pr *process, at time.Time) time.Time {
		return at.Add(time.Duration(rnd.Int64N(int64(latency)))).Add(pr.skew)
	}
	produced := lines{}
	var logs [partitions][]logged
	for p := range logs {
		logs[p] = randomLog(rnd, "t", 500, span)
		for i := range logs[p] {
			sum(produced, logs[p][i].adds)
		}
	}
	procs := make([]*process, replicas)
	born := func(i int) {
		l, err := New(mapping, Options{Start: tick(), DedupeSpan: span})
		if err != nil {
			t.Fatal(err)
		}
		skew := time.Duration(rnd.Int64N(int64(timeout-2*latency))) - (timeout/2 - latency)
		procs[i] = &process{fmt.Sprint("replica-", i), skew, l, map[int32]*Shard{}}
	}
	assign := func(p int32, to *process) {
		s := to.aggregator.Shard("t", p)
		at := prom.offsets[p]
		s.Assign(at, "")
		for o := max(0, at-span); o < at; o++ {
			s.Replay(&logs[p][o].record)
		}
		to.owns[p] = s
	}
	scrape := func(pr *process) (killed bool) {
		at := due(pr)
		if rnd.IntN(4) == 0 {
			prom.fail(pr.name, at)
			return false
		}
		sc, err := pr.aggregator.StartScrape(by(pr, at), timeout)
		if err != nil {
			t.Fatal(err)
		}
		arrives := rnd.IntN(3) > 0
		if arrives || rnd.IntN(2) == 0 { // Prometheus has written its staleness markers either way; whether that is known is up to the mode
			pr.aggregator.EndFirstScrape()
		}
		if arrives {
			prom.ingest(pr.name, at, sc.Families)
		} else {
			prom.fail(pr.name, at)
		}
		switch {
		case rnd.IntN(6) == 0:
			return true // killed before it can know
		case arrives:
			for _, pos := range sc.Delivered() {
				if pos.Offset != prom.offsets[pos.Partition] {
					t.Fatalf("partition %d: delivered up to %d, Prometheus has %d", pos.Partition, pos.Offset, prom.offsets[pos.Partition])
				}
			}
		default:
			sc.Unknown()
		}
		return false
	}
	// kill ends a process and starts it again. Its partitions go to anybody.
	kill := func(i int) {
		orphans := procs[i].partitions()
		born(i)
		for _, p := range orphans {
			assign(p, procs[rnd.IntN(replicas)])
		}
	}
	for i := range procs {
		born(i)
	}
	for p := range int32(partitions) {
		assign(p, procs[rnd.IntN(replicas)])
	}
	for range 400 {
		i := rnd.IntN(replicas)
		pr := procs[i]
		switch rnd.IntN(8) {
		case 0:
			kill(i)
		case 1: // a rebalance: finished with scrapes, one partition moves
			if owned := pr.partitions(); len(owned) > 0 {
				p := owned[rnd.IntN(len(owned))]
				if pr.owns[p].ExposedOffset() > prom.offsets[p] { // the last response did not arrive
					pr.aggregator.Reset(by(pr, tick()))
					for _, p := range owned {
						delete(pr.owns, p)
						assign(p, procs[rnd.IntN(replicas)])
					}
					break
				}
				pr.owns[p].Revoke()
				delete(pr.owns, p)
				assign(p, procs[rnd.IntN(replicas)])
			}
		case 2, 3:
			if scrape(pr) {
				kill(i)
			}
		default:
			for _, p := range pr.partitions() {
				s := pr.owns[p]
				from := s.Next()
				to := min(int64(len(logs[p])), from+int64(rnd.IntN(20)))
				for o := from; o < to; o++ {
					s.Count(tick(), &logs[p][o].record)
				}
			}
		}
	}
	// The rest is read, and the last scrapes of each process arrive; the first one may show nothing.
	for _, pr := range procs {
		for _, p := range pr.partitions() {
			s := pr.owns[p]
			for o := s.Next(); o < int64(len(logs[p])); o++ {
				s.Count(tick(), &logs[p][o].record)
			}
		}
		for range 2 {
			at := due(pr)
			sc, err := pr.aggregator.StartScrape(by(pr, at), timeout)
			if err != nil {
				t.Fatal(err)
			}
			prom.ingest(pr.name, at, sc.Families)
			sc.Delivered()
			pr.aggregator.EndFirstScrape()
		}
	}
	got := withoutZeros(prom.increases)
	maps.DeleteFunc(got, func(k string, _ float64) bool { return strings.HasPrefix(k, "consignwatch_record_delay") })
	if diff := cmp.Diff(withoutZeros(produced), got); diff != "" {
		t.Fatalf("-produced +increases in Prometheus:\n%s", diff)
	}
}

// TestScrapesWhileCounting is for the race detector: the expositions add up, and never fall.
func TestScrapesWhileCounting(t *testing.T) {
	t.Parallel()
	l := newAggregator(t, Options{})
	const partitions, events = 3, 20_000
	done := make(chan struct{}, partitions)
	for p := range int32(partitions) {
		s := l.Shard("t", p)
		s.Assign(0, "")
		go func() {
			defer func() { done <- struct{}{} }()
			batch := make([]cloudevent.Record, 0, 100)
			for i := range events {
				data := fmt.Sprintf(`{"route":"/r%d","method":"GET","status":200,"duration_seconds":0.5}`, i%40)
				batch = append(batch, cloudevent.Record{Value: []byte(eventtest.Event("consign.api.request", fmt.Sprintf("client-%d", i%150), data)), Offset: int64(i)})
				if len(batch) == cap(batch) {
					s.CountBatch(start, batch, func(*cloudevent.Record, Outcome, cloudevent.Problem) { t.Error("bad record") })
					batch = batch[:0]
				}
			}
		}()
	}
	var others sync.WaitGroup
	defer others.Wait()
	others.Go(func() {
		for range 20 {
			l.SetInventory([]string{"client-1", "client-2"})
			l.Evict()
			l.Acknowledged(start)
		}
	})
	last, now := 0.0, start
	for left := partitions; ; {
		now = now.Add(time.Second)
		sc, err := l.StartScrape(now, 0)
		if err != nil {
			t.Fatal(err)
		}
		n := 0.0
		for k, v := range flatten(sc.Families) {
			if strings.HasPrefix(k, "consign_client_api_requests_total") {
				n += v
			}
		}
		if n < last || n != flatten(sc.Families)[`consignwatch_records_total{outcome="counted",topic="t"}`] {
			t.Fatalf("%v requests after %v, and %v records", n, last, flatten(sc.Families)[`consignwatch_records_total{outcome="counted",topic="t"}`])
		}
		last = n
		sc.Delivered()
		if left == 0 {
			break
		}
		select {
		case <-done:
			left--
		default:
		}
	}
	if last != partitions*events {
		t.Errorf("%v requests, want %v", last, partitions*events)
	}
}
