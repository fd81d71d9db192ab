package events_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"net"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/consignwatch/consignwatch/pkg/exporter/exportertest"
)

// batchHeaderBytes is the size of the header of a batch.
const batchHeaderBytes = 61

// batchOf makes a batch that says it has n records, and holds what it is given.
func batchOf(attributes int16, n int, records []byte) []byte {
	b := kmsg.RecordBatch{
		PartitionLeaderEpoch: -1, Magic: 2, Attributes: attributes, LastOffsetDelta: int32(n - 1), NumRecords: int32(n), Records: records,
		FirstTimestamp: 0x0000018000000000, MaxTimestamp: 0x0000018000000000, ProducerID: -1, ProducerEpoch: -1, FirstSequence: -1,
	}
	raw := b.AppendTo(nil)
	binary.BigEndian.PutUint32(raw[8:], uint32(len(raw)-12))
	binary.BigEndian.PutUint32(raw[17:], crc32.Checksum(raw[21:], crc32.MakeTable(crc32.Castagnoli)))
	return raw
}

// encoded are records as they stand in a batch.
func encoded(values ...string) []byte {
	var all []byte
	for i, v := range values {
		r := kmsg.Record{OffsetDelta: int32(i), Value: []byte(v)}
		r.Length = int32(len(r.AppendTo(nil)) - 1) // without the length, which is one byte while it is 0
		all = r.AppendTo(all)
	}
	return all
}

// good is a batch of n requests of a client.
func good(client string, n int) []byte {
	values := make([]string, n)
	for i := range values {
		values[i] = request(client).value
	}
	return batchOf(0, n, encoded(values...))
}

// put appends batches to a partition, as they are.
func (c fakeCluster) put(t *testing.T, topic string, partition int32, batches ...[]byte) {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(c.Address()))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	for _, b := range batches {
		r := kmsg.NewPtrProduceRequest()
		r.Acks, r.TimeoutMillis = -1, 10_000
		rt := kmsg.NewProduceRequestTopic()
		rt.Topic, rt.TopicID = topic, c.TopicInfo(topic).TopicID
		rp := kmsg.NewProduceRequestTopicPartition()
		rp.Partition, rp.Records = partition, b
		rt.Partitions = append(rt.Partitions, rp)
		r.Topics = append(r.Topics, rt)
		response, err := client.Broker(0).RetriableRequest(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		p := response.(*kmsg.ProduceResponse).Topics[0].Partitions[0]
		if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
			t.Fatalf("the broker refuses a batch: %v", err)
		}
	}
}

// assertNothingTwice starts another exporter after one was stopped: it counts what comes now, and nothing of before.
func assertNothingTwice(t *testing.T, b broker) {
	t.Helper()
	write(t, b, request("carl"))
	r := follow(t, b.Address(), "")
	got := r.await(t, map[string]float64{requests("carl"): 1, lag(telemetry, 0): 0, success: 1})
	for _, series := range []string{requests("anna"), requests("bert"), recordsOf(telemetry, "oversized"), recordsOf(telemetry, "undecodable")} {
		if got[series] != 0 {
			t.Errorf("after a restart %s is %v: counted twice", series, got[series])
		}
	}
}

