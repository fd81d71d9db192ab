// Package kafka runs a Kafka broker inside this process, for the demo and the tests: kfake of
// github.com/twmb/franz-go. It speaks the protocol to any client on the loopback interface, and keeps its state on
// disk, so that it can be stopped and started again like a real one. It is not for production.
//
// What a restart keeps: records, committed offsets, static members, and the sequence numbers of idempotent
// producers, so that a batch whose acknowledgement was lost is not written twice. What it loses: connections and sessions, as
// a real broker does.
package kafka

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/consignwatch/consignwatch/pkg/demo/servers"
)

const (
	// MaxRecordBytes is the largest batch that the broker takes: more than Kafka's default of 1 MiB, so that records
	// that are too large for a consumer can come at all.
	MaxRecordBytes = 4 << 20

	retainedBytes  = 64 << 20 // of each partition
	retentionEvery = 10 * time.Second
	startPatience  = 10 * time.Second // until the address of a broker that was stopped is free again
)

// Config says which broker to start. Nothing in it is required.
type Config struct {
	// Address is host:port on the loopback interface, 127.0.0.1. Empty, or with port 0: a free one.
	Address string
	// Dir is a folder for the data, which survives Close. Empty: a temporary one, which does not.
	Dir string
	// Topics are the topics and the number of their partitions.
	Topics map[string]int32
	// TopicConfigs are configurations of some of the topics, for when they are created: retention.ms, cleanup.policy and what else
	// kfake knows.
	TopicConfigs map[string]map[string]string
	// RetainedBytes is how much of each partition is kept, about; 0: 64 MiB.
	RetainedBytes int64
	// MinSessionTimeout is the shortest session that a consumer group may ask for; 0: six seconds.
	MinSessionTimeout time.Duration
	// OldProduce makes a broker without TLS and users say that it takes the oldest requests to produce: without it
	// librdkafka before 2.8 does not compress.
	OldProduce bool
	// TLS makes the broker speak TLS only.
	TLS *tls.Config
	// Users makes the broker ask who a client is. All of them may do everything.
	Users []User
}

// User is a user of the broker.
type User struct {
	Mechanism      string // PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512
	Name, Password string
}

// Broker is a running or stopped broker. Its methods can be called from any goroutine.
type Broker struct {
	config  Config
	address string
	port    int
	dir     string

	mu      sync.Mutex
	cluster *kfake.Cluster // nil: stopped
	ended   chan struct{}  // closed when the cluster of this run is stopped
	closed  bool

	failCommits atomic.Bool
}

// ErrClosed is the error of a broker that was closed.
var ErrClosed = errors.New("kafka: the broker is closed")

// Start starts a broker.
func Start(ctx context.Context, config Config) (*Broker, error) {
	if config.RetainedBytes == 0 {
		config.RetainedBytes = retainedBytes
	}
	dir := config.Dir
	if dir == "" {
		var err error
		if dir, err = os.MkdirTemp("", "consignwatch-kafka-"); err != nil {
			return nil, fmt.Errorf("kafka: %w", err)
		}
	}
	b, err := start(ctx, config, dir)
	if err != nil && config.Dir == "" {
		err = errors.Join(err, os.RemoveAll(dir))
	}
	return b, err
}

func start(ctx context.Context, config Config, dir string) (*Broker, error) {
	on := func(_ context.Context, address string) (*Broker, error) {
		b := &Broker{config: config, address: address, dir: dir}
		var err error
		if b.port, err = portOf(address); err != nil {
			return nil, err
		}
		return b, b.start()
	}
	if config.Address == "" {
		return servers.OnFreeAddress(ctx, on)
	}
	port, err := portOf(config.Address)
	if err != nil {
		return nil, err
	}
	if port == 0 {
		return servers.OnFreeAddress(ctx, on)
	}
	return on(ctx, net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
}

func portOf(address string) (int, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return 0, fmt.Errorf("kafka: address %q: %w", address, err)
	}
	if host != "127.0.0.1" && host != "localhost" {
		return 0, fmt.Errorf("kafka: address %q: it must be on 127.0.0.1", address)
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return 0, fmt.Errorf("kafka: address %q: %q is no port", address, port)
	}
	return int(n), nil
}

