package events

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/IBM/sarama"
)

// lease fences a member that was stopped or cut off: the group cannot have assigned its partitions to another member
// before a session timeout after the last heartbeat that was answered. The lease of such a member expires before it
// delivers records that another member counts again.
type lease struct {
	group  string
	id     *string // of the static member
	length time.Duration

	mu     sync.Mutex
	active bool // there is a session
	until  time.Time
}

// hold keeps the lease while ctx lives. It sends heartbeats of its own, beside those of the client library, because
// the library does not report when one was answered. It calls first when the first one was answered, or failed.
func (l *lease) hold(ctx context.Context, client sarama.Client, session sarama.ConsumerGroupSession, first func()) {
	l.renew(ctx, time.Time{})
	tick := time.NewTicker(l.length / 10)
	defer tick.Stop()
	first = sync.OnceFunc(first)
	for {
		sent := time.Now()
		switch err := l.heartbeat(client, session); {
		case err == nil:
			l.renew(ctx, sent.Add(l.length))
		case errors.Is(err, sarama.ErrUnknownMemberId), errors.Is(err, sarama.ErrIllegalGeneration), errors.Is(err, sarama.ErrFencedInstancedId):
			l.renew(ctx, time.Time{})
		}
		first()
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (l *lease) heartbeat(client sarama.Client, session sarama.ConsumerGroupSession) error {
	coordinator, err := client.Coordinator(l.group)
	if err != nil {
		return err
	}
	req := &sarama.HeartbeatRequest{GroupId: l.group, GenerationId: session.GenerationID(), MemberId: session.MemberID()}
	if l.id != nil {
		req.Version, req.GroupInstanceId = 3, l.id
	}
	resp, err := coordinator.Heartbeat(req)
	if err != nil {
		// The next heartbeat looks up the coordinator again.
		_ = client.RefreshCoordinator(l.group)
		return err
	}
	if errors.Is(resp.Err, sarama.ErrNoError) || errors.Is(resp.Err, sarama.ErrRebalanceInProgress) {
		return nil // while the group rebalances this process is still a member, and no other one has its partitions
	}
	return resp.Err
}

// renew sets until when the lease is valid, unless it has been released.
func (l *lease) renew(ctx context.Context, until time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if ctx.Err() == nil {
		l.active, l.until = true, until
	}
}

// release says that no partition is assigned any more. The context of hold has ended before.
func (l *lease) release() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.active = false
}

// valid reports whether pending values may be delivered.
func (l *lease) valid(now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return !l.active || now.Before(l.until)
}
