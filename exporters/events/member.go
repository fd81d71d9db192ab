package events

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// member is the membership in the consumer group: it says which partitions this process owns, commits their offsets, and
// keeps its lease. It reads no records: the reader does, with a client of its own, so that a rebalance never interrupts
// the partitions that stay, and where a partition starts is nobody's business but ours.
type member struct {
	client     *kgo.Client
	group      string
	instanceID *string
}

// owner is told what the group assigns. The methods are called one at a time. While one of revoked and lost runs the group
// waits, at most for rebalanceTimeout.
type owner interface {
	assigned(partitions map[string][]int32) // those that are new
	revoked(partitions map[string][]int32)
	lost(partitions map[string][]int32) // others may have them already
	failed(err error)                   // the group cannot be joined; it is tried again
}

// rebalanceTimeout is how long the group waits for members to revoke their partitions.
const rebalanceTimeout = time.Minute

// join becomes a member of the group, in the background, and tries again until leave.
func join(k *Kafka, options []kgo.Opt, o owner) (*member, error) {
	m := &member{group: k.Group}
	options = append([]kgo.Opt{
		kgo.ConsumerGroup(k.Group),
		kgo.ConsumeTopics(k.Topics...),
		kgo.DisableAutoCommit(),
		// With the cooperative protocol the partitions that stay are counted on during a rebalance. The eager one is offered too,
		// for a group that is being moved here from another client one process after the other.
		kgo.Balancers(kgo.CooperativeStickyBalancer(), kgo.StickyBalancer()),
		kgo.SessionTimeout(time.Duration(k.SessionTimeout)),
		kgo.HeartbeatInterval(time.Duration(k.SessionTimeout) / 10),
		kgo.RebalanceTimeout(rebalanceTimeout),
		// Nothing is consumed by this client.
		kgo.AdjustFetchOffsetsFn(func(context.Context, map[string]map[int32]kgo.Offset) (map[string]map[int32]kgo.Offset, error) {
			return nil, nil
		}),
		kgo.OnPartitionsAssigned(func(_ context.Context, _ *kgo.Client, p map[string][]int32) { o.assigned(p) }),
		kgo.OnPartitionsRevoked(func(_ context.Context, _ *kgo.Client, p map[string][]int32) { o.revoked(p) }),
		kgo.OnPartitionsLost(func(_ context.Context, _ *kgo.Client, p map[string][]int32) { o.lost(p) }),
		kgo.WithHooks(manageErrors(o.failed)),
	}, options...)
	if k.InstanceID != "" {
		m.instanceID = &k.InstanceID
		options = append(options, kgo.InstanceID(k.InstanceID))
	}
	client, err := kgo.NewClient(options...)
	if err != nil {
		return nil, fmt.Errorf("kafka: %w", err)
	}
	m.client = client
	return m, nil
}

type manageErrors func(error)

func (f manageErrors) OnGroupManageError(err error) { f(err) }

// leave revokes all partitions, and leaves the group, unless the member is static.
func (m *member) leave() { m.client.Close() }

// offset is a position to commit.
type offset struct {
	partitionID
	topicID string
	offset  int64
}

// commit commits offsets, and returns the failures; an error is one of all of them. The client's own commit knows only
// topics that it consumes under the id that they had first, hence the request by hand. The id of the topic is committed as
// the metadata, so that the offset of a topic that was deleted is not believed.
func (m *member) commit(ctx context.Context, offsets []offset) (map[partitionID]error, error) {
	request := kmsg.NewPtrOffsetCommitRequest()
	request.Group, request.InstanceID = m.group, m.instanceID
	request.MemberID, request.Generation = m.client.GroupMetadata()
	topics := map[string]int{}
	for _, o := range offsets {
		at, ok := topics[o.topic]
		if !ok {
			at = len(request.Topics)
			topics[o.topic] = at
			t := kmsg.NewOffsetCommitRequestTopic()
			t.Topic, t.TopicID = o.topic, parseTopicID(o.topicID)
			request.Topics = append(request.Topics, t)
		}
		p := kmsg.NewOffsetCommitRequestTopicPartition()
		p.Partition, p.Offset = o.partition, o.offset
		p.LeaderEpoch = -1 // unknown: with an epoch a client would take what comes next for a log that lost its tail
		p.Metadata = kmsg.StringPtr(o.topicID)
		request.Topics[at].Partitions = append(request.Topics[at].Partitions, p)
	}
	response, err := request.RequestWith(ctx, m.client)
	if err != nil {
		return nil, err
	}
	failures := map[partitionID]error{}
	for _, o := range offsets {
		failures[o.partitionID] = errors.New("the response does not mention the partition")
	}
	byID := map[topicID]string{}
	for _, o := range offsets {
		byID[parseTopicID(o.topicID)] = o.topic
	}
	for _, t := range response.Topics {
		name := t.Topic
		if name == "" {
			name = byID[t.TopicID]
		}
		for _, p := range t.Partitions {
			id := partitionID{name, p.Partition}
			if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
				failures[id] = err
			} else {
				delete(failures, id)
			}
		}
	}
	return failures, nil
}
