package kafka

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"github.com/IBM/sarama"

	"github.com/consignwatch/consignwatch/pkg/exporter"
)

// cluster keeps one connection to each broker, and sends the collector's requests, as few as the protocol allows. It uses
// the library's brokers, not its client: the client refreshes metadata and retries in the background, and fetches offsets
// one partition at a time.
type cluster struct {
	config         *sarama.Config
	seeds          []string
	dialer         *dialer
	conns          map[string]*brokerConn // by address
	brokers        map[int32]*brokerConn  // by broker id
	metadataBroker string                 // address of the broker that the last metadata came from
}

// brokerConn is the connection to one broker. It belongs to one goroutine at a time.
type brokerConn struct {
	cluster     *cluster
	address     string
	client      *sarama.Broker // nil: not connected
	used        bool           // the connection has answered before
	singleGroup bool           // the broker accepts one group per OffsetFetch request
	failed      error          // why no further request is sent in this round
}

// timeoutFraction divides a round's timeout: one request may take a third, so that a broker that hangs leaves time for the others.
const timeoutFraction = 3

func newCluster(config *sarama.Config, seeds []string, timeout time.Duration) *cluster {
	wait := timeout / timeoutFraction
	config.Net.DialTimeout, config.Net.ReadTimeout, config.Net.WriteTimeout = wait, wait, wait
	var security *tls.Config
	if config.Net.TLS.Enable {
		security, config.Net.TLS.Enable = config.Net.TLS.Config, false
	}
	d := newDialer(wait, security)
	config.Net.Proxy.Enable, config.Net.Proxy.Dialer = true, d
	return &cluster{config: config, seeds: seeds, dialer: d, conns: map[string]*brokerConn{}, brokers: map[int32]*brokerConn{}}
}

// startRound starts a round: brokers that have failed are tried again. The round's connections are closed when ctx ends.
func (c *cluster) startRound(ctx context.Context) (release func()) {
	for _, b := range c.conns {
		b.failed = nil
	}
	return c.dialer.startRound(ctx)
}

func (c *cluster) close() {
	for _, b := range c.conns {
		b.disconnect()
	}
	c.dialer.closeAll()
}

func (c *cluster) conn(address string) *brokerConn {
	b := c.conns[address]
	if b == nil {
		b = &brokerConn{cluster: c, address: address}
		c.conns[address] = b
	}
	return b
}

// each calls f for all brokers at the same time that have not failed yet, and waits.
func (c *cluster) each(f func(id int32, b *brokerConn)) {
	var all sync.WaitGroup
	for id, b := range c.brokers {
		if b.failed == nil {
			all.Go(func() {
				defer func() {
					if p := recover(); p != nil {
						b.failed = panicError{p, debug.Stack()}
					}
				}()
				f(id, b)
			})
		}
	}
	all.Wait()
}

// unreachable lists the brokers that have failed in this round, and why.
func (c *cluster) unreachable() []error {
	var errs []error
	for _, id := range slices.Sorted(maps.Keys(c.brokers)) {
		if b := c.brokers[id]; b.failed != nil {
			errs = append(errs, fmt.Errorf("broker %d at %s: %w", id, b.address, b.failed))
		}
	}
	return errs
}

// addWarning adds the error of a request to a reachable broker. The others are listed by unreachable.
func (b *brokerConn) addWarning(warnings []error, err error) []error {
	if err == nil || b.failed != nil {
		return warnings
	}
	return append(warnings, fmt.Errorf("broker at %s: %w", b.address, err))
}

// request sends a request to a broker and waits for the response. A connection that has worked before and is broken now is
// reopened once: the broker may have been restarted between two rounds.
func request[R any](ctx context.Context, b *brokerConn, send func(*sarama.Broker) (R, error)) (R, error) {
	if b.failed != nil {
		var none R
		return none, b.failed
	}
	retry := b.used
	response, err := requestOnce(ctx, b, send)
	if err != nil && retry && b.client == nil && ctx.Err() == nil && !timedOut(err) && !undecodable(err) {
		response, err = requestOnce(ctx, b, send)
	}
	if err != nil && b.client == nil && (!undecodable(err) || ctx.Err() != nil) {
		b.failed = err
	}
	return response, err
}

