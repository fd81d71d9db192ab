package events

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// What is found at an offset where the client cannot go on.
func TestTheFirstBatchOfAFetch(t *testing.T) {
	const transactional, control, zstd = 1 << 4, 1 << 5, 4
	// One record, without key, value and headers, at each offset from 10 on.
	batch := func(attributes int16, n int32, records string) []byte {
		b := kmsg.RecordBatch{FirstOffset: 10, Magic: 2, Attributes: attributes, LastOffsetDelta: n - 1, NumRecords: n, ProducerID: 7, Records: []byte(records)}
		raw := b.AppendTo(nil)
		binary.BigEndian.PutUint32(raw[8:], uint32(len(raw)-12))
		binary.BigEndian.PutUint32(raw[17:], crc32.Checksum(raw[21:], crc32.MakeTable(crc32.Castagnoli)))
		return raw
	}
	const two = "\x0c\x00\x00\x00\x01\x01\x00\x0c\x00\x00\x02\x01\x01\x00"
	for name, tt := range map[string]struct {
		raw           []byte
		at            int64
		aborted       bool
		first, next   int64
		records       int64
		broken        bool
		highWatermark int64
	}{
		"there is none":                        {nil, 10, false, 10, 10, 0, false, 12},
		"good":                                 {batch(0, 2, two), 10, false, 10, 10, 0, false, 12},
		"good, from its second record on":      {batch(0, 2, two), 11, false, 11, 11, 0, false, 12},
		"of an aborted transaction":            {batch(transactional, 2, two), 10, true, 10, 12, 0, false, 12},
		"of a committed transaction":           {batch(transactional, 2, two), 10, false, 10, 10, 0, false, 12},
		"broken":                               {batch(zstd, 2, "no zstd"), 10, false, 10, 12, 2, true, 12},
		"broken, of an aborted transaction":    {batch(zstd|transactional, 2, "no zstd"), 10, true, 10, 12, 0, true, 12},
		"broken, a marker":                     {batch(zstd|transactional|control, 1, "no zstd"), 10, false, 10, 11, 0, true, 12},
		"broken from its second record on":     {batch(0, 2, two[:7]+"\xff\xff\xff\xff\xff\xff\xff"), 11, false, 10, 12, 2, true, 12},
		"broken, and ends where nothing is":    {batch(zstd, 200, "no zstd"), 10, false, 10, 11, 1, true, 12},
		"broken, with more records than fit":   {claim(batch(zstd, 2, "no zstd"), 3), 10, false, 10, 11, 1, true, 12},
		"broken, with a number below zero":     {claim(batch(zstd, 2, "no zstd"), -1), 10, false, 10, 11, 1, true, 12},
		"broken, shorter than a header can be": {batch(0, 2, two)[:20], 10, false, 10, 11, 1, true, 12},
	} {
		p := &kmsg.FetchResponseTopicPartition{RecordBatches: tt.raw, HighWatermark: tt.highWatermark}
		if tt.aborted {
			p.AbortedTransactions = []kmsg.FetchResponseTopicPartitionAbortedTransaction{{ProducerID: 7, FirstOffset: 10}}
		}
		got := firstBatch(partitionID{"t", 0}, tt.at, p, kgo.DefaultDecompressor())
		if got.first != tt.first || got.next != tt.next || got.records != tt.records || (got.err != nil) != tt.broken {
			t.Errorf("%s: %+v, want offsets %d to %d, %d records, broken %v", name, got, tt.first, tt.next, tt.records, tt.broken)
		}
	}
}

// claim makes a batch say that it has n records.
func claim(batch []byte, n int32) []byte {
	binary.BigEndian.PutUint32(batch[57:], uint32(n))
	return batch
}

// The limit is what the client decompresses to at most; it allocates nothing beyond.
func TestTheLimitOfABatchIsTheClients(t *testing.T) {
	r, err := newReader([]kgo.Opt{kgo.SeedBrokers("127.0.0.1:1")}, 12_345_678)
	if err != nil {
		t.Fatal(err)
	}
	defer r.close()
	if got := r.client.OptValue(kgo.MaxDecompressBatchBytes); got != 12_345_678 {
		t.Errorf("the client decompresses up to %v bytes, want 12345678", got)
	}
	decompressor, ok := r.client.OptValue(kgo.WithDecompressor).(kgo.Decompressor)
	if !ok {
		t.Fatal("the client does not say how it decompresses")
	}
	compressor, err := kgo.DefaultCompressor(kgo.ZstdCompression())
	if err != nil {
		t.Fatal(err)
	}
	compressed, codec := compressor.Compress(&bytes.Buffer{}, make([]byte, 12_345_679))
	if _, err := decompressor.Decompress(compressed, codec); err == nil {
		t.Error("a batch at which the client has stopped is read with another limit")
	}
}
