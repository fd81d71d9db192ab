package simulator

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/consignwatch/consignwatch/simulator/jobs"
	"github.com/consignwatch/consignwatch/simulator/stream"
)

const (
	topicsPatience = time.Minute // until the brokers have created the topics
	topicsAgain    = time.Second
)

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
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.ClientID("platform-sim"))
	if err != nil {
		return fmt.Errorf("create topics: %w", err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(ctx, topicsPatience)
	defer cancel()
	for {
		err := createTopics(ctx, client)
		if err == nil || !retriable(err) {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(topicsAgain):
		}
	}
}

// retriable reports whether a retry may succeed: also while no broker answers.
func retriable(err error) bool {
	var said *kerr.Error
	return !errors.As(err, &said) || said.Retriable
}

func createTopics(ctx context.Context, client *kgo.Client) error {
	request := kmsg.NewPtrCreateTopicsRequest()
	request.TimeoutMillis = int32(topicsPatience.Milliseconds())
	configs, topics := jobs.TopicConfigs(), Topics()
	for _, name := range slices.Sorted(maps.Keys(topics)) {
		topic := kmsg.NewCreateTopicsRequestTopic()
		topic.Topic, topic.NumPartitions, topic.ReplicationFactor = name, topics[name], -1
		for _, key := range slices.Sorted(maps.Keys(configs[name])) {
			config := kmsg.NewCreateTopicsRequestTopicConfig()
			value := configs[name][key]
			config.Name, config.Value = key, &value
			topic.Configs = append(topic.Configs, config)
		}
		request.Topics = append(request.Topics, topic)
	}
	response, err := request.RequestWith(ctx, client)
	if err != nil {
		return fmt.Errorf("create topics: %w", err)
	}
	var failed []error
	for _, topic := range response.Topics {
		if err := kerr.ErrorForCode(topic.ErrorCode); err != nil && !errors.Is(err, kerr.TopicAlreadyExists) {
			if topic.ErrorMessage != nil {
				err = fmt.Errorf("%w: %s", err, *topic.ErrorMessage)
			}
			failed = append(failed, fmt.Errorf("create topic %s: %w", topic.Topic, err))
		}
	}
	return errors.Join(failed...)
}
