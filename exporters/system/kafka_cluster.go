package system

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

// kafkaCluster keeps one connection to each broker, and asks what the collector wants to know in as few requests as the
// protocol allows. It uses the library's brokers, not its client: the client refreshes metadata and retries in the background,
// and asks for offsets one partition at a time.
type kafkaCluster struct {
	config *sarama.Config
	seeds  []string
	dialer *kafkaDialer
	links  map[string]*kafkaLink // by address
	leads  map[int32]*kafkaLink  // by the broker's number
	teller string                // address of the broker that told the metadata last
}

// kafkaLink is the way to one broker. It belongs to one goroutine at a time.
type kafkaLink struct {
	cluster *kafkaCluster
	address string
	broker  *sarama.Broker // nil: not connected
	used    bool           // the connection has answered before
	single  bool           // the broker wants one group per request for offsets
	failed  error          // why the broker is not asked again in this round
}

// patience is the part of a round's time that one request may take, so that a broker that hangs leaves time for the others.
const patience = 3

func newKafkaCluster(config *sarama.Config, seeds []string, timeout time.Duration) *kafkaCluster {
	wait := timeout / patience
	config.Net.DialTimeout, config.Net.ReadTimeout, config.Net.WriteTimeout = wait, wait, wait
	var security *tls.Config
	if config.Net.TLS.Enable {
		security, config.Net.TLS.Enable = config.Net.TLS.Config, false
	}
	d := newKafkaDialer(wait, security)
	config.Net.Proxy.Enable, config.Net.Proxy.Dialer = true, d
	return &kafkaCluster{config: config, seeds: seeds, dialer: d, links: map[string]*kafkaLink{}, leads: map[int32]*kafkaLink{}}
}

// begin starts a round: every broker gets a new chance. The round's connections are cut when ctx ends.
func (c *kafkaCluster) begin(ctx context.Context) (release func()) {
	for _, l := range c.links {
		l.failed = nil
	}
	return c.dialer.begin(ctx)
}

func (c *kafkaCluster) close() {
	for _, l := range c.links {
		l.drop()
	}
	c.dialer.cut()
}

func (c *kafkaCluster) link(address string) *kafkaLink {
	l := c.links[address]
	if l == nil {
		l = &kafkaLink{cluster: c, address: address}
		c.links[address] = l
	}
	return l
}

// each asks all brokers at the same time that have not failed yet, and waits for them.
func (c *kafkaCluster) each(f func(id int32, l *kafkaLink)) {
	var all sync.WaitGroup
	for id, l := range c.leads {
		if l.failed == nil {
			all.Go(func() {
				defer func() {
					if p := recover(); p != nil {
						l.failed = panicError{p, debug.Stack()}
					}
				}()
				f(id, l)
			})
		}
	}
	all.Wait()
}

// silent lists the brokers that have failed in this round, and why.
func (c *kafkaCluster) silent() []error {
	var errs []error
	for _, id := range slices.Sorted(maps.Keys(c.leads)) {
		if l := c.leads[id]; l.failed != nil {
			errs = append(errs, fmt.Errorf("broker %d at %s: %w", id, l.address, l.failed))
		}
	}
	return errs
}

// complain adds what a broker that answers does not tell. One that does not answer is told of by silent.
func (l *kafkaLink) complain(troubles []error, err error) []error {
	if err == nil || l.failed != nil {
		return troubles
	}
	return append(troubles, fmt.Errorf("broker at %s: %w", l.address, err))
}

// ask sends a request over a link and waits for the answer. A connection that has worked before and is broken now is made
// anew once: the broker may have been restarted between two rounds.
func ask[R any](ctx context.Context, l *kafkaLink, request func(*sarama.Broker) (R, error)) (R, error) {
	if l.failed != nil {
		var none R
		return none, l.failed
	}
	again := l.used
	answer, err := askOnce(ctx, l, request)
	if err != nil && again && l.broker == nil && ctx.Err() == nil && !timedOut(err) && !undecodable(err) {
		answer, err = askOnce(ctx, l, request)
	}
	if err != nil && l.broker == nil && (!undecodable(err) || ctx.Err() != nil) {
		l.failed = err
	}
	return answer, err
}

