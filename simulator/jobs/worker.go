package jobs

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	commitEvery  = 100 * time.Millisecond
	leaveTimeout = 2 * time.Second // for the last commit, and for leaving the group
)

// worker is a member of the group.
type worker struct {
	*Pool
	number   int
	client   *kgo.Client
	slots    chan struct{} // one for each job in progress
	inFlight sync.WaitGroup

	partitionsMu sync.Mutex
	partitions   map[topicPartition]*partitionQueue
}

type topicPartition struct {
	topic     string
	partition int32
}

// partitionQueue holds the records of a partition that are in progress, in order. A record is committed when all before it are done.
type partitionQueue struct {
	records []*pendingRecord
	next    int64 // the next offset, if none is missing
}

type pendingRecord struct {
	*kgo.Record
	queue *partitionQueue
	done  bool
}

func (p *Pool) newWorker(number int) (*worker, error) {
	w := &worker{Pool: p, number: number, slots: make(chan struct{}, p.config.MaxInFlight), partitions: map[topicPartition]*partitionQueue{}}
	var topics []string
	for _, queue := range Queues() {
		topics = append(topics, topicOf(queue))
	}
	client, err := kgo.NewClient(append(clientOptions(p.config.Brokers, fmt.Sprintf("platform-worker-%d", number+1)),
		kgo.ConsumerGroup(Group),
		kgo.ConsumeTopics(topics...),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.SessionTimeout(10*time.Second),
		kgo.HeartbeatInterval(time.Second),
		kgo.FetchMaxWait(time.Second),
		kgo.AutoCommitMarks(),
		kgo.AutoCommitInterval(commitEvery),
		kgo.BlockRebalanceOnPoll(), // no partition is revoked between poll and track
		kgo.OnPartitionsRevoked(func(ctx context.Context, client *kgo.Client, gone map[string][]int32) {
			w.revoke(gone)
			w.commit(ctx, client)
		}),
		kgo.OnPartitionsLost(func(_ context.Context, _ *kgo.Client, gone map[string][]int32) { w.revoke(gone) }),
	)...)
	if err != nil {
		return nil, fmt.Errorf("jobs: worker: %w", err)
	}
	w.client = client
	return w, nil
}

// commit commits the marked offsets. After a failed commit the records are consumed again, and recognised.
func (w *worker) commit(ctx context.Context, client *kgo.Client) {
	ctx, cancel := context.WithTimeout(ctx, leaveTimeout)
	defer cancel()
	if err := client.CommitMarkedOffsets(ctx); err != nil {
		w.config.Logger.Debug("jobs: commit", "worker", w.number+1, "err", err)
	}
}

// run works until the context ends; then it finishes its jobs, commits, and leaves the group.
func (w *worker) run(ctx context.Context) {
	for w.poll(ctx) {
	}
	w.client.AllowRebalance()
	w.inFlight.Wait()
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaveTimeout)
	defer cancel()
	w.commit(end, w.client)
	if err := w.client.LeaveGroupContext(end); err != nil {
		w.config.Logger.Debug("jobs: leave the group", "worker", w.number+1, "err", err)
	}
	w.client.Close()
}

// poll polls as many records as there are free slots, and reports whether to go on.
func (w *worker) poll(ctx context.Context) bool {
	free := 0
	select {
	case w.slots <- struct{}{}:
		free++
	case <-ctx.Done():
		return false
	}
	for more := true; more; {
		select {
		case w.slots <- struct{}{}:
			free++
		default:
			more = false
		}
	}
	defer func() {
		for range free {
			<-w.slots
		}
	}()
	defer w.client.AllowRebalance()
	fetches := w.client.PollRecords(ctx, free)
	if ctx.Err() != nil {
		return false
	}
	fetches.EachError(func(topic string, _ int32, err error) {
		w.config.Logger.Debug("jobs: fetch", "worker", w.number+1, "topic", topic, "err", err)
	})
	fetches.EachRecord(func(r *kgo.Record) {
		free-- // its slot is freed when it is done
		h := w.track(r)
		w.inFlight.Go(func() {
			defer func() { <-w.slots }()
			if w.process(ctx, r) {
				w.markDone(h)
			}
		})
	})
	return true
}

