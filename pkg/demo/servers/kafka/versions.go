package kafka

import (
	"context"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// claimOldProduce makes the broker say that it takes the oldest requests to produce, which it does not, as Kafka 4 says
// too (KAFKA-18659): librdkafka before 2.8 looks for them to decide whether it may compress, and uses newer ones.
func claimOldProduce(cluster *kfake.Cluster, address string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	client, err := kgo.NewClient(kgo.SeedBrokers(address))
	if err != nil {
		return fmt.Errorf("kafka: %w", err)
	}
	defer client.Close()
	truth, err := kmsg.NewPtrApiVersionsRequest().RequestWith(ctx, client)
	if err != nil {
		return fmt.Errorf("kafka: ask for the versions: %w", err)
	}
	for i := range truth.ApiKeys {
		if truth.ApiKeys[i].ApiKey == int16(kmsg.Produce) {
			truth.ApiKeys[i].MinVersion = 0
		}
	}
	cluster.ControlKey(int16(kmsg.ApiVersions), func(request kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		if request.GetVersion() > truth.Version {
			return nil, nil, false
		}
		claim := request.ResponseKind().(*kmsg.ApiVersionsResponse)
		claim.ApiKeys = truth.ApiKeys
		return claim, nil, true
	})
	return nil
}