func requestOnce[R any](ctx context.Context, b *brokerConn, send func(*sarama.Broker) (R, error)) (R, error) {
	type result struct {
		response R
		err      error
	}
	if b.client == nil {
		b.client = sarama.NewBroker(b.address)
	}
	client, done := b.client, make(chan result, 1)
	go func() {
		var r result
		defer func() {
			if p := recover(); p != nil {
				r.err = panicError{p, debug.Stack()}
			}
			done <- r
		}()
		if r.err = connect(client, b.cluster.config); r.err == nil {
			r.response, r.err = send(client)
		}
	}()
	var r result
	select {
	case r = <-done:
	case <-ctx.Done():
		// The connections are closed now, which ends all waiting for the network. A request that the library delays because of
		// a quota is left behind until the delay is over.
		select {
		case r = <-done:
		case <-time.After(closeGrace):
			b.client, b.used = nil, false
			go func() { <-done; _ = client.Close() }()
			return r.response, context.Cause(ctx)
		}
	}
	switch {
	case r.err == nil:
		b.used = true
	case !answered(r.err):
		b.disconnect()
	}
	if r.err != nil && ctx.Err() != nil {
		r.err = context.Cause(ctx)
	}
	return r.response, r.err
}

// panicError is a panic in one of this package's goroutines, which would end the exporter: the kit recovers only its own.
type panicError struct {
	value any
	stack []byte
}

func (p panicError) Error() string { return fmt.Sprintf("panic: %v\n%s", p.value, p.stack) }

// closeGrace is how long a request may take to notice that its connection was closed.
const closeGrace = 200 * time.Millisecond

func connect(client *sarama.Broker, config *sarama.Config) error {
	if err := client.Open(config); err != nil && !errors.Is(err, sarama.ErrAlreadyConnected) {
		return err
	}
	ok, err := client.Connected()
	if err == nil && !ok {
		err = sarama.ErrNotConnected
	}
	return err
}

func (b *brokerConn) disconnect() {
	if b.client != nil {
		_ = b.client.Close() // it may be closed already
		b.client, b.used = nil, false
	}
}

// answered reports whether an error does not concern the connection: the library did not send the request.
func answered(err error) bool {
	var encoding sarama.PacketEncodingError
	return errors.Is(err, sarama.ErrUnsupportedVersion) || errors.As(err, &encoding)
}

// undecodable reports whether a response has arrived, but the library cannot decode it. The connection is closed then,
// because the library may be out of step; the broker may be healthy, and only a record damaged.
func undecodable(err error) bool {
	var decoding sarama.PacketDecodingError
	return errors.As(err, &decoding) || errors.Is(err, sarama.ErrInsufficientData) || errors.Is(err, sarama.ErrDecompressedBatchTooLarge)
}

func timedOut(err error) bool {
	var n net.Error
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded) || errors.As(err, &n) && n.Timeout()
}

// failure gives an error of the cluster its reason.
func failure(err error) error {
	var (
		panicked panicError
		garbage  notKafka
		record   tls.RecordHeaderError
		code     sarama.KError
	)
	reason := exporter.ReasonConnection
	switch {
	case errors.As(err, &panicked):
		reason = exporter.ReasonInternal
	case errors.Is(err, sarama.ErrSASLAuthenticationFailed), errors.Is(err, sarama.ErrClusterAuthorizationFailed),
		errors.Is(err, sarama.ErrGroupAuthorizationFailed), errors.Is(err, sarama.ErrTopicAuthorizationFailed),
		errors.Is(err, sarama.ErrUnsupportedSASLMechanism), errors.Is(err, sarama.ErrIllegalSASLState):
		reason = exporter.ReasonAuth
	case errors.Is(err, sarama.ErrThrottlingQuotaExceeded):
		reason = exporter.ReasonThrottled
	case errors.Is(err, sarama.ErrUnsupportedVersion):
		reason = exporter.ReasonCapability
	case undecodable(err), errors.As(err, &garbage), errors.As(err, &record):
		reason = exporter.ReasonParse
	case timedOut(err):
		reason = exporter.ReasonTimeout
	case errors.As(err, &code), errors.Is(err, errNoBrokers):
		reason = exporter.ReasonQuery
	}
	return exporter.Failure(reason, err)
}

