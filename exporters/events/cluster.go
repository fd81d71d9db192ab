package events

import (
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// What the brokers say about topics and partitions. The requests are made by hand, because what cannot be said about one
// topic or partition must not hide the others.

// partitionID identifies a partition.
type partitionID struct {
	topic     string
	partition int32
}

func (id partitionID) String() string { return fmt.Sprintf("%s/%d", id.topic, id.partition) }

// topicID identifies a topic of a name: one that is made anew has another id. It is zero when the brokers have none
// (before Kafka 2.8).
type topicID [16]byte

// String returns the id as Kafka's own tools write it, empty for none.
func (id topicID) String() string {
	if id == (topicID{}) {
		return ""
	}
	return base64.RawURLEncoding.EncodeToString(id[:])
}

// parseTopicID is the reverse of String; what it cannot read is no id.
func parseTopicID(s string) (id topicID) {
	b, _ := base64.RawURLEncoding.DecodeString(s)
	copy(id[:], b)
	return id
}

// topicState is a topic, as the brokers describe it.
type topicState struct {
	id         topicID
	err        error           // the topic does not exist, or may not be described
	partitions map[int32]error // nil for a partition that has a leader
	leaders    map[int32]int32
}

// describe returns the state of each of the topics.
func describe(ctx context.Context, client *kgo.Client, topics []string) (map[string]topicState, error) {
	request := kmsg.NewPtrMetadataRequest()
	request.AllowAutoTopicCreation = false // a topic that was deleted must not come back because we look at it
	for _, topic := range topics {
		t := kmsg.NewMetadataRequestTopic()
		t.Topic = kmsg.StringPtr(topic)
		request.Topics = append(request.Topics, t)
	}
	response, err := request.RequestWith(ctx, client)
	if err != nil {
		return nil, fmt.Errorf("ask Kafka for the topics: %w", err)
	}
	states := map[string]topicState{}
	for _, topic := range topics {
		states[topic] = topicState{err: kerr.UnknownTopicOrPartition}
	}
	for _, t := range response.Topics {
		if t.Topic == nil {
			continue
		}
		s := topicState{id: t.TopicID, err: kerr.ErrorForCode(t.ErrorCode), partitions: map[int32]error{}, leaders: map[int32]int32{}}
		for _, p := range t.Partitions {
			err := kerr.ErrorForCode(p.ErrorCode)
			if p.Leader < 0 && err == nil {
				err = kerr.LeaderNotAvailable
			}
			if errors.Is(err, kerr.ReplicaNotAvailable) { // it is available where it is read from
				err = nil
			}
			s.partitions[p.Partition], s.leaders[p.Partition] = err, p.Leader
		}
		states[*t.Topic] = s
	}
	return states, nil
}

// bounds are the oldest offset of a partition, and the end of what can be read: the last stable offset, before the first
// record of a transaction that is still open.
type bounds struct{ oldest, newest int64 }

// listBounds returns the bounds of the partitions, or why there are none.
func listBounds(ctx context.Context, client *kgo.Client, partitions []partitionID) (map[partitionID]bounds, map[partitionID]error) {
	failures := map[partitionID]error{}
	oldest := listOffsets(ctx, client, partitions, -2, failures)
	newest := listOffsets(ctx, client, partitions, -1, failures)
	all := map[partitionID]bounds{}
	for _, id := range partitions {
		if failures[id] == nil {
			all[id] = bounds{oldest[id], newest[id]}
		}
	}
	return all, failures
}

// listOffsets lists the offsets of a time: -2 is the oldest, -1 the last stable one.
func listOffsets(ctx context.Context, client *kgo.Client, partitions []partitionID, timestamp int64, failures map[partitionID]error) map[partitionID]int64 {
	request := kmsg.NewPtrListOffsetsRequest()
	request.ReplicaID = -1
	request.IsolationLevel = 1 // read committed
	topics := map[string]int{}
	for _, id := range partitions {
		at, ok := topics[id.topic]
		if !ok {
			at = len(request.Topics)
			topics[id.topic] = at
			t := kmsg.NewListOffsetsRequestTopic()
			t.Topic = id.topic
			request.Topics = append(request.Topics, t)
		}
		p := kmsg.NewListOffsetsRequestTopicPartition()
		p.Partition, p.Timestamp, p.CurrentLeaderEpoch = id.partition, timestamp, -1
		request.Topics[at].Partitions = append(request.Topics[at].Partitions, p)
	}
	if len(partitions) == 0 {
		return nil
	}
	offsets := map[partitionID]int64{}
	var lastErr error
	for _, shard := range client.RequestSharded(ctx, request) { // one of each leader
		response, ok := shard.Resp.(*kmsg.ListOffsetsResponse)
		if shard.Err != nil || !ok {
			lastErr = shard.Err
			continue
		}
		for _, t := range response.Topics {
			for _, p := range t.Partitions {
				id := partitionID{t.Topic, p.Partition}
				if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
					failures[id] = err
				} else {
					offsets[id] = p.Offset
				}
			}
		}
	}
	for _, id := range partitions {
		if _, ok := offsets[id]; !ok && failures[id] == nil {
			failures[id] = errors.New("the brokers do not answer which offsets it has")
			if lastErr != nil {
				failures[id] = lastErr
			}
		}
	}
	return offsets
}

