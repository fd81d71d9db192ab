package events

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// reader reads partitions, each from where it is told to. It knows nothing of groups. One goroutine polls, and each
// partition has one that counts, so that a partition holds up the others only while as much of it waits as fetchedAhead.
type reader struct {
	client     *kgo.Client
	commands   chan func()
	waiting    atomic.Int32 // commands that wait
	stopPoll   atomic.Pointer[context.CancelFunc]
	end        context.CancelFunc
	ended      chan struct{}
	partitions map[partitionID]*readPartition // of the goroutine that polls
}

// readPartition is a partition that is read, and the goroutine that counts it.
type readPartition struct {
	fetched chan fetched
	ended   chan struct{}
}

// fetched is what a fetch has brought of a partition: records, an error, or both.
type fetched struct {
	topicID topicID
	kgo.FetchPartition
}

const (
	// fetchedAhead is how many fetches of a partition wait while another one is counted.
	fetchedAhead = 1
	fetchWait    = 250 * time.Millisecond // how long a broker without records waits for some
	errorPause   = 100 * time.Millisecond // after a fetch that has failed: a broker answers with an error at once, again and again
	// The most that is fetched at once: of a partition, and of a broker.
	fetchPartitionBytes = 1 << 20
	fetchBytes          = 16 << 20
)

// newReader starts a reader without partitions. A batch that is larger than maxBatch when it is decompressed is an error
// of its partition.
func newReader(options []kgo.Opt, maxBatch int) (*reader, error) {
	client, err := kgo.NewClient(append([]kgo.Opt{
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.KeepControlRecords(),                    // the offset moves past them
		kgo.KeepRetryableFetchErrors(),              // an error that goes on is said
		kgo.ConsumeResetOffset(kgo.NoResetOffset()), // where to go on is decided by startOffset
		kgo.MaxDecompressBatchBytes(maxBatch),
		kgo.FetchMaxWait(fetchWait),
		kgo.FetchMaxPartitionBytes(fetchPartitionBytes),
		kgo.FetchMaxBytes(fetchBytes),
		kgo.WithPools(new(recordPool)),
	}, options...)...)
	if err != nil {
		return nil, fmt.Errorf("kafka: %w", err)
	}
	ctx, end := context.WithCancel(context.Background())
	r := &reader{
		client: client, end: end,
		commands: make(chan func()), ended: make(chan struct{}),
		partitions: map[partitionID]*readPartition{},
	}
	r.stopPoll.Store(&end)
	go r.run(ctx)
	return r, nil
}

func (r *reader) run(ctx context.Context) {
	defer close(r.ended)
	defer r.client.Close()
	for ctx.Err() == nil {
		poll, stop := context.WithCancel(ctx)
		r.stopPoll.Store(&stop)
		if r.waiting.Load() > 0 {
			(<-r.commands)()
			r.waiting.Add(-1)
		} else {
			r.dispatch(r.client.PollFetches(poll))
		}
		stop()
	}
	for id := range r.partitions {
		r.stop(id)
	}
}

// do runs f in the goroutine that polls: all that was polled before has been given to the partitions it belongs to.
func (r *reader) do(f func()) {
	done := make(chan struct{})
	r.waiting.Add(1)
	(*r.stopPoll.Load())()
	select {
	case r.commands <- func() { defer close(done); f() }:
		<-done
	case <-r.ended:
	}
}

// add reads a partition from an offset on. handle is called with what was fetched, from one goroutine, until remove; it must
// not call the reader.
func (r *reader) add(id partitionID, from int64, handle func(fetched)) {
	r.do(func() {
		p := &readPartition{fetched: make(chan fetched, fetchedAhead), ended: make(chan struct{})}
		r.partitions[id] = p
		go func() {
			defer close(p.ended)
			for f := range p.fetched {
				handle(f)
			}
		}()
		// Without an epoch: whether the log has lost its tail was found out by startOffset.
		start := kgo.NewOffset().At(from).WithEpoch(-1)
		r.client.AddConsumePartitions(map[string]map[int32]kgo.Offset{id.topic: {id.partition: start}})
	})
}

// remove ends the reading of partitions. When it returns, nothing of them is handled any more.
func (r *reader) remove(ids []partitionID) {
	r.do(func() {
		partitions := map[string][]int32{}
		for _, id := range ids {
			if r.partitions[id] != nil {
				partitions[id.topic] = append(partitions[id.topic], id.partition)
			}
		}
		r.client.RemoveConsumePartitions(partitions)
		for _, id := range ids {
			r.stop(id)
		}
	})
}

// forget makes the client forget the id of a topic that was made anew. Its partitions are not read on until they are added
// again.
func (r *reader) forget(topic string) {
	r.do(func() { r.client.PurgeTopicsFromConsuming(topic) })
}

// close ends the reader.
func (r *reader) close() {
	r.end()
	<-r.ended
}

func (r *reader) stop(id partitionID) {
	if p := r.partitions[id]; p != nil {
		delete(r.partitions, id)
		close(p.fetched)
		<-p.ended
	}
}

// dispatch gives each partition what was fetched of it. That a log has lost its tail comes before the records that were
// fetched since, whatever the order in which the client has them: they do not follow what was counted.
func (r *reader) dispatch(fetches kgo.Fetches) {
	r.dispatchIf(fetches, isDataLoss)
	r.dispatchIf(fetches, func(err error) bool { return !isDataLoss(err) })
}

func (r *reader) dispatchIf(fetches kgo.Fetches, wanted func(error) bool) {
	for _, fetch := range fetches {
		for _, topic := range fetch.Topics {
			for _, partition := range topic.Partitions {
				if p := r.partitions[partitionID{topic.Topic, partition.Partition}]; p != nil && wanted(partition.Err) {
					if partition.Err != nil {
						failing := map[string][]int32{topic.Topic: {partition.Partition}}
						r.client.PauseFetchPartitions(failing)
						time.AfterFunc(errorPause, func() { r.client.ResumeFetchPartitions(failing) })
					}
					p.fetched <- fetched{topic.TopicID, partition}
				}
			}
		}
	}
}

func isDataLoss(err error) bool {
	_, ok := errors.AsType[*kgo.ErrDataLoss](err)
	return ok
}
