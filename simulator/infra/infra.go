// Package infra runs the platform's infrastructure: the API and its visitors, the cache, and the disk with its images, and breaks them and the
// database on request. Which orders are placed, and which rows they change, is not its business.
package infra

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/consignwatch/consignwatch/simulator/emit"
	"github.com/consignwatch/consignwatch/simulator/faults"
	"github.com/consignwatch/consignwatch/simulator/infra/api"
	"github.com/consignwatch/consignwatch/simulator/infra/quota"
	"github.com/consignwatch/consignwatch/simulator/store"
	"github.com/consignwatch/consignwatch/simulator/world"
)

// Config names the real infrastructure of the platform. Without an address the platform lacks that part, and the faults that break it cannot
// be switched on.
type Config struct {
	// API is the address of the platform's API: host:port for HTTPS with a certificate of its own authority, or
	// http://host:port. Without a host it is 127.0.0.1; port 0 is a free one.
	API string
	// APICertificates is the folder for the authority's certificate, for those who are to trust the API.
	APICertificates string
	// APILimits are the API's time limits.
	APILimits api.Limits
	// Cache is host:port of the Redis in which the API caches responses.
	Cache string
	// CacheDown stops Redis (true) and resumes it (false), for the fault cache-down.
	CacheDown func(on bool) error
	// Disk is where images are stored.
	Disk quota.Config
}

// Setup is Config, and how visitors use it.
type Setup struct {
	Config
	Seed uint64
	Tick time.Duration // how often visitors decide on their next requests
}

// Orders places the orders of people who buy.
type Orders interface {
	// Buying reports whether shoppers of a client can buy.
	Buying(client uint64) bool
	// Purchase places an order. When the order gets lost, the change stays empty.
	Purchase(c *store.Change, event uint64) []world.Sale
}

// Infra is the running infrastructure.
type Infra struct {
	*store.Store
	config   Setup
	faults   *faults.Switches
	inflight *emit.Inflight
	orders   Orders
	tasks    *faults.Tasks

	api     *api.Server       // nil: no API
	traffic *trafficGenerator // requests to the API
	cache   *redis.Client     // for the faults; nil: no cache
	disk    *quota.Disk       // nil: no disk
	images  chan image        // to be stored
}

// Start starts the infrastructure. Connect it before people use it.
func Start(config Setup, s *store.Store, switches *faults.Switches, tasks *faults.Tasks, inflight *emit.Inflight) (*Infra, error) {
	i := &Infra{Store: s, config: config, faults: switches, inflight: inflight, tasks: tasks}
	if config.API != "" {
		pool, _, err := store.OpenPool(s.DSN, s.Timeout)
		if err != nil {
			return nil, err
		}
		i.api, err = api.Start(api.Config{
			Address: config.API, Certificates: config.APICertificates, Pool: pool, Cache: config.Cache, Platform: storefront{i},
			QueryTimeout: s.Timeout, Limits: config.APILimits, Now: s.Time, Logger: s.Logger,
		})
		if err != nil {
			return nil, fmt.Errorf("platform: %w", err)
		}
		i.traffic = newTrafficGenerator(i)
	}
	if config.Cache != "" {
		i.cache = adminOfCache(config.Cache)
	}
	if config.Disk.Dir != "" {
		config.Disk.Logger = s.Logger
		disk, err := quota.Open(config.Disk)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("platform: %w", err), i.Close())
		}
		i.disk, i.images = disk, make(chan image, imageQueueSize)
	}
	return i, nil
}

// Connect connects the API to what places its orders.
func (i *Infra) Connect(orders Orders) { i.orders = orders }

// API returns the API, or nil.
func (i *Infra) API() *api.Server { return i.api }

// Run runs the infrastructure's clients beside life, until the context ends.
func (i *Infra) Run(ctx context.Context) {
	var done sync.WaitGroup
	if i.traffic != nil {
		done.Go(func() { i.traffic.run(ctx) })
	}
	if i.disk != nil {
		done.Go(func() { i.storeImages(ctx) })
	}
	done.Wait()
}

// Close stops the infrastructure. What faults changed in servers stays changed, unless they were switched off (Switches.ServersUp).
func (i *Infra) Close() error {
	wait := i.tasks.Abandon()
	var err error
	if i.api != nil {
		err = i.api.Close()
	}
	if i.cache != nil {
		err = errors.Join(err, i.cache.Close())
	}
	if i.disk != nil {
		err = errors.Join(err, i.disk.Close())
	}
	wait()
	return err
}

// State is the addresses of the infrastructure.
type State struct {
	API   string `json:"api,omitempty"`    // URL
	APICA string `json:"api_ca,omitempty"` // file with the certificate of its authority
	Cache string `json:"cache,omitempty"`
	Disk  string `json:"disk,omitempty"` // folder
}

// State returns the addresses of the infrastructure.
func (i *Infra) State() State {
	s := State{Cache: i.config.Cache, Disk: i.config.Disk.Dir}
	if i.api != nil {
		s.API, s.APICA = i.api.URL(), i.api.CA()
	}
	return s
}

// Order makes a visitor place an order, by a request to the API. When too many wait, the order is dropped. The caller holds the store's
// write lock.
func (i *Infra) Order(client, event uint64) bool {
	if i.traffic == nil {
		return false
	}
	if c := i.Books.Clients.Get(client); c != nil {
		select {
		case i.traffic.orders <- wantedOrder{c.Slug, event}:
		default:
		}
	}
	return true
}
