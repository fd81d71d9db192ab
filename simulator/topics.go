package simulator

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/consignwatch/consignwatch/simulator/faults"
	"github.com/consignwatch/consignwatch/simulator/jobs"
	"github.com/consignwatch/consignwatch/simulator/stream"
)

// topicsPatience is how long the brokers may take until they have created the topics.
const topicsPatience = time.Minute

// Topics returns all topics of the platform with their numbers of partitions. jobs.TopicConfigs returns the configuration of the jobs'
// topics.
func Topics() map[string]int32 {
	topics := stream.Topics()
	maps.Copy(topics, jobs.Topics())
	return topics
}

// CreateTopics creates the platform's topics that the brokers lack, with the brokers' default replication factor. Existing topics stay as
// they are. It retries while no broker answers, for a minute.
func CreateTopics(ctx context.Context, brokers []string) error {
	client, err := kadm.NewOptClient(kgo.SeedBrokers(brokers...), kgo.ClientID("platform-sim"))
	if err != nil {
		return fmt.Errorf("create topics: %w", err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(ctx, topicsPatience)
	defer cancel()
	return faults.RetryUntil(ctx, final, func() error { return createTopics(ctx, client) })
}

// final reports whether the brokers' answer stays the same.
func final(err error) bool {
	var said *kerr.Error
	return errors.As(err, &said) && !said.Retriable
}

func createTopics(ctx context.Context, client *kadm.Client) error {
	for topic, partitions := range Topics() {
		configs := map[string]*string{}
		for key, value := range jobs.TopicConfigs()[topic] {
			configs[key] = &value
		}
		response, err := client.CreateTopic(ctx, partitions, -1, configs, topic)
		if err != nil && !errors.Is(err, kerr.TopicAlreadyExists) {
			return fmt.Errorf("create topics: %s: %w %s", topic, err, response.ErrMessage)
		}
	}
	return nil
}
