// Package shopify monitors the shops of all clients, and compares their orders and products with the platform's database. It only
// reads, within the rate limit of each shop, and no shop waits for another.
package shopify

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"

	commonconfig "github.com/prometheus/common/config"

	"github.com/consignwatch/consignwatch/exporters/integration/httpapi"
	"github.com/consignwatch/consignwatch/exporters/integration/platformdb"
	"github.com/consignwatch/consignwatch/pkg/catalog"
	"github.com/consignwatch/consignwatch/pkg/exporter"
	"github.com/consignwatch/consignwatch/pkg/secret"
	"github.com/consignwatch/consignwatch/pkg/yamlfile"
)

// Options are what the shops of all clients have in common.
type Options struct {
	Config  *Config
	Clients []string       // slugs of all clients, with a shop or without
	DB      *platformdb.DB // nil: products are only counted, and orders not compared
	Dial    httpapi.Dial
	Catalog *catalog.Catalog
	Log     *slog.Logger
}

// Shops are the shops of all clients. Each is a target of its own for each client, so that no shop waits for another.
type Shops struct {
	options    Options
	http       *http.Client
	operations *exporter.Recorder

	status, orders, products []exporter.Target
	windows                  []*orderWindow
}

// New makes the client for all shops, and no shop yet.
func New(o Options) (*Shops, error) {
	client, err := newClient(o.Dial, o.Config.TLS, time.Duration(o.Config.Interval))
	if err != nil {
		return nil, err
	}
	s := &Shops{options: o, http: client, operations: exporter.NewRecorder(o.Catalog)}
	for _, operation := range catalog.ShopifyOperations() {
		for _, o := range catalog.ShopifyOutcomes() {
			s.operations.Init("consign_shopify_operations_total", operation, o)
		}
	}
	return s, nil
}

// Close closes the connections.
func (s *Shops) Close() error {
	s.http.CloseIdleConnections()
	return nil
}

// Add adds the shop of a client. The key is where it stands in f.
func (s *Shops) Add(f *yamlfile.File, key, client string, c *ShopConfig) error {
	shop, err := s.shop(f, key, client, c)
	if err != nil {
		return err
	}
	config := s.options.Config
	window := newOrderWindow(client, config)
	s.windows = append(s.windows, window)
	s.status = append(s.status, &statusTarget{shop: shop, expected: s.expectedTopics(c), maxAge: config.cacheAge(), inventory: s.options.Clients})
	s.orders = append(s.orders, &ordersTarget{shop: shop, window: window, pageTime: shop.timeout})
	s.products = append(s.products, &productsTarget{
		shop: shop, db: s.options.DB, interval: time.Duration(config.ProductsInterval), grace: time.Duration(config.GracePeriod), limit: config.MaxProducts,
	})
	return nil
}

// Collectors are the collectors of all shops.
func (s *Shops) Collectors() []exporter.Collector {
	if len(s.status) == 0 {
		return nil
	}
	schedule := s.options.Config.schedule()
	collectors := []exporter.Collector{
		exporter.NewCollector("shopify", schedule, s.status...),
		exporter.NewCollector("shopify_orders", schedule, s.orders...),
		exporter.NewCollector("shopify_products", schedule, s.products...),
		exporter.NewCollector("shopify_operations", schedule, operationCounts{s.operations}),
	}
	if db := s.options.DB; db != nil {
		r := &reconciliation{db: db, windows: s.windows, maxAge: s.options.Config.cacheAge(), inventory: s.options.Clients}
		collectors = append(collectors, exporter.NewCollector("shopify_reconciliation", schedule, r))
	}
	return collectors
}

// schedule gives a round the whole interval: a query may have to wait for another request, for a token and for the bucket.
func (c *Config) schedule() exporter.Schedule {
	return exporter.Schedule{Interval: time.Duration(c.Interval), Timeout: time.Duration(c.Interval), MaxAge: time.Duration(c.MaxAge)}
}

// cacheAge is how long the state of a shop is cached: as long as the kit keeps the samples of a collection, which is never less
// than two rounds.
func (c *Config) cacheAge() time.Duration {
	return max(time.Duration(c.MaxAge), 3*time.Duration(c.Interval))
}

func (s *Shops) expectedTopics(c *ShopConfig) []string {
	if c.ExpectedTopics != nil {
		return c.ExpectedTopics
	}
	return s.options.Config.ExpectedTopics
}

// shop makes the shop of a client, and reads its secrets.
func (s *Shops) shop(f *yamlfile.File, key, client string, c *ShopConfig) (*shop, error) {
	config := s.options.Config
	sh := &shop{
		client:     client,
		apiURL:     address(config.URLTemplate, c.Domain, config.APIVersion),
		grantURL:   address(config.TokenURLTemplate, c.Domain, config.APIVersion),
		version:    config.APIVersion,
		http:       s.http,
		timeout:    time.Duration(config.Timeout),
		log:        s.options.Log.With("collector", "shopify", "target", client),
		tokens:     &tokenSource{},
		slot:       make(chan struct{}, 1),
		recorder:   exporter.NewRecorder(s.options.Catalog),
		operations: s.operations,
	}
	sh.limiter.interval = time.Duration(float64(time.Second) / config.RequestsPerSecond)
	sh.limiter.reserve = *config.BucketReserve
	sh.recorder.Init("consign_shopify_request_duration_seconds", client)
	for _, o := range catalog.ShopifyOutcomes() {
		sh.recorder.Init("consign_shopify_requests_total", client, o)
	}
	if credentials := c.ClientCredentials; credentials != nil {
		value, err := secret.Read(credentials.SecretFile)
		if err != nil {
			return nil, f.Errorf(key+".client_credentials.secret_file", "%w", err)
		}
		sh.tokens.clientID, sh.tokens.clientSecret = credentials.ID, value
		return sh, nil
	}
	value, err := secret.Read(c.TokenFile)
	if err == nil && strings.ContainsFunc(value.Reveal(), func(r rune) bool { return r <= ' ' || r > '~' }) {
		err = fmt.Errorf("%s does not hold an access token: there is more than one word, or a character that no token has", c.TokenFile)
	}
	if err != nil {
		return nil, f.Errorf(key+".token_file", "%w", err)
	}
	end, err := c.tokenEnd()
	sh.tokens.current = accessToken{value: value, expires: end}
	return sh, err
}

// newClient makes the client for all shops. A shop has one request at a time, so there is no limit for a host, which may be a
// proxy before all of them; and its connection stays open from one round to the next.
func newClient(dial httpapi.Dial, c *commonconfig.TLSConfig, interval time.Duration) (*http.Client, error) {
	client, err := httpapi.NewClient(dial, c)
	if err != nil {
		return nil, err
	}
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
