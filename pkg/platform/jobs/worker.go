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
	commitEvery = 100 * time.Millisecond
	leaving     = 2 * time.Second // for the last commit, and for leaving the group
)

// worker is a member of the group.
type worker struct {
	*Pool
	number int
	client *kgo.Client
	slots  chan struct{} // one for each job in hand
	hands  sync.WaitGroup

	lining sync.Mutex
	lines  map[place]*line
}

type place struct {
	topic     string
	partition int32
}

// line is the records of a partition that are in hand, in their order: a record is committed when all before it are.
type line struct {
	records []*held
	next    int64 // offset of the record that comes next, if none is missing
}

type held struct {
	*kgo.Record
	line *line
	done bool
}

func (p *Pool) newWorker(number int) (*worker, error) {
	w := &worker{Pool: p, number: number, slots: make(chan struct{}, p.config.AtOnce), lines: map[place]*line{}}
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
		kgo.BlockRebalanceOnPoll(), // no partition goes between a poll and the line
		kgo.OnPartitionsRevoked(func(ctx context.Context, client *kgo.Client, gone map[string][]int32) {
			w.forget(gone)
			w.commit(ctx, client)
		}),
		kgo.OnPartitionsLost(func(_ context.Context, _ *kgo.Client, gone map[string][]int32) { w.forget(gone) }),
	)...)
	if err != nil {
		return nil, fmt.Errorf("jobs: worker: %w", err)
	}
	w.client = client
	return w, nil
}

// commit commits what is marked. What cannot be committed comes again, and is recognised.
func (w *worker) commit(ctx context.Context, client *kgo.Client) {
	ctx, cancel := context.WithTimeout(ctx, leaving)
	defer cancel()
	if err := client.CommitMarkedOffsets(ctx); err != nil {
		w.config.Logger.Debug("jobs: commit", "worker", w.number+1, "err", err)
	}
}

// run works until the context ends; then it finishes what it has in hand, commits, and leaves the group.
func (w *worker) run(ctx context.Context) {
	for w.take(ctx) {
	}
	w.client.AllowRebalance()
	w.hands.Wait()
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaving)
	defer cancel()
	w.commit(end, w.client)
	if err := w.client.LeaveGroupContext(end); err != nil {
		w.config.Logger.Debug("jobs: leave the group", "worker", w.number+1, "err", err)
	}
	w.client.Close()
}

// take takes as many jobs as it has hands free, and reports whether to go on.
func (w *worker) take(ctx context.Context) bool {
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
		free-- // its hand is free when it is done
		h := w.hold(r)
		w.hands.Go(func() {
			defer func() { <-w.slots }()
			if w.do(ctx, r) {
				w.release(h)
			}
		})
	})
	return true
}

func (w *worker) hold(r *kgo.Record) *held {
	w.lining.Lock()
	defer w.lining.Unlock()
	at := place{r.Topic, r.Partition}
	l := w.lines[at]
	if l == nil {
		l = &line{}
		w.lines[at] = l
	}
	if r.Offset != l.next {
		w.ledger.lose(at, r.Offset)
	}
	h := &held{Record: r, line: l}
	l.records, l.next = append(l.records, h), r.Offset+1
	return h
}

// release marks what may be committed. Of a partition that has gone to another, nothing may.
func (w *worker) release(h *held) {
	w.lining.Lock()
	defer w.lining.Unlock()
	h.done = true
	l, at := h.line, place{h.Topic, h.Partition}
	if w.lines[at] != l {
		return
	}
	var last *held
	for len(l.records) > 0 && l.records[0].done {
		last, l.records = l.records[0], l.records[1:]
	}
	if last != nil {
		w.client.MarkCommitOffsets(map[string]map[int32]kgo.EpochOffset{h.Topic: {h.Partition: {Epoch: last.LeaderEpoch, Offset: last.Offset + 1}}})
	}
}

// forget forgets the lines of partitions that go to another.
func (w *worker) forget(gone map[string][]int32) {
	w.lining.Lock()
	defer w.lining.Unlock()
	for topic, partitions := range gone {
		for _, partition := range partitions {
			delete(w.lines, place{topic, partition})
		}
	}
}

// do makes the attempt that a record asks for, unless it was made, and reports whether the record has had its effect.
func (w *worker) do(ctx context.Context, r *kgo.Record) bool {
	j, unread := read(r)
	if err := w.gate.enter(ctx); err != nil {
		return false
	}
	for {
		ok, wait := w.ledger.begin(j)
		if ok {
			break
		}
		w.gate.leave()
		if wait == nil {
			return true
		}
		select {
		case <-wait:
		case <-ctx.Done():
			return false
		}
		if err := w.gate.enter(ctx); err != nil {
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
	w.ledger.ended(j, outcome)
	w.gate.leave()
	switch outcome {
	case Retried:
		return w.again(ctx, j)
	case Dead:
		buried := make(chan struct{})
		w.out.write(j.deadLetter(err, w.config.Now()), func(*kgo.Record) {
			w.ledger.buried(j)
			close(buried)
		})
		return written(ctx, buried)
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

// again publishes a job for its next attempt, in a while; at once when the worker has to go.
func (w *worker) again(ctx context.Context, j *Job) bool {
	select {
	case <-time.After(w.config.Backoff << (j.Attempt - 1)):
	case <-ctx.Done():
	}
	next := *j
	next.Attempt++
	published := make(chan struct{})
	record, err := next.record(w.config.Now())
	if err != nil { // it was written before
		panic(err)
	}
	w.out.write(record, func(r *kgo.Record) {
		w.ledger.published(&next, r)
		close(published)
	})
	return written(ctx, published)
}

// written waits until something is written. Who has to go waits a little longer only.
func written(ctx context.Context, done <-chan struct{}) bool {
	select {
	case <-done:
		return true
	case <-ctx.Done():
	}
	select {
	case <-done:
		return true
	case <-time.After(leaving):
		return false
	}
}
