package exporter

import (
	"context"
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/consignwatch/consignwatch/pkg/catalog"
)

// Manager collects what the configuration in force says, in the background, and merges the newest samples for each scrape. Its
// methods are called one at a time, except for Scrape and Ready.
type Manager struct {
	log        *slog.Logger
	self       *selfMetrics
	limiter    *cardinalityLimiter
	exposition *exposition

	keys      []snapshotKey // of the configuration in force
	scheduler atomic.Pointer[scheduler]
}

// NewManager makes a Manager without a configuration.
func NewManager(log *slog.Logger) (*Manager, error) {
	self, err := newSelfMetrics(catalog.Shipped())
	if err != nil {
		return nil, err
	}
	return &Manager{
		log: log, self: self, exposition: newExposition(self, log, time.Now),
		limiter: newCardinalityLimiter(catalog.SizesFor(catalog.DefaultClients), self),
	}, nil
}

// Apply starts the collectors of a configuration, after those of the old one have been stopped. Snapshots of targets that
// exist before and after stay exposed.
func (m *Manager) Apply(next *Setup) {
	keys := snapshotKeysOf(next.Collectors)
	retained := map[snapshotKey]bool{}
	for _, k := range keys {
		retained[k] = true
	}
	for _, k := range m.keys {
		if !retained[k] {
			m.self.deleteTarget(k)
		}
	}
	m.exposition.retain(retained)
	m.limiter.resize(next.Sizes)
	m.self.initSeries(next.Catalog, keys)
	m.keys = keys
	s := &scheduler{catalog: next.Catalog, limiter: m.limiter, exposition: m.exposition, self: m.self, log: m.log}
	s.start(next.Collectors)
	m.scheduler.Store(s)
	m.exposition.setGatherer(next.Gatherer)
	if next.Gatherer != nil {
		next.Gatherer.Start()
	}
}

// Ready reports whether every target of the configuration was tried at least once.
func (m *Manager) Ready() bool { return m.scheduler.Load().ready() }

// Stop ends the collections and waits until they have returned, or ctx ends. What they have collected stays exposed.
func (m *Manager) Stop(ctx context.Context) error { return m.scheduler.Load().stop(ctx) }

// Scrape returns what a scrape exposes, and a function done to call when the response was written, or has failed. It never
// waits for a target.
func (m *Manager) Scrape(r *http.Request) (g prometheus.Gatherer, done func(delivered bool)) {
	return m.exposition.scrape(r)
}

// Reloaded says that the configuration with this hash is in force.
func (m *Manager) Reloaded(hash string) {
	m.self.reloadSuccessful.Set(1)
	m.self.reloadTimestamp.Set(float64(time.Now().UnixNano()) / 1e9)
	m.self.setHash(hash)
}

// ReloadFailed says that a configuration could not be loaded, so that the old one stays in force.
func (m *Manager) ReloadFailed() { m.self.reloadSuccessful.Set(0) }
