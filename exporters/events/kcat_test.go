package events_test

import (
	"context"
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/consignwatch/consignwatch/pkg/demo/servers/kafka"
	"github.com/consignwatch/consignwatch/pkg/executable"
)

// codecs are what librdkafka can compress with, and the number of each in the attributes of a batch.
var codecs = map[string]uint8{"none": 0, "gzip": 1, "snappy": 2, "lz4": 3, "zstd": 4}

// TestRecordsOfKcatAreCountedLikeOurOwn writes the same events with librdkafka's kcat, in both modes and with every
// codec, and with the library that the other tests use.
func TestRecordsOfKcatAreCountedLikeOurOwn(t *testing.T) {
	t.Parallel()
	kcat, err := executable.Find("kcat")
	if err != nil {
		t.Fatal(err)
	}
	b := startBroker(t, kafka.Config{OldProduce: true})
	const n = 40
	datum := func(i int) string {
		return fmt.Sprintf(`{"route":"/items/{id}","method":"GET","status":%d,"duration_seconds":%v}`, 200+i%2*300, float64(i)/64)
	}
	var own []record
	for i := range n {
		own = append(own, record{topic: telemetry, value: structured("r", "consign.api.request", "own", datum(i)), headers: map[string]string{"content-type": "application/cloudevents+json; charset=utf-8"}})
	}
	write(t, b, own...)
	clients := []string{}
	for codec := range codecs {
		for _, mode := range []string{"structured", "binary"} {
			client := codec + "-" + mode
			clients = append(clients, client)
			args := []string{"-P", "-b", b.Address(), "-t", telemetry, "-p", "1", "-z", codec, "-k", client,
				"-X", "linger.ms=10000", "-X", fmt.Sprint("batch.num.messages=", n)} // all in one batch: librdkafka leaves a lone record as it is
			var lines strings.Builder
			for i := range n {
				if mode == "structured" {
					fmt.Fprintln(&lines, structured("r", "consign.api.request", client, datum(i)))
				} else {
					fmt.Fprintln(&lines, datum(i))
				}
			}
			if mode == "binary" {
				for _, h := range []string{"ce_specversion=1.0", "ce_id=r", "ce_source=/kcat", "ce_type=consign.api.request",
					"ce_time=" + time.Now().UTC().Format(time.RFC3339), "ce_clientid=" + client, "content-type=application/json"} {
					args = append(args, "-H", h)
				}
			}
			cmd := exec.CommandContext(t.Context(), kcat, args...)
			cmd.Stdin = strings.NewReader(lines.String())
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("%v: %v\n%s", cmd.Args, err, out)
			}
		}
	}
	assertCodecs(t, b, n)
	r := follow(t, b.Address(), "")
	got := r.await(t, map[string]float64{fmt.Sprintf(`consignwatch_records_total{outcome="counted",topic=%q}`, telemetry): n * float64(1+2*len(codecs))})
	for _, name := range []string{
		`consign_client_api_requests_total{client=%q,code_class="2xx"}`,
		`consign_client_api_requests_total{client=%q,code_class="5xx"}`,
		`consign_client_api_request_duration_seconds_count{client=%q}`,
		`consign_client_api_request_duration_seconds_sum{client=%q}`,
	} {
		want := got[fmt.Sprintf(name, "own")]
		if want == 0 {
			t.Errorf("our own are not counted in %s", name)
		}
		for _, client := range clients {
			if v := got[fmt.Sprintf(name, client)]; v != want {
				t.Errorf(name+" = %v, our own %v", client, v, want)
			}
		}
	}
}

// assertCodecs looks at the batches that kcat has written: n records in each mode with each codec.
func assertCodecs(t *testing.T, b *kafka.Broker, n int) {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(b.Address()), kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{telemetry: {1: kgo.NewOffset().AtStart()}}))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	seen := map[uint8]int{}
	for left := 2 * n * len(codecs); left > 0; {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			t.Fatal(err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			left--
			seen[r.Attrs.CompressionType()]++
		})
	}
	for codec, number := range codecs {
		if seen[number] != 2*n {
			t.Errorf("%d records are compressed with %s, want %d", seen[number], codec, 2*n)
		}
	}
}
