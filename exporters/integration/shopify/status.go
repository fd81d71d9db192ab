package shopify

import (
	"context"
	"fmt"
	"time"

	"github.com/consignwatch/consignwatch/pkg/exporter"
)

// statusTarget reports whether a shop is up, how much of its rate limit remains, and whether its webhook subscriptions exist. It
// needs no scope.
type statusTarget struct {
	shop      *shop
	expected  []string
	maxAge    time.Duration
	inventory []string // all clients; nil once it was reported
}

// Name is the client's slug.
func (t *statusTarget) Name() string { return t.shop.client }

const statusQuery = `query consignwatchStatus { shop { id } }`

const subscriptionsQuery = `query consignwatchStatus($first: Int!, $after: String) {
  shop { id }
  webhookSubscriptions(first: $first, after: $after) { nodes { topic } pageInfo { hasNextPage endCursor } }
}`

const (
	subscriptionsPage = 50
	// maxSubscriptions bounds the subscriptions that are read. A shop has one or a few for each topic.
	maxSubscriptions = 1000
)

type statusResult struct {
	Shop *struct {
		ID string `json:"id"`
	} `json:"shop"`
	Subscriptions *struct {
		Nodes []struct {
			Topic string `json:"topic"`
		} `json:"nodes"`
		PageInfo pageInfo `json:"pageInfo"`
	} `json:"webhookSubscriptions"`

	subscriptions bool // the query asks for them
}

func (a *statusResult) check() error {
	if a.Shop == nil || a.Shop.ID == "" || a.subscriptions && a.Subscriptions == nil {
		return errIncomplete
	}
	return nil
}

// Collect fetches the state of the shop.
func (t *statusTarget) Collect(ctx context.Context, sink *exporter.Sink) error {
	topics, err := t.fetchTopics(ctx)
	if ctx.Err() == context.Canceled {
		return ctx.Err() // the exporter stops
	}
	t.emitStatus(sink.Status(), err)
	if err != nil {
		return err
	}
	for _, topic := range t.expected {
		sink.Gauge("consign_shopify_webhook_subscription", exporter.Bool(topics[enumOf(topic)]), t.shop.client, topic)
	}
	return nil
}

// fetchTopics returns the topics that the shop has subscriptions for, as the API names them.
func (t *statusTarget) fetchTopics(ctx context.Context) (topics map[string]bool, err error) {
	if len(t.expected) == 0 {
		var a statusResult
		return nil, t.shop.do(ctx, query{operation: operationStatus, text: statusQuery, points: 1}, &a)
	}
	topics = map[string]bool{}
	after, read := "", 0
	for {
		a := statusResult{subscriptions: true}
		err := t.shop.do(ctx, query{
			operation: operationStatus, text: subscriptionsQuery, points: 1 + points(subscriptionsPage),
			variables: map[string]any{"first": subscriptionsPage, "after": cursor(after)},
		}, &a)
		if err != nil {
			return nil, err
		}
		for _, node := range a.Subscriptions.Nodes {
			topics[node.Topic] = true
		}
		read += len(a.Subscriptions.Nodes)
		next := a.Subscriptions.PageInfo
		if err := next.checkNext(after, len(a.Subscriptions.Nodes)); err != nil {
			return nil, fmt.Errorf("shopify %s: webhook subscriptions: %w", t.shop.client, err)
		}
		switch {
		case !next.HasNextPage:
			return topics, nil
		case read >= maxSubscriptions:
			return nil, exporter.Failure(exporter.ReasonCapability, fmt.Errorf("shopify %s: the list of webhook subscriptions does not end after %d", t.shop.client, read))
		}
		after = next.EndCursor
	}
}

// emitStatus reports the samples that are valid whether the shop is up or not.
func (t *statusTarget) emitStatus(sink *exporter.Sink, err error) {
	s := t.shop
	if t.inventory != nil {
		sink.Inventory("client", t.inventory)
		t.inventory = nil
	}
	// A shop that throttles is up.
	up := err == nil || exporter.ReasonOf(err) == exporter.ReasonThrottled || exporter.ReasonOf(err) == exporter.ReasonCapability
	sink.Gauge("consign_shopify_up", exporter.Bool(up), s.client)
	s.recorder.Collect(sink)
	now := time.Now()
	if b := s.limiter.lastBucket(); !b.at.IsZero() && now.Sub(b.at) <= t.maxAge {
		sink.Gauge("consign_shopify_throttle_points", b.available, s.client, "available")
		sink.Gauge("consign_shopify_throttle_points", b.maximum, s.client, "maximum")
		sink.Gauge("consign_shopify_throttle_restore_points_per_second", b.restore, s.client)
	}
	if served, at := s.servedVersion(); served != "" && now.Sub(at) <= t.maxAge {
		sink.Gauge("consign_shopify_api_version_info", 1, s.client, s.version, served)
	}
	if expires := s.tokens.get().expires; !expires.IsZero() {
		sink.Gauge("consign_shopify_token_expiry_timestamp_seconds", unix(expires), s.client)
	}
}