func (w *worker) track(r *kgo.Record) *pendingRecord {
	w.partitionsMu.Lock()
	defer w.partitionsMu.Unlock()
	at := topicPartition{r.Topic, r.Partition}
	l := w.partitions[at]
	if l == nil {
		l = &partitionQueue{}
		w.partitions[at] = l
	}
	if r.Offset != l.next {
		w.tracker.markLost(at, r.Offset)
	}
	h := &pendingRecord{Record: r, queue: l}
	l.records, l.next = append(l.records, h), r.Offset+1
	return h
}

// markDone marks the offsets that may be committed: none of a partition that was revoked.
func (w *worker) markDone(h *pendingRecord) {
	w.partitionsMu.Lock()
	defer w.partitionsMu.Unlock()
	h.done = true
	l, at := h.queue, topicPartition{h.Topic, h.Partition}
	if w.partitions[at] != l {
		return
	}
	var last *pendingRecord
	for len(l.records) > 0 && l.records[0].done {
		last, l.records = l.records[0], l.records[1:]
	}
	if last != nil {
		w.client.MarkCommitOffsets(map[string]map[int32]kgo.EpochOffset{h.Topic: {h.Partition: {Epoch: last.LeaderEpoch, Offset: last.Offset + 1}}})
	}
}

// revoke forgets revoked partitions.
func (w *worker) revoke(revoked map[string][]int32) {
	w.partitionsMu.Lock()
	defer w.partitionsMu.Unlock()
	for topic, partitions := range revoked {
		for _, partition := range partitions {
			delete(w.partitions, topicPartition{topic, partition})
		}
	}
}

// process makes the attempt of a record, unless it was made before, and reports whether the record may be committed.
func (w *worker) process(ctx context.Context, r *kgo.Record) bool {
	j, unread := parseJob(r)
	if err := w.pauseGate.enter(ctx); err != nil {
		return false
	}
	for {
		ok, wait := w.tracker.startAttempt(j)
		if ok {
			break
		}
		w.pauseGate.leave()
		if wait == nil {
			return true
		}
		select {
		case <-wait:
		case <-ctx.Done():
			return false
		}
		if err := w.pauseGate.enter(ctx); err != nil {
			return false
		}
	}
	begun := w.config.Now()
	err := unread
	if err == nil {
		err = w.config.Work(*j)
	}
	outcome := w.outcome(j, err)
	w.config.Report(Finished{
		Job: *j, Outcome: outcome, Err: err, Worker: w.number,
		Wait: max(begun.Sub(r.Timestamp), 0), Duration: w.config.Now().Sub(begun),
	})
	w.tracker.endAttempt(j, outcome)
	w.pauseGate.leave()
	switch outcome {
	case Retried:
		return w.retry(ctx, j)
	case Dead:
		return w.write(ctx, j.deadLetter(err, w.config.Now()), func(*kgo.Record) { w.tracker.deadLettered(j) })
	}
	return true
}

func (w *worker) outcome(j *Job, err error) string {
	switch {
	case err == nil:
		return Succeeded
	case errors.Is(err, ErrFinal):
		return Failed
	case errors.Is(err, ErrPoison), j.Attempt >= w.config.Attempts:
		return Dead
	default:
		return Retried
	}
}

// retry publishes the next attempt of a job after the backoff; immediately when the worker stops.
func (w *worker) retry(ctx context.Context, j *Job) bool {
	select {
	case <-time.After(w.config.Backoff << (j.Attempt - 1)):
	case <-ctx.Done():
	}
	next := *j
	next.Attempt++
	record, err := next.record(w.config.Now())
	if err != nil { // it was encoded before
		panic(err)
	}
	return w.write(ctx, record, func(r *kgo.Record) { w.tracker.published(&next, r) })
}

// write writes a record, and reports whether it is written. A worker that stops waits for leaveTimeout only.
func (w *worker) write(ctx context.Context, r *kgo.Record, written func(*kgo.Record)) bool {
	done := make(chan struct{})
	w.out.write(r, func(r *kgo.Record) {
		written(r)
		close(done)
	})
	select {
	case <-done:
		return true
	case <-ctx.Done():
	}
	select {
	case <-done:
		return true
	case <-time.After(leaveTimeout):
		return false
	}
}
