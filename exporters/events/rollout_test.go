package events_test

import (
	"context"
	"testing"

	"github.com/IBM/sarama"

	"github.com/consignwatch/consignwatch/pkg/demo/servers/kafka"
)

// oldMember is a member of the group that knows the eager protocol only. It reads nothing, and commits nothing.
type oldMember struct {
	claims chan map[string][]int32 // of each session
}

func (m oldMember) Setup(s sarama.ConsumerGroupSession) error {
	m.claims <- s.Claims()
	return nil
}

func (oldMember) Cleanup(sarama.ConsumerGroupSession) error { return nil }

func (oldMember) ConsumeClaim(s sarama.ConsumerGroupSession, _ sarama.ConsumerGroupClaim) error {
	<-s.Context().Done()
	return nil
}

// TestReplicasOfAnOldVersionAreReplacedOneAfterTheOther has one that still runs, with the protocol of the versions before the
// cooperative one: both share the partitions, and the new one takes over what is left when the old one goes.
func TestReplicasOfAnOldVersionAreReplacedOneAfterTheOther(t *testing.T) {
	t.Parallel()
	const partitions = 4
	b := startBroker(t, kafka.Config{Topics: map[string]int32{telemetry: partitions, commerce: 1, integration: 1}})
	config := sarama.NewConfig()
	config.Consumer.Group.Rebalance.GroupStrategies = []sarama.BalanceStrategy{sarama.NewBalanceStrategySticky()}
	group, err := sarama.NewConsumerGroup([]string{b.Address()}, "consignwatch-events", config)
	if err != nil {
		t.Fatal(err)
	}
	member := oldMember{claims: make(chan map[string][]int32, 100)}
	ctx, leave := context.WithCancel(t.Context())
	left := make(chan error, 1)
	go func() {
		for ctx.Err() == nil {
			if err := group.Consume(ctx, []string{telemetry, commerce, integration}, member); err != nil {
				left <- err
				return
			}
		}
		left <- group.Close()
	}()
	owned := func(claims map[string][]int32) (n int) {
		for _, own := range claims {
			n += len(own)
		}
		return n
	}
	if claims := <-member.claims; owned(claims) != partitions+2 {
		t.Fatalf("the first member of the group has %v, want all", claims)
	}
	for p := range int32(partitions) {
		write(t, b, onPartition(p, request("anna")))
	}
	r := follow(t, b.Address(), "")
	var claims map[string][]int32
	for claims = <-member.claims; owned(claims) == partitions+2; claims = <-member.claims {
	}
	if n := owned(claims); n != 3 {
		t.Errorf("the old member has %v, want half of the partitions", claims)
	}
	r.await(t, map[string]float64{requests("anna"): float64(partitions - len(claims[telemetry])), success: 1})
	leave()
	if err := <-left; err != nil {
		t.Fatal(err)
	}
	r.await(t, map[string]float64{requests("anna"): partitions, success: 1})
}
