package webhook

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"time"
)

// SenderConfig configures a sender.
type SenderConfig struct {
	Speed     float64           // speedup of the schedule's waits; 0: 1
	Workers   int               // concurrent attempts; 0: 8
	Pending   int               // messages, retries and those in flight included; 0: 100,000
	Transport http.RoundTripper // nil: one of its own
}

// Attempt is an attempt to deliver a message.
type Attempt struct {
	Message   Message
	Status    int  // 0: no response
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

// Sender delivers messages at least once, each in a goroutine of its own: failed deliveries are retried by the schedule.
type Sender struct {
	config    SenderConfig
	schedule  Schedule
	now       func() time.Time
	attempted func(Attempt)
	client    *http.Client
	ctx       context.Context
	cancel    context.CancelFunc
	slots     chan struct{}
	delivery  sync.WaitGroup

	mu      sync.Mutex
	pending int
}

// Start returns a sender with the provider's schedule and clock, which works until it is closed. After each attempt, attempted is called,
// from several goroutines.
func (c SenderConfig) Start(schedule Schedule, now func() time.Time, attempted func(Attempt)) *Sender {
	c.Speed = cmp.Or(c.Speed, 1)
	c.Pending = cmp.Or(c.Pending, 100_000)
	if c.Transport == nil {
		c.Transport = &http.Transport{
			DialContext:         (&net.Dialer{Timeout: schedule.Connect}).DialContext,
			MaxIdleConnsPerHost: 2, IdleConnTimeout: 30 * time.Second,
		}
	}
	s := &Sender{
		config: c, schedule: schedule, now: now, attempted: attempted, slots: make(chan struct{}, cmp.Or(c.Workers, 8)),
		client: &http.Client{
			Transport: c.Transport, Timeout: schedule.Timeout,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	return s
}

// Send queues a message. It does not wait for the delivery.
func (s *Sender) Send(m Message) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.pending >= s.config.Pending {
		return ErrFull
	}
	s.pending++
	if s.ctx.Err() == nil {
		s.delivery.Go(func() { s.deliver(m) })
	}
	return nil
}

// Close stops the sender, drops what is pending, and returns how many messages that were.
func (s *Sender) Close() int {
	s.mu.Lock() // no delivery begins any more
	s.cancel()
	s.mu.Unlock()
	s.delivery.Wait()
	s.client.CloseIdleConnections()
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.pending
}

// deliver makes attempts until one succeeds, the message is given up, or the sender is closed: then the message stays pending.
func (s *Sender) deliver(m Message) {
	for failures := 0; ; failures++ {
		select {
		case s.slots <- struct{}{}:
		case <-s.ctx.Done():
			return
		}
		a := Attempt{Message: m, Status: s.post(m)}
		<-s.slots
		a.Delivered = a.Status/100 == 2
		a.GivenUp = !a.Delivered && (m.Once || failures == len(s.schedule.Retries))
		if s.ctx.Err() != nil && !a.Delivered {
			return
		}
		s.attempted(a)
		if a.Delivered || a.GivenUp {
			break
		}
		select {
		case <-time.After(time.Duration(float64(s.schedule.Retries[failures]) / s.config.Speed)):
		case <-s.ctx.Done():
			return
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pending--
}

// post returns the status of the response; 0: there was none.
func (s *Sender) post(m Message) int {
	request, err := http.NewRequestWithContext(s.ctx, http.MethodPost, m.URL, bytes.NewReader(m.Body))
	if err != nil {
		return 0
	}
	m.sign(request.Header, s.now())
	response, err := s.client.Do(request)
	if err != nil {
		return 0
	}
	defer response.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(response.Body, 64<<10)) // so that the connection can be reused
	return response.StatusCode
}