// Batches of spaces, which compress well, are far beyond the limit when they are decompressed.
func TestABatchThatIsTooLargeWhenItIsDecompressedIsSkipped(t *testing.T) {
	t.Parallel()
	spaces := bytes.Repeat([]byte(" "), 32<<20)
	for name, codec := range map[string]kgo.CompressionCodec{
		"gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(), "lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression(),
	} {
		t.Run(name, func(t *testing.T) {
			compressor, err := kgo.DefaultCompressor(codec)
			if err != nil {
				t.Fatal(err)
			}
			compressed, typ := compressor.Compress(&bytes.Buffer{}, spaces)
			c := startFakeCluster(t, 2, kfake.BrokerConfigs(map[string]string{"message.max.bytes": "33554432"}))
			c.put(t, telemetry, 0, good("anna", 10), batchOf(int16(typ), 7, compressed), good("anna", 5))
			c.put(t, telemetry, 1, good("bert", 20))
			config := fmt.Sprintf("kafka: {brokers: [%q], max_batch_bytes: 4194304}\n%s", c.Address(), anonymousScraper)
			r := followFile(t, exportertest.WriteFile(t, "config.yml", config))
			got := r.await(t, map[string]float64{requests("anna"): 15, requests("bert"): 20, recordsOf(telemetry, "oversized"): 7, success: 1, lag(telemetry, 0): 0})
			if n := got[recordsOf(telemetry, "undecodable")]; n != 0 {
				t.Errorf("%v records are called undecodable", n)
			}
			for _, word := range []string{"a batch of records is skipped", "outcome=oversized topic=" + telemetry + " partition=0 offset=10 next_offset=17 records=7"} {
				if !strings.Contains(r.Log(), word) {
					t.Errorf("the log does not say: %s\n%s", word, tail(r.Log()))
				}
			}
			awaitCommitted(t, c, telemetry, 0, 22)
			r.Stop()
			assertNothingTwice(t, c)
		})
	}
}

// corruptible is a record that the network of the test spoils on its way to the clients.
const corruptible = "corrupt-me"

// spoiledConn changes what a broker sends.
type spoiledConn struct {
	net.Conn
	spoil func([]byte)
}

func (c spoiledConn) Write(b []byte) (int, error) {
	if bytes.Contains(b, []byte(corruptible)) {
		b = bytes.Clone(b)
		c.spoil(b)
	}
	return c.Conn.Write(b)
}

type spoiledListener struct {
	net.Listener
	spoil func([]byte)
}

func (l spoiledListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	return spoiledConn{c, l.spoil}, err
}

// spoilHeaders calls f with the header of each batch of corruptible records.
func spoilHeaders(f func(header []byte)) func([]byte) {
	const recordBytes = 6 // before the value of a short record
	return func(b []byte) {
		for at := 0; ; at++ {
			i := bytes.Index(b[at:], []byte(corruptible))
			if i < 0 {
				return
			}
			at += i
			if start := at - recordBytes - batchHeaderBytes; start >= 0 && b[start+16] == 2 && int(binary.BigEndian.Uint32(b[start+8:])) < len(b) {
				f(b[start : start+batchHeaderBytes])
			}
		}
	}
}

func TestABatchThatCannotBeDecodedIsSkipped(t *testing.T) {
	t.Parallel()
	corrupt := func(n int) []byte {
		values := make([]string, n)
		for i := range values {
			values[i] = corruptible
		}
		return batchOf(0, n, encoded(values...))
	}
	const zstd = 4
	for name, tt := range map[string]struct {
		batch func(n int) []byte
		spoil func([]byte)
		// alone says that the client passes over it without a word when another batch comes with it, and that it takes a while
		// until it is noticed.
		alone bool
	}{
		"what is compressed is no zstd": {batch: func(n int) []byte { return batchOf(zstd, n, []byte("this is not zstd")) }},
		"it has no records":             {batch: func(n int) []byte { return batchOf(0, n, nil) }},
		"its checksum is wrong":         {corrupt, spoilAll, false},
		"its header is impossible": {corrupt, spoilHeaders(func(h []byte) {
			copy(h[23:27], "\x7f\xff\xff\xf0") // the delta of the last offset
			copy(h[57:61], "\x7f\xff\xff\xf1") // the number of records
		}), false},
		"its number of records is negative": {corrupt, spoilHeaders(func(h []byte) { copy(h[57:61], "\xff\xff\xff\xf1") }), false},
		"its records are no records":        {func(n int) []byte { return batchOf(0, n, bytes.Repeat([]byte{0xff}, 100)) }, nil, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var options []kfake.Opt
			if tt.spoil != nil {
				options = append(options, kfake.ListenFn(func(network, address string) (net.Listener, error) {
					l, err := net.Listen(network, address)
					return spoiledListener{l, tt.spoil}, err
				}))
			}
			c := startFakeCluster(t, 2, options...)
			c.put(t, telemetry, 1, good("bert", 20))
			undecodable := 15.0
			var r *inProcess
			if tt.alone {
				c.put(t, telemetry, 0, good("anna", 10))
				r = follow(t, c.Address(), "")
				r.await(t, map[string]float64{requests("anna"): 10})
				c.put(t, telemetry, 0, tt.batch(15))
				r.await(t, map[string]float64{recordsOf(telemetry, "undecodable"): 15})
				c.put(t, telemetry, 0, good("anna", 5))
			} else { // the first, two in a row, in the middle, the last
				c.put(t, telemetry, 0, tt.batch(3), tt.batch(4), good("anna", 10), tt.batch(2), good("anna", 5), tt.batch(6))
				r = follow(t, c.Address(), "")
			}
			r.await(t, map[string]float64{
				requests("anna"): 15, requests("bert"): 20, recordsOf(telemetry, "undecodable"): undecodable, recordsOf(telemetry, "counted"): 35,
				lag(telemetry, 0): 0, success: 1,
			})
			for _, word := range []string{"a batch of records is skipped", "outcome=undecodable topic=" + telemetry + " partition=0 offset="} {
				if !strings.Contains(r.Log(), word) {
					t.Errorf("the log does not say: %s\n%s", word, tail(r.Log()))
				}
			}
			awaitCommitted(t, c, telemetry, 0, 15+int64(undecodable))
			r.Stop()
			assertNothingTwice(t, c)
		})
	}
}

