package stream

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/consignwatch/consignwatch/pkg/demo/servers/kafka"
)

func publisher(t *testing.T, broker string) *Publisher {
	t.Helper()
	p, err := Open([]string{broker})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

func sold(id string) *Event {
	return &Event{ID: id, Source: "/api/1", Time: time.Now(), Client: "one", Data: OrderPlaced{Event: "spring", Channel: "pos", Items: 2, AmountCents: 1250, Currency: "USD"}}
}

func TestDurationsKeepEveryMicrosecond(t *testing.T) {
	t.Parallel()
	for d, want := range map[Duration]string{0: "0", 1: "0.000001", 35_000: "0.035", 1_500_000: "1.5", 123_456_789_012_345: "123456789.012345"} {
		text, err := json.Marshal(d)
		if err != nil || string(text) != want {
			t.Errorf("%d microseconds: %s, %v; want %s", d, text, err, want)
		}
	}
	if d := Seconds(-time.Second); d != 0 {
		t.Errorf("less than nothing: %d", d)
	}
}

func TestTheSameEventIsWrittenInEveryWay(t *testing.T) {
	t.Parallel()
	e := sold("1")
	ways := map[string]int{}
	for n := range uint64(32) {
		r, err := record(e, n)
		if err != nil {
			t.Fatal(err)
		}
		way := "structured"
		switch {
		case len(r.Headers) > 1:
			way = "binary"
		case strings.HasPrefix(string(r.Value), "{\n \t\"data\""):
			way = "data first"
		case len(r.Headers) == 0:
			way = "no content type"
		}
		ways[way]++
		if r.Topic != Commerce || string(r.Key) != "one" || !json.Valid(r.Value) {
			t.Errorf("%s: topic %s, key %s, %s", way, r.Topic, r.Key, r.Value)
		}
	}
	if diff := cmp.Diff(map[string]int{"binary": 4, "data first": 2, "structured": 14, "no content type": 12}, ways); diff != "" {
		t.Error(diff)
	}
}

// A broker that stops cuts connections on which it has answered nothing yet. The client takes that for missing SASL, and gives the records up, unless it is
// configured otherwise; TestBrokerRestartLosesAndDuplicatesNothing loses one now and then.
func TestAConnectionThatIsCutAtOnceIsTriedAgain(t *testing.T) {
	t.Parallel()
	p := publisher(t, "127.0.0.1:1")
	if again := p.client.OptValue(kgo.AlwaysRetryEOF); again != true {
		t.Errorf("the option is %v", again)
	}
}

func TestOnlyWhatIsAcknowledgedIsInTheBooks(t *testing.T) {
	t.Parallel()
	broker, err := kafka.Start(t.Context(), kafka.Config{Topics: Topics()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = broker.Close() })
	p := publisher(t, broker.Address())
	p.Publish(sold("1"))
	p.PublishDuplicate(sold("1"))
	p.PublishInvalid(InvalidRecord{Topic: Commerce, Key: "one", Value: make([]byte, 5<<20), Outcome: Oversized}) // nobody takes this
	if err := p.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := broker.Stop(); err != nil {
		t.Fatal(err)
	}
	p.Publish(sold("2"))
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if err := p.Flush(ctx); err == nil {
		t.Error("flushed to a broker that is away")
	}
	one := map[string]string{"client": "one", "event": "spring"}
	with := func(name, value string) map[string]string {
		return map[string]string{"client": one["client"], "event": one["event"], name: value}
	}
	want := []Total{
		{"consign_order_amount_count", map[string]string{"currency": "USD"}, 1, 1},
		{"consign_order_amount_sum", map[string]string{"currency": "USD"}, 1250, 1},
		{"consign_orders_total", with("channel", "pos"), 1, 1},
		{"consign_sales_amount_total", with("currency", "USD"), 1250, 1},
		{"consignwatch_records_total", map[string]string{"topic": Commerce, "outcome": Counted}, 1, 1},
		{"consignwatch_records_total", map[string]string{"topic": Commerce, "outcome": Duplicate}, 1, 1},
	}
	if diff := cmp.Diff(want, p.Totals()); diff != "" {
		t.Errorf("books (-want +got):\n%s", diff)
	}
	s := p.State()
	if s.Acknowledged != 2 || s.Lost != 1 || s.Waiting != 1 || s.Failing == "" {
		t.Errorf("state: %+v", s)
	}
	if err := broker.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := p.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := p.Totals()[2].Value; got != 2 {
		t.Errorf("%d orders", got)
	}
}
