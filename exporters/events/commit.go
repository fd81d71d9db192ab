package events

import (
	"context"
	"fmt"

	"github.com/IBM/sarama"

	"github.com/consignwatch/consignwatch/exporters/events/internal/aggregate"
)

// deliver keeps the offsets that a scrape has delivered; they are committed in the background.
func (n *consumer) deliver(positions []aggregate.Position) {
	n.mu.Lock()
	for _, p := range positions {
		n.delivered[partitionID{p.Topic, p.Partition}] = p.Offset
	}
	n.mu.Unlock()
	select {
	case n.commitNeeded <- struct{}{}:
	default:
	}
}

func (n *consumer) commitLoop(ctx context.Context, client sarama.Client) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-n.commitNeeded:
		}
		n.mu.Lock()
		session := n.session
		n.mu.Unlock()
		if session != nil {
			n.commit(session, client)
		}
	}
}

// commit commits the delivered offsets. Those that could not be committed are tried again with the next delivery. The
// library's own commit does not return whether it succeeded, hence the request by hand.
func (n *consumer) commit(session sarama.ConsumerGroupSession, client sarama.Client) {
	n.mu.Lock()
	request := sarama.NewOffsetCommitRequest(n.kafka, n.config.Kafka.Group)
	request.ConsumerID, request.ConsumerGroupGeneration = session.MemberID(), session.GenerationID()
	request.GroupInstanceId = n.lease.id
	committing := map[partitionID]int64{}
	for id, offset := range n.delivered {
		request.AddBlock(id.topic, id.partition, offset, 0, "")
		committing[id] = offset
	}
	n.mu.Unlock()
	if len(committing) == 0 {
		return
	}
	response, err := n.send(client, request)
	n.mu.Lock()
	defer n.mu.Unlock()
	for id, offset := range committing {
		why := err
		if err == nil {
			if code, answered := response.Errors[id.topic][id.partition]; !answered {
				why = fmt.Errorf("the answer does not mention the partition")
			} else if code != sarama.ErrNoError {
				why = code
			}
		}
		if why != nil {
			n.commits.WithLabelValues(id.topic, "failed").Inc()
			n.log.Warn("offset not committed, the next delivery tries again", "topic", id.topic, "partition", id.partition, "offset", offset, "err", why)
			continue
		}
		n.commits.WithLabelValues(id.topic, "succeeded").Inc()
		if n.delivered[id] == offset {
			delete(n.delivered, id)
		}
	}
}

func (n *consumer) send(client sarama.Client, request *sarama.OffsetCommitRequest) (*sarama.OffsetCommitResponse, error) {
	coordinator, err := client.Coordinator(n.config.Kafka.Group)
	if err != nil {
		return nil, err
	}
	response, err := coordinator.CommitOffset(request)
	if err != nil {
		_ = client.RefreshCoordinator(n.config.Kafka.Group)
	}
	return response, err
}
