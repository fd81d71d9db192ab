package webhook

import (
	"bytes"
	"cmp"
	"container/heap"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"
)

// SenderConfig configures a sender.
type SenderConfig struct {
	Schedule  Schedule
	Speed     float64           // speedup of the schedule's waits; 0: 1
	Now       func() time.Time  // the provider's clock, which signatures show; nil: time.Now
	Workers   int               // concurrent attempts; 0: 8
	Waiting   int               // pending messages, retries included; 0: 100,000
	Attempted func(Attempt)     // called after each attempt, from several goroutines; may be nil
	Transport http.RoundTripper // nil: one of its own
}

// Attempt is an attempt to deliver a message.
type Attempt struct {
	Message   Message
	Number    int // from 1
	At        time.Time
	Status    int // 0: no response
	Err       error
	Delivered bool // the status was 2xx
	GivenUp   bool // it failed and was the last one of the schedule
}

// Count counts the attempt: delivered, or failed and, if it was the last one, given_up.
func (a Attempt) Count(books map[string]int64) {
	if a.Delivered {
		books["delivered"]++
		return
	}
	books["failed"]++
	if a.GivenUp {
		books["given_up"]++
	}
}

// ErrFull says that too many messages are pending.
var ErrFull = errors.New("too many webhooks wait: their receivers do not answer")

// Sender delivers messages at least once: failed deliveries are retried by the schedule.
type Sender struct {
	config SenderConfig
	client *http.Client
	ctx    context.Context
	cancel context.CancelFunc
	wake   chan struct{}
	slots  chan struct{}
	done   sync.WaitGroup

	mu       sync.Mutex
	waiting  queue
	inFlight int
	serial   uint64
}

// Start returns a sender with the provider's clock. The provider's schedule is the default of Schedule; attempted is called before
// Attempted.
func (c SenderConfig) Start(schedule Schedule, now func() time.Time, attempted func(Attempt)) *Sender {
	if c.Schedule.Timeout == 0 {
		c.Schedule = schedule
	}
	c.Now = now
	also := c.Attempted
	c.Attempted = func(a Attempt) {
		attempted(a)
		if also != nil {
			also(a)
		}
	}
	return NewSender(c)
}

// NewSender returns a sender that works until it is closed.
func NewSender(config SenderConfig) *Sender {
	if config.Now == nil {
		config.Now = time.Now
	}
	config.Speed = cmp.Or(config.Speed, 1)
	config.Waiting = cmp.Or(config.Waiting, 100_000)
	if config.Transport == nil {
		config.Transport = &http.Transport{
			DialContext:         (&net.Dialer{Timeout: config.Schedule.Connect}).DialContext,
			MaxIdleConnsPerHost: 2, IdleConnTimeout: 30 * time.Second,
		}
	}
	s := &Sender{
		config: config, wake: make(chan struct{}, 1), slots: make(chan struct{}, cmp.Or(config.Workers, 8)),
		client: &http.Client{
			Transport: config.Transport, Timeout: config.Schedule.Timeout,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.done.Go(s.run)
	return s
}

// Send queues a message. It does not wait for the delivery.
func (s *Sender) Send(m Message) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.waiting) >= s.config.Waiting {
		return fmt.Errorf("%s %s: %w", m.Provider, m.Topic, ErrFull)
	}
	s.push(waiting{message: m, due: time.Now()})
	return nil
}

// Pending returns the number of messages that are queued or in flight.
func (s *Sender) Pending() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.waiting) + s.inFlight
}

// Close stops the sender, drops what is queued, and returns how many messages that were.
func (s *Sender) Close() int {
	s.cancel()
	s.done.Wait()
	s.client.CloseIdleConnections()
	return s.Pending()
}

// push queues a message. The caller holds mu.
func (s *Sender) push(w waiting) {
	s.serial++
	w.serial = s.serial
	heap.Push(&s.waiting, w)
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

func (s *Sender) run() {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		select {
		case s.slots <- struct{}{}:
		case <-s.ctx.Done():
			return
		}
		for {
			w, wait := s.next()
			if wait == 0 {
				s.done.Go(func() { s.attempt(w) })
				break
			}
			timer.Reset(wait)
			select {
			case <-timer.C:
			case <-s.wake:
			case <-s.ctx.Done():
				return
			}
		}
	}
}

// next returns a message that is due, or how long it is until one is.
func (s *Sender) next() (waiting, time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.waiting) == 0 {
		return waiting{}, time.Hour
	}
	if wait := time.Until(s.waiting[0].due); wait > 0 {
		return waiting{}, wait
	}
	s.inFlight++
	return heap.Pop(&s.waiting).(waiting), 0
}

func (s *Sender) attempt(w waiting) {
	defer func() { <-s.slots }()
	a := Attempt{Message: w.message, Number: w.failures + 1, At: s.config.Now()}
	a.Status, a.Err = s.post(w.message, a.At)
	a.Delivered = a.Err == nil && a.Status/100 == 2
	a.GivenUp = !a.Delivered && (w.message.Once || w.failures == len(s.config.Schedule.Retries))
	if s.ctx.Err() != nil && !a.Delivered { // closed meanwhile: the message stays pending
		return
	}
	// Attempted runs while the message is pending: when none is pending, all attempts have been reported.
	if s.config.Attempted != nil {
		s.config.Attempted(a)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.inFlight--
	if !a.Delivered && !a.GivenUp {
		wait := time.Duration(float64(s.config.Schedule.Retries[w.failures]) / s.config.Speed)
		s.push(waiting{message: w.message, failures: w.failures + 1, due: time.Now().Add(wait)})
	}
}

func (s *Sender) post(m Message, at time.Time) (int, error) {
	request, err := http.NewRequestWithContext(s.ctx, http.MethodPost, m.URL, bytes.NewReader(m.Body))
	if err != nil {
		return 0, fmt.Errorf("%s webhook %s: %w", m.Provider, m.Topic, err)
	}
	if err := m.sign(request.Header, at); err != nil {
		return 0, err
	}
	response, err := s.client.Do(request)
	if err != nil {
		return 0, fmt.Errorf("%s webhook %s: %w", m.Provider, m.Topic, err)
	}
	defer response.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(response.Body, 64<<10)) // so that the connection can be reused
	return response.StatusCode, nil
}

// waiting is a message with the time of its next attempt.
type waiting struct {
	message  Message
	failures int
	due      time.Time
	serial   uint64 // first in, first out
}

type queue []waiting

func (q queue) Len() int { return len(q) }
func (q queue) Less(i, j int) bool {
	return cmp.Or(q[i].due.Compare(q[j].due), cmp.Compare(q[i].serial, q[j].serial)) < 0
}
func (q queue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *queue) Push(w any)   { *q = append(*q, w.(waiting)) }
func (q *queue) Pop() any {
	last := (*q)[len(*q)-1]
	(*q)[len(*q)-1] = waiting{}
	*q = (*q)[:len(*q)-1]
	return last
}
