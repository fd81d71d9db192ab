package jobs

import (
	"strings"
	"sync"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Count is what the books say of a queue. Enqueued is always the sum of Queued, Running, Finished, Dead and Lost.
type Count struct {
	Enqueued int64 `json:"enqueued"` // jobs, with those of an earlier run that were found
	Queued   int64 `json:"queued"`   // jobs that wait, for their first attempt or another
	Running  int64 `json:"running"`
	Finished int64 `json:"finished"` // that succeeded, or failed for good without a dead letter
	Dead     int64 `json:"dead"`
	Lost     int64 `json:"lost"` // that the broker dropped before anybody read them; known when the next job of the partition comes

	Unsent   int64 `json:"unsent"`   // of those queued, the ones that wait for the broker and never reached it
	Attempts int64 `json:"attempts"` // that ended
	Retried  int64 `json:"retried"`  // of the attempts, those after which the job was published again
}

// foreignersKept is how many jobs of an earlier run are remembered when they are settled.
const foreignersKept = 10_000

// ledger knows every job that is not settled.
type ledger struct {
	run string // in front of the ids of this run

	mu     sync.Mutex
	counts map[string]*Count
	open   map[string]*entry
	// Jobs of an earlier run that are settled, and in which order they were.
	foreigners map[string]bool
	order      []string
}

// entry is a job that is not settled.
type entry struct {
	attempt   int           // that runs, or comes next
	busy      chan struct{} // closed when the attempt has ended; nil: nobody has it in hand
	publishes chan struct{} // closed when the record of the attempt is written; nil: it is
	place     place         // of that record, when it is known
	offset    int64
}

func newLedger(run string) *ledger {
	l := &ledger{run: run, counts: map[string]*Count{}, open: map[string]*entry{}, foreigners: map[string]bool{}}
	for _, queue := range Queues() {
		l.counts[queue] = &Count{}
	}
	return l
}

// enqueued notes a new job, which is not written yet.
func (l *ledger) enqueued(j *Job) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open[j.ID] = &entry{attempt: j.Attempt, publishes: make(chan struct{})}
	c := l.counts[j.Queue]
	c.Enqueued++
	c.Queued++
	c.Unsent++
}

// published notes that the record of a job's attempt is written, and where.
func (l *ledger) published(j *Job, r *kgo.Record) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if j.Attempt == 1 {
		l.counts[j.Queue].Unsent--
	}
	// The attempt may be over already: the worker may hear of the record earlier than we of its acknowledgement.
	if e := l.open[j.ID]; e != nil && e.attempt == j.Attempt && e.publishes != nil {
		close(e.publishes)
		e.publishes, e.place, e.offset = nil, place{r.Topic, r.Partition}, r.Offset
	}
}

// lose notes that the records of a partition come from an offset on, so that jobs before it that nobody has in hand will
// never come.
func (l *ledger) lose(at place, offset int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for id, e := range l.open {
		if e.place == at && e.offset < offset && e.busy == nil && e.publishes == nil {
			c := l.counts[queueOf(at.topic)]
			c.Queued--
			c.Lost++
			delete(l.open, id)
		}
	}
}

// begin notes that an attempt begins. If it must not, because another has the job in hand or the next attempt is not written
// yet, it returns what to wait for before asking again; nil says that the record has had its effect.
func (l *ledger) begin(j *Job) (ok bool, wait <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e, c := l.open[j.ID], l.counts[j.Queue]
	if e == nil {
		if strings.HasPrefix(j.ID, l.run) || l.foreigners[j.ID] {
			return false, nil
		}
		e = &entry{}
		l.open[j.ID] = e
		c.Enqueued++
		c.Queued++
	}
	switch {
	case j.Attempt < e.attempt:
		return false, e.publishes
	case e.busy != nil:
		return false, e.busy
	}
	if e.publishes != nil { // the record is there
		close(e.publishes)
		e.publishes = nil
	}
	e.attempt, e.busy = j.Attempt, make(chan struct{})
	c.Queued--
	c.Running++
	return true, nil
}

// ended notes the outcome of an attempt. A job that is dead has to be buried when its letter is written.
func (l *ledger) ended(j *Job, outcome string) {
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
		close(e.busy)
		*e = entry{attempt: j.Attempt + 1, publishes: make(chan struct{})}
	case Dead:
		c.Dead++
	default:
		c.Finished++
		l.settle(j)
	}
}

// buried notes that a dead letter is written.
func (l *ledger) buried(j *Job) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.settle(j)
}

// settle forgets a job; who holds mu calls it.
func (l *ledger) settle(j *Job) {
	close(l.open[j.ID].busy)
	delete(l.open, j.ID)
	if strings.HasPrefix(j.ID, l.run) {
		return
	}
	l.foreigners[j.ID] = true
	if l.order = append(l.order, j.ID); len(l.order) > foreignersKept {
		delete(l.foreigners, l.order[0])
		l.order = l.order[1:]
	}
}

func (l *ledger) state() map[string]Count {
	l.mu.Lock()
	defer l.mu.Unlock()
	state := map[string]Count{}
	for queue, c := range l.counts {
		state[queue] = *c
	}
	return state
}