var errNoBrokers = errors.New("it knows of no broker")

// metadata fetches the metadata of all topics from any broker, and updates the brokers. The request never names a topic, and
// so never creates one.
func (c *cluster) metadata(ctx context.Context) (*sarama.MetadataResponse, error) {
	addresses := slices.Sorted(maps.Keys(c.conns))
	if i := slices.Index(addresses, c.metadataBroker); i > 0 { // the one that answered last comes first
		addresses[0], addresses[i] = addresses[i], addresses[0]
	}
	for _, seed := range c.seeds {
		if !slices.Contains(addresses, seed) {
			addresses = append(addresses, seed)
		}
	}
	var errs []error
	for _, address := range addresses {
		response, err := request(ctx, c.conn(address), func(client *sarama.Broker) (*sarama.MetadataResponse, error) {
			return client.GetMetadata(sarama.NewMetadataRequest(c.config.Version, nil))
		})
		if err == nil && len(response.Brokers) == 0 {
			err = errNoBrokers
		}
		if err == nil {
			c.metadataBroker = address
			c.updateBrokers(response)
			return response, nil
		}
		errs = append(errs, fmt.Errorf("metadata from %s: %w", address, err))
		if ctx.Err() != nil {
			break
		}
	}
	// The reason is that of the first broker; the errors of the others are joined to it.
	return nil, exporter.Failure(exporter.ReasonOf(failure(errs[0])), errors.Join(errs...))
}

// updateBrokers takes the brokers from the metadata. Connections to other addresses are closed, also to seeds by another name.
func (c *cluster) updateBrokers(m *sarama.MetadataResponse) {
	clear(c.brokers)
	known := map[string]bool{}
	for _, broker := range m.Brokers {
		known[broker.Addr()] = true
		c.brokers[broker.ID()] = c.conn(broker.Addr())
	}
	for address, b := range c.conns {
		if !known[address] {
			b.disconnect()
			delete(c.conns, address)
		}
	}
}

// groupListing is a group in a response to ListGroups.
type groupListing struct {
	state string // one of catalog.GroupStates, or empty: the broker is too old for states
	kind  string // classic, consumer, share, streams; empty before Kafka 3.8
}

// listGroups lists the groups that the broker coordinates.
func (b *brokerConn) listGroups(ctx context.Context) (map[string]groupListing, error) {
	req := &sarama.ListGroupsRequest{Version: b.cluster.requestVersion(
		minVersion{sarama.V3_8_0_0, 5}, minVersion{sarama.V2_6_0_0, 4}, minVersion{sarama.V2_4_0_0, 3}, minVersion{sarama.V2_0_0_0, 2}, minVersion{sarama.V0_11_0_0, 1})}
	response, err := request(ctx, b, func(client *sarama.Broker) (*sarama.ListGroupsResponse, error) { return client.ListGroups(req) })
	if err == nil && response.Err != sarama.ErrNoError {
		err = response.Err
	}
	if err != nil {
		return nil, fmt.Errorf("list groups: %w", err)
	}
	groups := make(map[string]groupListing, len(response.Groups))
	for name := range response.Groups {
		data := response.GroupsData[name]
		groups[name] = groupListing{state: groupState(data.GroupState), kind: groupKind(data.GroupType)}
	}
	return groups, nil
}

// minVersion is the version of a request that a version of Kafka has introduced.
type minVersion struct {
	kafka   sarama.KafkaVersion
	request int16
}

// requestVersion returns the newest version of a request that the configured protocol has, or 0.
func (c *cluster) requestVersion(versions ...minVersion) int16 {
	for _, v := range versions {
		if c.config.Version.IsAtLeast(v.kafka) {
			return v.request
		}
	}
	return 0
}