func askOnce[R any](ctx context.Context, l *kafkaLink, request func(*sarama.Broker) (R, error)) (R, error) {
	type result struct {
		answer R
		err    error
	}
	if l.broker == nil {
		l.broker = sarama.NewBroker(l.address)
	}
	broker, done := l.broker, make(chan result, 1)
	go func() {
		var r result
		defer func() {
			if p := recover(); p != nil {
				r.err = panicError{p, debug.Stack()}
			}
			done <- r
		}()
		if r.err = connect(broker, l.cluster.config); r.err == nil {
			r.answer, r.err = request(broker)
		}
	}()
	var r result
	select {
	case r = <-done:
	case <-ctx.Done():
		// The connections are cut now, which ends whatever waits for the network. What waits for the end of a quota's
		// penalty, inside the library, is left behind until then.
		select {
		case r = <-done:
		case <-time.After(cutGrace):
			l.broker, l.used = nil, false
			go func() { <-done; _ = broker.Close() }()
			return r.answer, context.Cause(ctx)
		}
	}
	switch {
	case r.err == nil:
		l.used = true
	case !answered(r.err):
		l.drop()
	}
	if r.err != nil && ctx.Err() != nil {
		r.err = context.Cause(ctx)
	}
	return r.answer, r.err
}

// panicError is a panic in a goroutine of ours, which would end the exporter: the kit catches only those in its own.
type panicError struct {
	value any
	stack []byte
}

func (p panicError) Error() string { return fmt.Sprintf("panic: %v\n%s", p.value, p.stack) }

// cutGrace is how long a request may take to notice that its connection was cut.
const cutGrace = 200 * time.Millisecond

func connect(b *sarama.Broker, config *sarama.Config) error {
	if err := b.Open(config); err != nil && !errors.Is(err, sarama.ErrAlreadyConnected) {
		return err
	}
	ok, err := b.Connected()
	if err == nil && !ok {
		err = sarama.ErrNotConnected
	}
	return err
}

func (l *kafkaLink) drop() {
	if l.broker != nil {
		_ = l.broker.Close() // it may be closed already
		l.broker, l.used = nil, false
	}
}

// answered reports whether an error says nothing against the connection: the library refused to send the request.
func answered(err error) bool {
	var encoding sarama.PacketEncodingError
	return errors.Is(err, sarama.ErrUnsupportedVersion) || errors.As(err, &encoding)
}

// undecodable reports whether an answer has arrived, but the library cannot read it. The connection is dropped then, because
// the library may be out of step; the broker may be well, and only a record damaged.
func undecodable(err error) bool {
	var decoding sarama.PacketDecodingError
	return errors.As(err, &decoding) || errors.Is(err, sarama.ErrInsufficientData) || errors.Is(err, sarama.ErrDecompressedBatchTooLarge)
}

func timedOut(err error) bool {
	var n net.Error
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded) || errors.As(err, &n) && n.Timeout()
}