// spoilAll spoils each record of corruptible batches.
func spoilAll(b []byte) {
	for i := bytes.Index(b, []byte(corruptible)); i >= 0; i = bytes.Index(b, []byte(corruptible)) {
		copy(b[i:], "CORRUPT")
	}
}

// What can be decoded of a batch is counted, and only the rest is not.
func TestABatchIsCountedAsFarAsItCanBeDecoded(t *testing.T) {
	t.Parallel()
	c := startFakeCluster(t, 2)
	half := encoded(request("anna").value, request("anna").value)
	c.put(t, telemetry, 0, batchOf(0, 5, append(half, bytes.Repeat([]byte{0xff}, 100)...)))
	r := follow(t, c.Address(), "")
	r.await(t, map[string]float64{requests("anna"): 2, recordsOf(telemetry, "undecodable"): 3})
	c.put(t, telemetry, 0, good("anna", 1))
	r.await(t, map[string]float64{requests("anna"): 3, recordsOf(telemetry, "undecodable"): 3, lag(telemetry, 0): 0, success: 1})
	awaitCommitted(t, c, telemetry, 0, 6)
}

// A batch that cannot be decoded lies among the records that are read again for their duplicates: it was counted before.
func TestABatchThatCannotBeDecodedIsNotCountedAgainInAReplay(t *testing.T) {
	t.Parallel()
	c := startFakeCluster(t, 2)
	broken := func() []byte { return batchOf(4, 3, []byte("this is not zstd")) }
	c.put(t, commerce, 0, broken(), broken(), batchOf(0, 1, encoded(order("1", "anna").value)), broken(), batchOf(0, 1, encoded(order("2", "anna").value)))
	r := follow(t, c.Address(), "")
	r.await(t, map[string]float64{orders("anna"): 2, recordsOf(commerce, "undecodable"): 9})
	awaitCommitted(t, c, commerce, 0, 11)
	r.Stop()

	c.put(t, commerce, 0, batchOf(0, 2, encoded(order("1", "anna").value, order("3", "anna").value)))
	next := follow(t, c.Address(), "")
	got := next.await(t, map[string]float64{orders("anna"): 1, recordsOf(commerce, "duplicate"): 1, lag(commerce, 0): 0})
	if n := got[recordsOf(commerce, "undecodable")]; n != 0 {
		t.Errorf("%v records of batches that were counted before are undecodable", n)
	}
}