// batchAt is the batch of records at an offset, read apart from the others.
type batchAt struct {
	first, next int64 // offsets
	records     int64 // 0 when none of them is to be counted: of an aborted transaction, or its marker
	err         error // why it cannot be read
}

// readBatch reads the batch at an offset. Nothing of the batch but its header is kept.
func readBatch(ctx context.Context, client *kgo.Client, id partitionID, at int64) (batchAt, error) {
	topics, err := describe(ctx, client, []string{id.topic})
	if err != nil {
		return batchAt{}, err
	}
	topic := topics[id.topic]
	if err := cmp.Or(topic.err, topic.partitions[id.partition]); err != nil {
		return batchAt{}, err
	}
	request := kmsg.NewPtrFetchRequest()
	request.ReplicaID = -1
	request.IsolationLevel = 1 // read committed
	request.MaxWaitMillis, request.MinBytes, request.MaxBytes = 100, 1, 1
	request.SessionEpoch = -1 // no session
	t := kmsg.NewFetchRequestTopic()
	t.Topic, t.TopicID = id.topic, topic.id
	p := kmsg.NewFetchRequestTopicPartition()
	p.Partition, p.FetchOffset, p.PartitionMaxBytes = id.partition, at, 1 // the first batch comes whole, whatever the limit
	t.Partitions = append(t.Partitions, p)
	request.Topics = append(request.Topics, t)
	response, err := client.Broker(int(topic.leaders[id.partition])).RetriableRequest(ctx, request)
	if err != nil {
		return batchAt{}, err
	}
	decompressor, _ := client.OptValue(kgo.WithDecompressor).(kgo.Decompressor) // the client's own, which keeps to its limit
	if topics := response.(*kmsg.FetchResponse).Topics; len(topics) == 1 && len(topics[0].Partitions) == 1 {
		answer := &topics[0].Partitions[0]
		if err := kerr.ErrorForCode(answer.ErrorCode); err != nil {
			return batchAt{}, err
		}
		return firstBatch(id, at, answer, decompressor), nil
	}
	return batchAt{}, fmt.Errorf("the broker does not answer what is at offset %d", at)
}

// firstBatch is the first batch of what was fetched at an offset.
func firstBatch(id partitionID, at int64, p *kmsg.FetchResponseTopicPartition, decompressor kgo.Decompressor) batchAt {
	if len(p.RecordBatches) == 0 {
		return batchAt{first: at, next: at}
	}
	var header kmsg.RecordBatch
	unreadable := header.ReadFrom(p.RecordBatches)
	b := batchAt{header.FirstOffset, header.FirstOffset + int64(header.LastOffsetDelta) + 1, int64(header.NumRecords), nil}
	one := *p
	if end := int64(header.Length) + 12; header.Length >= 0 && end < int64(len(p.RecordBatches)) {
		one.RecordBatches = p.RecordBatches[:end]
	}
	read, next := kgo.ProcessFetchPartition(kgo.ProcessFetchPartitionOpts{
		KeepControlRecords: true, Offset: at, IsolationLevel: kgo.ReadCommitted(), Topic: id.topic, Partition: id.partition,
	}, &one, decompressor, nil)
	switch {
	case read.Err != nil:
		b.err = read.Err
	case next <= at:
		b.err = errors.New("its records cannot be decoded")
	case len(read.Records) > 0: // there is something to read
		return batchAt{first: at, next: at}
	default:
		return batchAt{first: at, next: next}
	}
	if unreadable != nil || header.Magic != 2 || b.next <= at || b.next > p.HighWatermark || b.records < 0 || b.records > b.next-b.first {
		// The header says nothing that can be true. The next offset is tried, and if it is of the same batch, the one after it.
		return batchAt{at, at + 1, 1, b.err}
	}
	const transactional, control = 1 << 4, 1 << 5
	aborted := header.Attributes&transactional != 0 && slices.ContainsFunc(p.AbortedTransactions, func(a kmsg.FetchResponseTopicPartitionAbortedTransaction) bool {
		return a.ProducerID == header.ProducerID && a.FirstOffset <= header.FirstOffset
	})
	if aborted || header.Attributes&control != 0 {
		b.records = 0
	}
	return b
}
