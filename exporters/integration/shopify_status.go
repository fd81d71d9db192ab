package integration

import (
	"context"
	"fmt"
	"time"

	"github.com/consignwatch/consignwatch/pkg/exporter"
)

// shopStatus is whether a shop answers, how close its limits are, and whether its webhook subscriptions are there. It needs no
// scope.
type shopStatus struct {
	shop      *shop
	expected  []string
	maxAge    time.Duration
	inventory []string // all clients; nil once it was told
}

// Name is the client's slug.
func (t *shopStatus) Name() string { return t.shop.client }

const statusQuery = `query consignwatchStatus { shop { id } }`

const subscriptionsQuery = `query consignwatchStatus($first: Int!, $after: String) {
  shop { id }
  webhookSubscriptions(first: $first, after: $after) { nodes { topic } pageInfo { hasNextPage endCursor } }
}`

const (
	subscriptionsPage = 50
	// maxSubscriptions is as many as are read. A shop has one or a few for each topic.
	maxSubscriptions = 1000
)

type statusAnswer struct {
	Shop *struct {
		ID string `json:"id"`
	} `json:"shop"`
	Subscriptions *struct {
		Nodes []struct {
			Topic string `json:"topic"`
		} `json:"nodes"`
		PageInfo page `json:"pageInfo"`
	} `json:"webhookSubscriptions"`

	subscriptions bool // were asked for
}

func (a *statusAnswer) check() error {
	if a.Shop == nil || a.Shop.ID == "" || a.subscriptions && a.Subscriptions == nil {
		return errLacks
	}
	return nil
}

// Collect asks for the state of the shop.
func (t *shopStatus) Collect(ctx context.Context, sink *exporter.Sink) error {
	topics, err := t.ask(ctx)
	if ctx.Err() == context.Canceled {
		return ctx.Err() // the exporter stops
	}
	t.tellAlways(sink.Always(), err)
	if err != nil {
		return err
	}
	for _, topic := range t.expected {
		sink.Gauge("consign_shopify_webhook_subscription", truth(topics[enumOf(topic)]), t.shop.client, topic)
	}
	return nil
}

// ask returns the topics that the shop has subscriptions for, as the API names them.
func (t *shopStatus) ask(ctx context.Context) (topics map[string]bool, err error) {
	if len(t.expected) == 0 {
		var a statusAnswer
		return nil, t.shop.ask(ctx, query{operation: operationStatus, text: statusQuery, points: 1}, &a)
	}
	topics = map[string]bool{}
	after, read := "", 0
	for {
		a := statusAnswer{subscriptions: true}
		err := t.shop.ask(ctx, query{
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
		switch {
		case !a.Subscriptions.PageInfo.HasNextPage:
			return topics, nil
		case read >= maxSubscriptions || a.Subscriptions.PageInfo.EndCursor == after:
			return nil, exporter.Failure(exporter.ReasonCapability, fmt.Errorf("shopify %s: the list of webhook subscriptions does not end after %d", t.shop.client, read))
		}
		after = a.Subscriptions.PageInfo.EndCursor
	}
}

// tellAlways tells what is known whether the shop answers or not.
func (t *shopStatus) tellAlways(sink *exporter.Sink, err error) {
	s := t.shop
	if t.inventory != nil {
		sink.Inventory("client", t.inventory)
		t.inventory = nil
	}
	// A shop that wants to be asked later is there.
	up := err == nil || exporter.ReasonOf(err) == exporter.ReasonThrottled || exporter.ReasonOf(err) == exporter.ReasonCapability
	sink.Gauge("consign_shopify_up", truth(up), s.client)
	s.counts.Tell(sink)
	now := time.Now()
	if b := s.pace.state(); !b.at.IsZero() && now.Sub(b.at) <= t.maxAge {
		sink.Gauge("consign_shopify_throttle_points", b.available, s.client, "available")
		sink.Gauge("consign_shopify_throttle_points", b.maximum, s.client, "maximum")
		sink.Gauge("consign_shopify_throttle_restore_points_per_second", b.restore, s.client)
	}
	if served, at := s.answered(); served != "" && now.Sub(at) <= t.maxAge {
		sink.Gauge("consign_shopify_api_version_info", 1, s.client, s.version, served)
	}
	if expires := s.tokens.get().expires; !expires.IsZero() {
		sink.Gauge("consign_shopify_token_expiry_timestamp_seconds", unix(expires), s.client)
	}
}
