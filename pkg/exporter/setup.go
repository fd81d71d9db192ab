package exporter

import (
	"context"
	"fmt"
	"net/http"

	dto "github.com/prometheus/client_model/go"

	"github.com/consignwatch/consignwatch/pkg/catalog"
)

// Setup is a loaded configuration.
type Setup struct {
	// Catalog holds what the collectors may expose.
	Catalog *catalog.Catalog
	// Sizes are the limits for clients and sale events.
	Sizes catalog.Sizes
	// Collectors are scheduled until the next reload.
	Collectors []Collector
	// Gatherer is called at each scrape, and learns whether the response was delivered. It may be nil.
	Gatherer TransactionalGatherer
	// Text is the configuration as it is in force, without secrets, for the endpoint /config and the hash.
	Text []byte
	// Close releases what the collectors hold, after they have ended. It may be nil.
	Close func() error
}

// TransactionalGatherer gathers at the moment of a scrape, and must know which responses were delivered. It follows
// client_golang's prometheus.TransactionalGatherer: Gather returns the families and a function done.
type TransactionalGatherer interface {
	// Start begins the work, once the configuration is in force. The old configuration's gatherer has ended.
	Start()
	// Gather returns the families of a scrape, and a function done that is called once: with true when the whole response
	// was handed to the connection, and the scraper was still there. The request's context ends when the scraper hangs up, and
	// at the latest when its timeout is over: Gather waits no longer than that, and done is called no later.
	Gather(r *http.Request) (families []*dto.MetricFamily, done func(delivered bool))
	// Rejected calls f for each metric and label with the number of values that became "other", and with an
	// empty label for series that were dropped; the numbers never shrink.
	Rejected(f func(metric, label string, n uint64))
	// Drain is called when the exporter is asked to stop, while it still serves: it waits for a last scrape, at most until
	// ctx ends.
	Drain(ctx context.Context)
}

// Check reports a collector that has a target twice.
func (s *Setup) Check() error {
	seen := map[snapshotKey]bool{}
	for _, k := range snapshotKeysOf(s.Collectors) {
		if seen[k] {
			return fmt.Errorf("collector %s has the target %q twice", k.collector, k.target)
		}
		seen[k] = true
	}
	return nil
}
