package events

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// lease fences a member that was stopped or cut off: the group cannot have assigned its partitions to another member
// before a session timeout after the last heartbeat that was answered. The lease of such a member expires before it
// delivers records that another member counts again.
type lease struct {
	length time.Duration

	mu     sync.Mutex
	active bool // partitions are assigned
	until  time.Time
	stable time.Time // when the last heartbeat was sent that found the group at rest
}

func newLease(session time.Duration) *lease { return &lease{length: session * 9 / 10} }

// hold keeps the lease of a member while ctx lives. It sends heartbeats of its own, beside those of the client, because the
// client does not report when one was answered, and what the answer was.
func (m *member) hold(ctx context.Context, l *lease) {
	tick := time.NewTicker(l.length / 10)
	defer tick.Stop()
	for {
		m.renew(ctx, l)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// renew renews the lease by one heartbeat.
func (m *member) renew(ctx context.Context, l *lease) {
	sent := time.Now()
	l.answered(sent, m.heartbeat(ctx, l.length))
}

func (m *member) heartbeat(ctx context.Context, timeout time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	request := kmsg.NewPtrHeartbeatRequest()
	request.Group, request.InstanceID = m.group, m.instanceID
	request.MemberID, request.Generation = m.client.GroupMetadata()
	if request.MemberID == "" {
		return errNotMember
	}
	response, err := request.RequestWith(ctx, m.client)
	if err != nil {
		return err
	}
	return kerr.ErrorForCode(response.ErrorCode)
}

var errNotMember = errors.New("not a member yet")

// answered takes the answer to a heartbeat. While the group rebalances this process is still a member, and no other one has
// its partitions, as long as the group waits for members to revoke theirs. A generation that is not ours any more renews
// nothing, and ends nothing: the member may just be joining.
func (l *lease) answered(sent time.Time, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case err == nil:
		l.stable, l.until = sent, sent.Add(l.length)
	case errors.Is(err, kerr.RebalanceInProgress):
		l.until = sent.Add(l.length)
		if end := l.stable.Add(rebalanceTimeout * 9 / 10); end.Before(l.until) {
			l.until = end
		}
	case errors.Is(err, kerr.UnknownMemberID), errors.Is(err, kerr.FencedInstanceID):
		l.until = time.Time{}
	}
}

// acquire says that partitions are assigned: from now on values may be delivered only while the lease is valid.
func (l *lease) acquire() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.active = true
}

// release says that no partition is assigned any more.
func (l *lease) release() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.active = false
}

// valid reports whether values may be delivered.
func (l *lease) valid(now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return !l.active || now.Before(l.until)
}