// groupsPerRequest bounds the size of a response about groups.
const groupsPerRequest = 200

// committed fetches all offsets that groups have committed, many groups at a time. A group with an error is left out, and the
// error returned.
func (b *brokerConn) committed(ctx context.Context, groups []string, each func(group string, blocks map[string]map[int32]*sarama.OffsetFetchResponseBlock)) error {
	var errs []error
	for len(groups) > 0 {
		n := min(len(groups), groupsPerRequest)
		if b.singleGroup || !b.cluster.config.Version.IsAtLeast(sarama.V3_0_0_0) {
			n = 1
		}
		req := sarama.NewOffsetFetchRequest(b.cluster.config.Version, groups[0], nil)
		for _, g := range groups[1:n] {
			req.Groups = append(req.Groups, sarama.OffsetFetchRequestGroup{GroupId: g})
		}
		response, err := request(ctx, b, func(client *sarama.Broker) (*sarama.OffsetFetchResponse, error) { return client.FetchOffset(req) })
		var encoding sarama.PacketEncodingError
		if errors.As(err, &encoding) && n > 1 {
			b.singleGroup = true // a broker before Kafka 3.0
			continue
		}
		if err != nil {
			return errors.Join(append(errs, fmt.Errorf("committed offsets: %w", err))...)
		}
		if response.Version < 8 {
			response.Groups = []sarama.OffsetFetchResponseGroup{{GroupId: groups[0], Blocks: response.Blocks, Err: response.Err}}
		}
		for _, g := range response.Groups {
			if g.Err != sarama.ErrNoError {
				errs = append(errs, fmt.Errorf("committed offsets of group %q: %w", g.GroupId, g.Err))
				continue
			}
			each(g.GroupId, g.Blocks)
		}
		groups = groups[n:]
	}
	return errors.Join(errs...)
}

// members counts the members of groups of the classic protocol and of the consumer protocol. Groups that the broker cannot
// describe are left out: it describes a group of the other protocol as dead.
func (b *brokerConn) members(ctx context.Context, classic, consumer []string) (map[string]int, error) {
	counts := make(map[string]int, len(classic)+len(consumer))
	var errs []error
	for chunk := range slices.Chunk(classic, groupsPerRequest) {
		req := &sarama.DescribeGroupsRequest{Groups: chunk, Version: b.cluster.requestVersion(
			minVersion{sarama.V2_4_0_0, 5}, minVersion{sarama.V2_3_0_0, 3}, minVersion{sarama.V2_0_0_0, 2}, minVersion{sarama.V1_1_0_0, 1})}
		response, err := request(ctx, b, func(client *sarama.Broker) (*sarama.DescribeGroupsResponse, error) { return client.DescribeGroups(req) })
		if err != nil {
			return counts, fmt.Errorf("describe groups: %w", err)
		}
		for _, g := range response.Groups {
			switch code := sarama.KError(g.ErrorCode); {
			case code != sarama.ErrNoError:
				errs = append(errs, fmt.Errorf("describe group %q: %w", g.GroupId, code))
			case g.State != "Dead":
				counts[g.GroupId] = len(g.Members)
			}
		}
	}
	for chunk := range slices.Chunk(consumer, groupsPerRequest) {
		req := sarama.NewConsumerGroupDescribeRequest(b.cluster.config.Version)
		req.GroupIDs = chunk
		response, err := request(ctx, b, func(client *sarama.Broker) (*sarama.ConsumerGroupDescribeResponse, error) {
			return client.ConsumerGroupDescribe(req)
		})
		if errors.Is(err, sarama.ErrUnsupportedVersion) {
			break // the configured protocol is older than the group's
		}
		if err != nil {
			return counts, fmt.Errorf("describe consumer groups: %w", err)
		}
		for _, g := range response.Groups {
			if g.ErrorCode != sarama.ErrNoError {
				errs = append(errs, fmt.Errorf("describe consumer group %q: %w", g.GroupID, g.ErrorCode))
				continue
			}
			counts[g.GroupID] = len(g.Members)
		}
	}
	return counts, errors.Join(errs...)
}

