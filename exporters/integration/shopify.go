package integration

import (
	"context"
	"crypto/tls"
	"fmt"
	"net/http"
	"strings"
	"time"

	commonconfig "github.com/prometheus/common/config"

	"github.com/consignwatch/consignwatch/pkg/catalog"
	"github.com/consignwatch/consignwatch/pkg/exporter"
	"github.com/consignwatch/consignwatch/pkg/secret"
)

// shopify makes the collectors of all shops: each a target for each client, so that no shop waits for another.
func (b *builder) shopify() error {
	client, err := shopClient(b.dial, b.Shopify.TLS, time.Duration(b.Shopify.Interval))
	if err != nil {
		return b.file.Errorf("shopify.tls", "%w", err)
	}
	b.closers = append(b.closers, func() error { client.CloseIdleConnections(); return nil })
	var db *platformDB
	if b.Platform != nil {
		if db, err = b.openPlatformDB(); err != nil {
			return err
		}
	}
	operations := exporter.NewRecorder(b.catalog)
	for _, operation := range catalog.ShopifyOperations() {
		for _, o := range catalog.ShopifyOutcomes() {
			operations.Init("consign_shopify_operations_total", operation, o)
		}
	}
	slugs := b.slugs()
	var status, orders, products []exporter.Target
	var windows []*orderWindow
	for i, c := range b.Clients {
		if c.Shopify == nil {
			continue
		}
		s, err := b.shop(c, client, operations, fmt.Sprintf("clients.%d.shopify.", i))
		if err != nil {
			return err
		}
		window := newOrderWindow(c.Slug, &b.Shopify)
		windows = append(windows, window)
		status = append(status, &shopStatus{shop: s, expected: b.expectedTopics(c.Shopify), maxAge: b.Shopify.cacheAge(), inventory: slugs})
		orders = append(orders, &shopOrders{shop: s, window: window, pageTime: s.timeout})
		products = append(products, &shopProducts{
			shop: s, db: db, interval: time.Duration(b.Shopify.ProductsInterval), grace: time.Duration(b.Shopify.GracePeriod), limit: b.Shopify.MaxProducts,
		})
	}
	if len(status) == 0 {
		return nil
	}
	schedule := b.Shopify.schedule()
	b.add("shopify", schedule, status...)
	b.add("shopify_orders", schedule, orders...)
	b.add("shopify_products", schedule, products...)
	b.add("shopify_operations", schedule, operationCounts{operations})
	if db != nil {
		b.add("shopify_reconciliation", schedule, &reconciliation{db: db, windows: windows, maxAge: b.Shopify.cacheAge(), inventory: slugs})
	}
	return nil
}

// schedule gives a round the whole interval: a query may have to wait for another request, for a token and for the bucket.
func (c *shopifyConfig) schedule() exporter.Schedule {
	return exporter.Schedule{Interval: time.Duration(c.Interval), Timeout: time.Duration(c.Interval), MaxAge: time.Duration(c.MaxAge)}
}

// cacheAge is how long the state of a shop is cached: as long as the kit keeps the samples of a collection, which is never less
// than two rounds.
func (c *shopifyConfig) cacheAge() time.Duration {
	return max(time.Duration(c.MaxAge), 3*time.Duration(c.Interval))
}

func (b *builder) expectedTopics(s *shopConfig) []string {
	if s.ExpectedTopics != nil {
		return s.ExpectedTopics
	}
	return b.Shopify.ExpectedTopics
}

// shop reads the secrets of a client's shop. The prefix is where it stands in the file.
func (b *builder) shop(c Client, client *http.Client, operations *exporter.Recorder, at string) (*shop, error) {
	s := &shop{
		client:     c.Slug,
		apiURL:     address(b.Shopify.URLTemplate, c.Shopify.Domain, b.Shopify.APIVersion),
		grantURL:   address(b.Shopify.TokenURLTemplate, c.Shopify.Domain, b.Shopify.APIVersion),
		version:    b.Shopify.APIVersion,
		http:       client,
		timeout:    time.Duration(b.Shopify.Timeout),
		log:        b.log.With("collector", "shopify", "target", c.Slug),
		tokens:     &tokenSource{},
		slot:       make(chan struct{}, 1),
		recorder:   exporter.NewRecorder(b.catalog),
		operations: operations,
	}
	s.limiter.interval = time.Duration(float64(time.Second) / b.Shopify.RequestsPerSecond)
	s.limiter.reserve = *b.Shopify.BucketReserve
	s.recorder.Init("consign_shopify_request_duration_seconds", c.Slug)
	for _, o := range catalog.ShopifyOutcomes() {
		s.recorder.Init("consign_shopify_requests_total", c.Slug, o)
	}
	if credentials := c.Shopify.ClientCredentials; credentials != nil {
		value, err := secret.Read(credentials.SecretFile)
		if err != nil {
			return nil, b.clientsFile.Errorf(at+"client_credentials.secret_file", "%w", err)
		}
		s.tokens.clientID, s.tokens.clientSecret = credentials.ID, value
		return s, nil
	}
	value, err := secret.Read(c.Shopify.TokenFile)
	if err == nil && strings.ContainsFunc(value.Reveal(), func(r rune) bool { return r <= ' ' || r > '~' }) {
		err = fmt.Errorf("%s does not hold an access token: there is more than one word, or a character that no token has", c.Shopify.TokenFile)
	}
	if err != nil {
		return nil, b.clientsFile.Errorf(at+"token_file", "%w", err)
	}
	end, err := c.Shopify.tokenEnd()
	s.tokens.current = accessToken{value: value, expires: end}
	return s, err
}

// shopClient makes the client for all shops. A shop has one request at a time, so there is no limit for a host, which may be a
// proxy before all of them; and its connection stays open from one round to the next.
func shopClient(dial dialer, c *commonconfig.TLSConfig, interval time.Duration) (*http.Client, error) {
	var security *tls.Config
	if c != nil {
		var err error
		if security, err = commonconfig.NewTLSConfig(c); err != nil {
			return nil, err
		}
	}
	client := newHTTPClient(dial, security)
	transport := client.Transport.(*http.Transport)
	transport.MaxConnsPerHost, transport.MaxIdleConnsPerHost = 0, 100
	transport.IdleConnTimeout = 2 * interval
	return client, nil
}

// operationCounts reports the requests to all shops together.
type operationCounts struct{ recorder *exporter.Recorder }

// Name is the name of the target.
func (operationCounts) Name() string { return "all" }

// Collect sends no request.
func (o operationCounts) Collect(_ context.Context, sink *exporter.Sink) error {
	o.recorder.Collect(sink)
	return nil
}

// enumOf is the topic as the API names it: ORDERS_CREATE for orders/create.
func enumOf(topic string) string { return strings.ToUpper(strings.ReplaceAll(topic, "/", "_")) }

func unix(at time.Time) float64 { return float64(at.UnixMilli()) / 1000 }
