package jobs

import (
	"strings"
	"sync"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Count counts the jobs of a queue. Enqueued is always the sum of Queued, Running, Finished, Dead and Lost.
type Count struct {
	Enqueued int64 `json:"enqueued"` // jobs, including those of an earlier run that were found in the queue
	Queued   int64 `json:"queued"`   // jobs that wait for an attempt
	Running  int64 `json:"running"`
	Finished int64 `json:"finished"` // succeeded, or failed for good without a dead letter
	Dead     int64 `json:"dead"`
	Lost     int64 `json:"lost"` // deleted by the broker before they were read; known when the next job of the partition is read

	Unsent   int64 `json:"unsent"`   // of Queued: not acknowledged by the broker yet
	Attempts int64 `json:"attempts"` // that have ended
	Retried  int64 `json:"retried"`  // of Attempts: followed by another attempt
}

// earlierRunKept is how many finished jobs of an earlier run are remembered.
const earlierRunKept = 10_000

// tracker tracks every unfinished job.
type tracker struct {
	run string // prefix of this run's ids

	mu     sync.Mutex
	counts map[string]*Count
	open   map[string]*openJob
	// Finished jobs of an earlier run, and their order.
	earlierRun map[string]bool
	order      []string
}

// openJob is an unfinished job.
type openJob struct {
	attempt     int            // running, or the next one
	inProgress  chan struct{}  // closed when the attempt has ended; nil: no attempt is running
	unpublished chan struct{}  // closed when the record of the attempt is written; nil: it is written
	partition   topicPartition // of that record, if known
	offset      int64
}

func newTracker(run string) *tracker {
	l := &tracker{run: run, counts: map[string]*Count{}, open: map[string]*openJob{}, earlierRun: map[string]bool{}}
	for _, queue := range Queues() {
		l.counts[queue] = &Count{}
	}
	return l
}

// enqueued adds a job whose record is not written yet.
func (l *tracker) enqueued(j *Job) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open[j.ID] = &openJob{attempt: j.Attempt, unpublished: make(chan struct{})}
	c := l.counts[j.Queue]
	c.Enqueued++
	c.Queued++
	c.Unsent++
}

// published sets that the record of an attempt is written, and where.
func (l *tracker) published(j *Job, r *kgo.Record) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if j.Attempt == 1 {
		l.counts[j.Queue].Unsent--
	}
	// The attempt may have ended already: a worker may read the record before its acknowledgement arrives.
	if e := l.open[j.ID]; e != nil && e.attempt == j.Attempt && e.unpublished != nil {
		close(e.unpublished)
		e.unpublished, e.partition, e.offset = nil, topicPartition{r.Topic, r.Partition}, r.Offset
	}
}

// markLost counts jobs as lost whose records lie before the first offset that a partition still has, unless an attempt is running.
func (l *tracker) markLost(at topicPartition, offset int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for id, e := range l.open {
		if e.partition == at && e.offset < offset && e.inProgress == nil && e.unpublished == nil {
			c := l.counts[queueOf(at.topic)]
			c.Queued--
			c.Lost++
			delete(l.open, id)
		}
	}
}

// startAttempt starts an attempt. If it must not start, because another is running or its record is outdated, startAttempt returns what
// to wait for before the next try; nil: the record has had its effect.
func (l *tracker) startAttempt(j *Job) (ok bool, wait <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e, c := l.open[j.ID], l.counts[j.Queue]
	if e == nil {
		if strings.HasPrefix(j.ID, l.run) || l.earlierRun[j.ID] {
			return false, nil
		}
		e = &openJob{}
		l.open[j.ID] = e
		c.Enqueued++
		c.Queued++
	}
	switch {
	case j.Attempt < e.attempt:
		return false, e.unpublished
	case e.inProgress != nil:
		return false, e.inProgress
	}
	if e.unpublished != nil { // the record was read, so it is written
		close(e.unpublished)
		e.unpublished = nil
	}
	e.attempt, e.inProgress = j.Attempt, make(chan struct{})
	c.Queued--
	c.Running++
	return true, nil
}

// endAttempt ends an attempt with its outcome. A dead job stays open until its dead letter is written.
func (l *tracker) endAttempt(j *Job, outcome string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := l.counts[j.Queue]
	c.Running--
	c.Attempts++
	switch outcome {
	case Retried:
		c.Retried++
		c.Queued++
		e := l.open[j.ID]
		close(e.inProgress)
		*e = openJob{attempt: j.Attempt + 1, unpublished: make(chan struct{})}
	case Dead:
		c.Dead++
	default:
		c.Finished++
		l.finish(j)
	}
}

// deadLettered finishes a job whose dead letter is written.
func (l *tracker) deadLettered(j *Job) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.finish(j)
}

// finish removes a job. The caller holds mu.
func (l *tracker) finish(j *Job) {
	close(l.open[j.ID].inProgress)
	delete(l.open, j.ID)
	if strings.HasPrefix(j.ID, l.run) {
		return
	}
	l.earlierRun[j.ID] = true
	if l.order = append(l.order, j.ID); len(l.order) > earlierRunKept {
		delete(l.earlierRun, l.order[0])
		l.order = l.order[1:]
	}
}

func (l *tracker) state() map[string]Count {
	l.mu.Lock()
	defer l.mu.Unlock()
	state := map[string]Count{}
	for queue, c := range l.counts {
		state[queue] = *c
	}
	return state
}
