package simulator

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/redis/go-redis/v9"

	"github.com/consignwatch/consignwatch/simulator/api"
	"github.com/consignwatch/consignwatch/simulator/quota"
)

// Infra names the real infrastructure of the platform. Without an address the platform lacks that part, and the faults that break it cannot
// be switched on.
type Infra struct {
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

// infra is the running infrastructure.
type infra struct {
	api        *api.Server       // nil: no API
	traffic    *trafficGenerator // requests to the API
	cache      *redis.Client     // for the faults; nil: no cache
	disk       *quota.Disk       // nil: no disk
	images     chan image        // to be stored
	faultTasks faultTasks
}

// startInfra starts the infrastructure.
func (p *Platform) startInfra() error {
	m := &p.config.Infra
	m.Disk.Logger = p.config.Logger
	p.faultTasks.running, p.faultTasks.timeout = map[string]*faultTask{}, 2*p.config.Timeout
	if m.API != "" {
		pool, _, err := open(p.config.DSN, p.config.Timeout)
		if err != nil {
			return err
		}
		p.api, err = api.Start(api.Config{
			Address: m.API, Certificates: m.APICertificates, Pool: pool, Cache: m.Cache, Platform: storefront{p},
			QueryTimeout: p.config.Timeout, Limits: m.APILimits, Now: p.config.Now, Logger: p.config.Logger,
		})
		if err != nil {
			return fmt.Errorf("platform: %w", err)
		}
		p.traffic = newTrafficGenerator(p)
	}
	if m.Cache != "" {
		p.cache = adminOfCache(m.Cache)
	}
	if m.Disk.Dir != "" {
		disk, err := quota.Open(m.Disk)
		if err != nil {
			return fmt.Errorf("platform: %w", err)
		}
		p.disk, p.images = disk, make(chan image, imageQueueSize)
	}
	return nil
}

// runInfra runs the infrastructure's clients beside life, until the returned function is called.
func (p *Platform) runInfra(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var done sync.WaitGroup
	if p.traffic != nil {
		done.Go(func() { p.traffic.run(ctx) })
	}
	if p.disk != nil {
		done.Go(func() { p.storeImages(ctx) })
	}
	if p.external != nil {
		done.Go(func() { p.external.run(ctx) })
	}
	return func() {
		cancel()
		done.Wait()
	}
}

// stopInfra stops the infrastructure. What faults changed in servers stays changed, unless they were switched off (Faults.ServersUp).
func (p *Platform) stopInfra() error {
	wait := p.faultTasks.abandon()
	var err error
	if p.api != nil {
		err = p.api.Close()
	}
	if p.cache != nil {
		err = errors.Join(err, p.cache.Close())
	}
	if p.disk != nil {
		err = errors.Join(err, p.disk.Close())
	}
	wait()
	return err
}

// InfraState is the addresses of the infrastructure.
type InfraState struct {
	API   string `json:"api,omitempty"`    // URL
	APICA string `json:"api_ca,omitempty"` // file with the certificate of its authority
	Cache string `json:"cache,omitempty"`
	Disk  string `json:"disk,omitempty"` // folder
}

func (p *Platform) infraState() InfraState {
	s := InfraState{Cache: p.config.Cache, Disk: p.config.Disk.Dir}
	if p.api != nil {
		s.API, s.APICA = p.api.URL(), p.api.CA()
	}
	return s
}

// buy makes a shopper buy: by a request to the API if visitors use one, else directly.
func (p *Platform) buy(c *Change, client, event uint64) {
	if p.traffic != nil && p.living.Load() {
		p.traffic.enqueueOrder(client, event)
		return
	}
	p.purchase(c, event)
}

// impossible reports whether an activity cannot happen now: people do nothing while the API does not serve.
func (p *Platform) impossible(j activity) bool {
	if !p.faults.isOn(APIDown, 0) && !p.faults.isOn(PoolExhausted, 0) {
		return false
	}
	switch j.name {
	case "list item", "publish item", "change price", "register", "pay fee", "return", "shopper comes", "sign in", "open ticket",
		"change mail address", "book drop-off", "cancel drop-off", "sign up for a shift", "cancel a shift":
		return true
	default:
		return false
	}
}
