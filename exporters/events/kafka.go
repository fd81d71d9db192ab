package events

import (
	"fmt"
	"time"

	"github.com/IBM/sarama"

	"github.com/consignwatch/consignwatch/pkg/kafkaclient"
)

// clientConfig makes the configuration of the Kafka client. Secrets are read now, tokens at each connection.
func (k *Kafka) clientConfig() (*sarama.Config, error) {
	c := sarama.NewConfig()
	c.ClientID = "consignwatch-event-exporter"
	if k.Version != "" {
		version, err := sarama.ParseKafkaVersion(k.Version)
		if err != nil {
			return nil, fmt.Errorf("kafka version: %w", err)
		}
		c.Version = version
	}
	c.Metadata.AllowAutoTopicCreation = false // a topic that was deleted must not come back because we look at it
	c.Metadata.Full = false
	c.Net.DialTimeout, c.Net.ReadTimeout, c.Net.WriteTimeout = 5*time.Second, 30*time.Second, 10*time.Second

	c.Consumer.Return.Errors = true
	c.Consumer.Offsets.AutoCommit.Enable = false // offsets are committed after delivery, and the result is checked
	c.Consumer.Fetch.Default = 1 << 20
	c.Consumer.MaxWaitTime = 100 * time.Millisecond
	c.ChannelBufferSize = 2048
	c.Consumer.Group.InstanceId = k.InstanceID
	c.Consumer.Group.Session.Timeout = time.Duration(k.SessionTimeout)
	c.Consumer.Group.Heartbeat.Interval = time.Duration(k.SessionTimeout) / 10
	c.Consumer.Group.Rebalance.Timeout = rebalanceTimeout
	c.Consumer.Group.Rebalance.GroupStrategies = []sarama.BalanceStrategy{sarama.NewBalanceStrategySticky()}

	if err := kafkaclient.Apply(c, "kafka", k.TLS, k.SASL); err != nil {
		return nil, err
	}
	return c, c.Validate()
}

// rebalanceTimeout is how long the group waits for members to revoke their partitions.
const rebalanceTimeout = time.Minute