// offsetsAt fetches the offsets of many partitions in one request: sarama.OffsetNewest, sarama.OffsetOldest, or the first one
// at or after a time in milliseconds.
func (b *brokerConn) offsetsAt(ctx context.Context, at int64, partitions func(add func(topic string, partition int32))) (map[string]map[int32]*sarama.OffsetResponseBlock, error) {
	req := sarama.NewOffsetRequest(b.cluster.config.Version)
	some := false
	partitions(func(topic string, partition int32) {
		req.AddBlock(topic, partition, at, 1)
		some = true
	})
	if !some {
		return nil, nil
	}
	response, err := request(ctx, b, func(client *sarama.Broker) (*sarama.OffsetResponse, error) { return client.GetAvailableOffsets(req) })
	if err != nil {
		return nil, fmt.Errorf("offsets: %w", err)
	}
	return response.Blocks, nil
}

// position is an offset in a partition.
type position struct {
	topic     string
	partition int32
	offset    int64
}

// fetch fetches the records at some positions, without waiting for new ones, up to the first transaction that is still open:
// what lies behind can be read by nobody who does not want aborted records. The broker stops at the given sizes, except for one
// batch: at least one partition has data. A single partition that has any is never empty.
func (b *brokerConn) fetch(ctx context.Context, positions []position, eachBytes, allBytes int32) (map[string]map[int32]*sarama.FetchResponseBlock, error) {
	req := &sarama.FetchRequest{
		Version: b.cluster.requestVersion(minVersion{sarama.V2_7_0_0, 12}, minVersion{sarama.V2_3_0_0, 11}, minVersion{sarama.V2_1_0_0, 10}, minVersion{sarama.V1_1_0_0, 7}, minVersion{sarama.V0_11_0_0, 5}),
		// No fetch session: each request stands for itself.
		SessionEpoch: -1,
		Isolation:    sarama.ReadCommitted,
		MinBytes:     1, MaxBytes: allBytes, MaxWaitTime: 1,
	}
	for _, p := range positions {
		req.AddBlock(p.topic, p.partition, p.offset, eachBytes, -1)
	}
	response, err := request(ctx, b, func(client *sarama.Broker) (*sarama.FetchResponse, error) { return client.Fetch(req) })
	if err != nil {
		return nil, fmt.Errorf("fetch: %w", err)
	}
	if code := sarama.KError(response.ErrorCode); code != sarama.ErrNoError {
		return nil, fmt.Errorf("fetch: %w", code)
	}
	if response.Version < 4 { // the broker knows no transactions
		for _, partitions := range response.Blocks {
			for _, block := range partitions {
				block.LastStableOffset = block.HighWaterMarkOffset
			}
		}
	}
	return response.Blocks, nil
}

// topicConfigs fetches what is needed of the configuration of topics. Topics without the permission to describe them are left out.
func (b *brokerConn) topicConfigs(ctx context.Context, topics []string, each func(topic string, config map[string]string)) error {
	req := &sarama.DescribeConfigsRequest{Version: b.cluster.requestVersion(minVersion{sarama.V1_1_0_0, 1})}
	for _, t := range topics {
		req.Resources = append(req.Resources, &sarama.ConfigResource{Type: sarama.TopicResource, Name: t, ConfigNames: []string{"retention.ms", "cleanup.policy", "min.insync.replicas"}})
	}
	response, err := request(ctx, b, func(client *sarama.Broker) (*sarama.DescribeConfigsResponse, error) {
		return client.DescribeConfigs(req)
	})
	if err != nil {
		return fmt.Errorf("topic configurations: %w", err)
	}
	for _, r := range response.Resources {
		if r.ErrorCode != 0 {
			continue
		}
		values := make(map[string]string, len(r.Configs))
		for _, e := range r.Configs {
			values[e.Name] = e.Value
		}
		each(r.Name, values)
	}
	return nil
}