// kafkaFailure gives an error of the cluster its reason.
func kafkaFailure(err error) error {
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

// metadata asks any broker for all topics, and learns which brokers there are. It never names a topic, and so never creates
// one.
func (c *kafkaCluster) metadata(ctx context.Context) (*sarama.MetadataResponse, error) {
	addresses := slices.Sorted(maps.Keys(c.links))
	if i := slices.Index(addresses, c.teller); i > 0 { // the one that answered last comes first
		addresses[0], addresses[i] = addresses[i], addresses[0]
	}
	for _, seed := range c.seeds {
		if !slices.Contains(addresses, seed) {
			addresses = append(addresses, seed)
		}
	}
	var errs []error
	for _, address := range addresses {
		answer, err := ask(ctx, c.link(address), func(b *sarama.Broker) (*sarama.MetadataResponse, error) {
			return b.GetMetadata(sarama.NewMetadataRequest(c.config.Version, nil))
		})
		if err == nil && len(answer.Brokers) == 0 {
			err = errNoBrokers
		}
		if err == nil {
			c.teller = address
			c.learn(answer)
			return answer, nil
		}
		errs = append(errs, fmt.Errorf("metadata from %s: %w", address, err))
		if ctx.Err() != nil {
			break
		}
	}
	// The reason is that of the first broker that was asked; the others are told with it.
	return nil, exporter.Failure(exporter.ReasonOf(kafkaFailure(errs[0])), errors.Join(errs...))
}

// learn takes over which brokers there are. Links to addresses that are none end, but for the way in: a seed by another name.
func (c *kafkaCluster) learn(m *sarama.MetadataResponse) {
	clear(c.leads)
	known := map[string]bool{}
	for _, b := range m.Brokers {
		known[b.Addr()] = true
		c.leads[b.ID()] = c.link(b.Addr())
	}
	for address, l := range c.links {
		if !known[address] {
			l.drop()
			delete(c.links, address)
		}
	}
}

// groupListing is what a broker lists of a group that it coordinates.
type groupListing struct {
	state string // one of catalog.GroupStates, or empty: the broker is too old to say
	kind  string // classic, consumer, share, streams; empty before Kafka 3.8
}

// listGroups lists the groups that the broker coordinates.
func (l *kafkaLink) listGroups(ctx context.Context) (map[string]groupListing, error) {
	request := &sarama.ListGroupsRequest{Version: l.cluster.choose(
		since{sarama.V3_8_0_0, 5}, since{sarama.V2_6_0_0, 4}, since{sarama.V2_4_0_0, 3}, since{sarama.V2_0_0_0, 2}, since{sarama.V0_11_0_0, 1})}
	answer, err := ask(ctx, l, func(b *sarama.Broker) (*sarama.ListGroupsResponse, error) { return b.ListGroups(request) })
	if err == nil && answer.Err != sarama.ErrNoError {
		err = answer.Err
	}
	if err != nil {
		return nil, fmt.Errorf("list groups: %w", err)
	}
	groups := make(map[string]groupListing, len(answer.Groups))
	for name := range answer.Groups {
		data := answer.GroupsData[name]
		groups[name] = groupListing{state: groupState(data.GroupState), kind: groupKind(data.GroupType)}
	}
	return groups, nil
}

// since is the version of a request that came with a version of Kafka.
type since struct {
	kafka   sarama.KafkaVersion
	request int16
}

// choose returns the newest version of a request that the configured protocol has, or 0.
func (c *kafkaCluster) choose(versions ...since) int16 {
	for _, v := range versions {
		if c.config.Version.IsAtLeast(v.kafka) {
			return v.request
		}
	}
	return 0
}

// groupsPerRequest bounds the size of an answer about groups.
const groupsPerRequest = 200

// committed asks for all offsets that groups have committed, many groups at a time. A group for which the broker answers with
// an error is left out, and the error told.
func (l *kafkaLink) committed(ctx context.Context, groups []string, each func(group string, blocks map[string]map[int32]*sarama.OffsetFetchResponseBlock)) error {
	var errs []error
	for len(groups) > 0 {
		n := min(len(groups), groupsPerRequest)
		if l.single || !l.cluster.config.Version.IsAtLeast(sarama.V3_0_0_0) {
			n = 1
		}
		request := sarama.NewOffsetFetchRequest(l.cluster.config.Version, groups[0], nil)
		for _, g := range groups[1:n] {
			request.Groups = append(request.Groups, sarama.OffsetFetchRequestGroup{GroupId: g})
		}
		answer, err := ask(ctx, l, func(b *sarama.Broker) (*sarama.OffsetFetchResponse, error) { return b.FetchOffset(request) })
		var encoding sarama.PacketEncodingError
		if errors.As(err, &encoding) && n > 1 {
			l.single = true // a broker before Kafka 3.0
			continue
		}
		if err != nil {
			return errors.Join(append(errs, fmt.Errorf("committed offsets: %w", err))...)
		}
		if answer.Version < 8 {
			answer.Groups = []sarama.OffsetFetchResponseGroup{{GroupId: groups[0], Blocks: answer.Blocks, Err: answer.Err}}
		}
		for _, g := range answer.Groups {
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

// members counts the members of groups of the classic protocol and of the consumer protocol. What the broker cannot say is
// left out: it describes a group of the other protocol as dead.
func (l *kafkaLink) members(ctx context.Context, classic, consumer []string) (map[string]int, error) {
	counts := make(map[string]int, len(classic)+len(consumer))
	var errs []error
	for chunk := range slices.Chunk(classic, groupsPerRequest) {
		request := &sarama.DescribeGroupsRequest{Groups: chunk, Version: l.cluster.choose(
			since{sarama.V2_4_0_0, 5}, since{sarama.V2_3_0_0, 3}, since{sarama.V2_0_0_0, 2}, since{sarama.V1_1_0_0, 1})}
		answer, err := ask(ctx, l, func(b *sarama.Broker) (*sarama.DescribeGroupsResponse, error) { return b.DescribeGroups(request) })
		if err != nil {
			return counts, fmt.Errorf("describe groups: %w", err)
		}
		for _, g := range answer.Groups {
			switch code := sarama.KError(g.ErrorCode); {
			case code != sarama.ErrNoError:
				errs = append(errs, fmt.Errorf("describe group %q: %w", g.GroupId, code))
			case g.State != "Dead":
				counts[g.GroupId] = len(g.Members)
			}
		}
	}
	for chunk := range slices.Chunk(consumer, groupsPerRequest) {
		request := sarama.NewConsumerGroupDescribeRequest(l.cluster.config.Version)
		request.GroupIDs = chunk
		answer, err := ask(ctx, l, func(b *sarama.Broker) (*sarama.ConsumerGroupDescribeResponse, error) {
			return b.ConsumerGroupDescribe(request)
		})
		if errors.Is(err, sarama.ErrUnsupportedVersion) {
			break // the configured protocol is older than the group's
		}
		if err != nil {
			return counts, fmt.Errorf("describe consumer groups: %w", err)
		}
		for _, g := range answer.Groups {
			if g.ErrorCode != sarama.ErrNoError {
				errs = append(errs, fmt.Errorf("describe consumer group %q: %w", g.GroupID, g.ErrorCode))
				continue
			}
			counts[g.GroupID] = len(g.Members)
		}
	}
	return counts, errors.Join(errs...)
}

// offsetsAt asks for the offsets of many partitions in one request: sarama.OffsetNewest, sarama.OffsetOldest, or the first one
// at or after a time in milliseconds.
func (l *kafkaLink) offsetsAt(ctx context.Context, at int64, partitions func(add func(topic string, partition int32))) (map[string]map[int32]*sarama.OffsetResponseBlock, error) {
	request := sarama.NewOffsetRequest(l.cluster.config.Version)
	some := false
	partitions(func(topic string, partition int32) {
		request.AddBlock(topic, partition, at, 1)
		some = true
	})
	if !some {
		return nil, nil
	}
	answer, err := ask(ctx, l, func(b *sarama.Broker) (*sarama.OffsetResponse, error) { return b.GetAvailableOffsets(request) })
	if err != nil {
		return nil, fmt.Errorf("offsets: %w", err)
	}
	return answer.Blocks, nil
}

// position is where to read a partition.
type position struct {
	topic     string
	partition int32
	offset    int64
}

// fetch reads what is at some positions, without waiting for what is not there yet. The broker stops at the given sizes, but
// for one batch: at least one partition has data. A single partition that has any is never empty.
func (l *kafkaLink) fetch(ctx context.Context, positions []position, eachBytes, allBytes int32) (map[string]map[int32]*sarama.FetchResponseBlock, error) {
	request := &sarama.FetchRequest{
		Version: l.cluster.choose(since{sarama.V2_7_0_0, 12}, since{sarama.V2_3_0_0, 11}, since{sarama.V2_1_0_0, 10}, since{sarama.V1_1_0_0, 7}, since{sarama.V0_11_0_0, 5}),
		// No fetch session: each request stands for itself.
		SessionEpoch: -1,
		MinBytes:     1, MaxBytes: allBytes, MaxWaitTime: 1,
	}
	for _, p := range positions {
		request.AddBlock(p.topic, p.partition, p.offset, eachBytes, -1)
	}
	answer, err := ask(ctx, l, func(b *sarama.Broker) (*sarama.FetchResponse, error) { return b.Fetch(request) })
	if err != nil {
		return nil, fmt.Errorf("fetch: %w", err)
	}
	if code := sarama.KError(answer.ErrorCode); code != sarama.ErrNoError {
		return nil, fmt.Errorf("fetch: %w", code)
	}
	return answer.Blocks, nil
}

// topicConfigs asks for how long topics keep their messages. Topics about which we may not ask are left out.
func (l *kafkaLink) topicConfigs(ctx context.Context, topics []string, each func(topic string, config map[string]string)) error {
	request := &sarama.DescribeConfigsRequest{Version: l.cluster.choose(since{sarama.V1_1_0_0, 1})}
	for _, t := range topics {
		request.Resources = append(request.Resources, &sarama.ConfigResource{Type: sarama.TopicResource, Name: t, ConfigNames: []string{"retention.ms", "cleanup.policy"}})
	}
	answer, err := ask(ctx, l, func(b *sarama.Broker) (*sarama.DescribeConfigsResponse, error) { return b.DescribeConfigs(request) })
	if err != nil {
		return fmt.Errorf("topic configurations: %w", err)
	}
	for _, r := range answer.Resources {
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