// start makes the cluster; who calls it holds b.mu, or is the only one who knows b.
func (b *Broker) start() error {
	options := []kfake.Opt{
		kfake.Ports(b.port),
		kfake.ClusterID("consignwatch"),
		kfake.DataDir(filepath.Join(b.dir, "data")),
		kfake.BrokerConfigs(map[string]string{
			"message.max.bytes":   strconv.Itoa(MaxRecordBytes),
			"log.retention.bytes": strconv.FormatInt(b.config.RetainedBytes, 10),
		}),
	}
	if b.config.MinSessionTimeout > 0 {
		options = append(options, kfake.GroupMinSessionTimeout(b.config.MinSessionTimeout))
	}
	if b.config.TLS != nil {
		options = append(options, kfake.TLS(b.config.TLS))
	}
	if len(b.config.Users) > 0 {
		options = append(options, kfake.EnableSASL())
	}
	for _, u := range b.config.Users {
		options = append(options, kfake.Superuser(u.Mechanism, u.Name, u.Password))
	}
	for topic, partitions := range b.config.Topics {
		if len(b.config.TopicConfigs[topic]) == 0 {
			options = append(options, kfake.SeedTopics(partitions, topic))
		}
	}
	cluster, err := kfake.NewCluster(options...)
	if err != nil {
		return fmt.Errorf("kafka: start on %s: %w", b.address, err)
	}
	if err := b.createConfigured(cluster); err != nil {
		cluster.Close()
		return err
	}
	if b.config.OldProduce {
		if err := claimOldProduce(cluster, b.address); err != nil {
			cluster.Close()
			return err
		}
	}
	cluster.ControlKey(int16(kmsg.OffsetCommit), func(request kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		if !b.failCommits.Load() {
			return nil, nil, false
		}
		return commitError(request.(*kmsg.OffsetCommitRequest)), nil, true
	})
	b.cluster, b.ended = cluster, make(chan struct{})
	go retain(cluster, b.ended)
	return nil
}

// createConfigured creates the topics that have a configuration, unless they are there already.
func (b *Broker) createConfigured(cluster *kfake.Cluster) error {
	for topic, config := range b.config.TopicConfigs {
		if err := cluster.CreateTopic(topic, b.config.Topics[topic], config); err != nil && !errors.Is(err, kerr.TopicAlreadyExists) {
			return fmt.Errorf("kafka: create topic %s: %w", topic, err)
		}
	}
	return nil
}

// RefuseCommits says whether the broker refuses every commit of offsets, as one does whose coordinator is still loading. All else goes on: members keep
// their partitions.
func (b *Broker) RefuseCommits(refuse bool) { b.failCommits.Store(refuse) }

// commitError answers a commit with an error for each partition.
func commitError(request *kmsg.OffsetCommitRequest) *kmsg.OffsetCommitResponse {
	response := request.ResponseKind().(*kmsg.OffsetCommitResponse)
	for _, topic := range request.Topics {
		failed := kmsg.NewOffsetCommitResponseTopic()
		failed.Topic, failed.TopicID = topic.Topic, topic.TopicID
		for _, partition := range topic.Partitions {
			p := kmsg.NewOffsetCommitResponseTopicPartition()
			p.Partition, p.ErrorCode = partition.Partition, kerr.CoordinatorLoadInProgress.Code
			failed.Partitions = append(failed.Partitions, p)
		}
		response.Topics = append(response.Topics, failed)
	}
	return response
}

// retain drops what is older than what is to be kept: kfake does so only when it is asked.
func retain(cluster *kfake.Cluster, ended <-chan struct{}) {
	ticker := time.NewTicker(retentionEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ended:
			return
		case <-ticker.C:
			cluster.ApplyRetention()
		}
	}
}

// Address returns host:port. It stays the same over restarts.
func (b *Broker) Address() string { return b.address }

// Running reports whether the broker is up.
func (b *Broker) Running() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.cluster != nil
}

// Stop closes all connections and the listener. The data stays.
func (b *Broker) Stop() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.stop()
	return nil
}

func (b *Broker) stop() {
	if b.cluster == nil {
		return
	}
	close(b.ended)
	b.cluster.Close()
	b.cluster = nil
}

// Restart starts a stopped broker again, on the same address and with its data.
func (b *Broker) Restart(ctx context.Context) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	for deadline := time.Now().Add(startPatience); ; {
		switch {
		case b.closed:
			return ErrClosed
		case b.cluster != nil:
			return nil
		}
		err := b.start()
		if err == nil || time.Now().After(deadline) {
			return err
		}
		select {
		case <-ctx.Done():
			return errors.Join(context.Cause(ctx), err)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// Close stops the broker for good, and removes its data when the folder is its own.
func (b *Broker) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.stop()
	if b.closed || b.config.Dir != "" {
		b.closed = true
		return nil
	}
	b.closed = true
	if err := os.RemoveAll(b.dir); err != nil {
		return fmt.Errorf("kafka: %w", err)
	}
	return nil
}
