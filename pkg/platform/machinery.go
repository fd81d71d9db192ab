package platform

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/redis/go-redis/v9"

	"github.com/consignwatch/consignwatch/pkg/platform/api"
	"github.com/consignwatch/consignwatch/pkg/platform/quota"
)

// Machinery says which real machines the platform has. What is empty is not there; then what it would do is made up, and
// the faults that break it cannot be switched on.
type Machinery struct {
	// API is where the platform answers requests: host:port for HTTPS with a certificate of its own authority, or
	// http://host:port. Without a host it is 127.0.0.1; port 0 is a free one.
	API string
	// APICertificates is a folder in which the authority's certificate is written, so that others can trust the API.
	APICertificates string
	// APILimits are how long the API waits.
	APILimits api.Limits
	// Cache is host:port of the Redis in which the API keeps answers.
	Cache string
	// CacheDown stops Redis (true) and lets it go on (false), for the fault cache-down.
	CacheDown func(on bool) error
	// Disk is where the platform stores images.
	Disk quota.Config
}

// equipment is the machinery at work.
type equipment struct {
	api      *api.Server   // nil: there is none
	visitors *crowd        // of the API
	cache    *redis.Client // for the faults; nil: there is none
	disk     *quota.Disk   // nil: there is none
	images   chan image    // to be stored
	errands  errands
}

// equip starts the machinery.
func (p *Platform) equip() error {
	m := &p.config.Machinery
	m.Disk.Logger = p.config.Logger
	p.errands.running, p.errands.patience = map[string]*errand{}, 2*p.config.Timeout
	if m.API != "" {
		pool, _, err := open(p.config.DSN, p.config.Timeout)
		if err != nil {
			return err
		}
		p.api, err = api.Start(api.Config{
			Address: m.API, Certificates: m.APICertificates, Pool: pool, Cache: m.Cache, Platform: counter{p},
			QueryTimeout: p.config.Timeout, Limits: m.APILimits, Now: p.config.Now, Logger: p.config.Logger,
		})
		if err != nil {
			return fmt.Errorf("platform: %w", err)
		}
		p.visitors = newCrowd(p)
	}
	if m.Cache != "" {
		p.cache = adminOfCache(m.Cache)
	}
	if m.Disk.Dir != "" {
		disk, err := quota.Open(m.Disk)
		if err != nil {
			return fmt.Errorf("platform: %w", err)
		}
		p.disk, p.images = disk, make(chan image, imagesThatWait)
	}
	return nil
}

// operate lets the machinery work beside life until the returned function is called.
func (p *Platform) operate(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var done sync.WaitGroup
	if p.visitors != nil {
		done.Go(func() { p.visitors.come(ctx) })
	}
	if p.disk != nil {
		done.Go(func() { p.storeImages(ctx) })
	}
	if p.outside != nil {
		done.Go(func() { p.outside.live(ctx) })
	}
	return func() {
		cancel()
		done.Wait()
	}
}

// dismantle ends the machinery. What faults changed in servers stays changed, if nobody switched them off
// (Faults.ServersUp).
func (p *Platform) dismantle() error {
	wait := p.errands.abandon()
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

// MachineryState says what machinery there is, and where.
type MachineryState struct {
	API   string `json:"api,omitempty"`    // URL
	APICA string `json:"api_ca,omitempty"` // file with the certificate of its authority
	Cache string `json:"cache,omitempty"`
	Disk  string `json:"disk,omitempty"` // folder
}

func (p *Platform) machineryState() MachineryState {
	s := MachineryState{Cache: p.config.Cache, Disk: p.config.Disk.Dir}
	if p.api != nil {
		s.API, s.APICA = p.api.URL(), p.api.CA()
	}
	return s
}

// buy lets somebody buy: through the API, if there is one and people come to it, and else at once.
func (p *Platform) buy(c *Change, client, event uint64) {
	if p.visitors != nil && p.living.Load() {
		p.visitors.wish(client, event)
		return
	}
	p.purchase(c, event)
}

// cannot tells whether an activity is impossible now: people do nothing while the API that they do it through serves nobody.
func (p *Platform) cannot(j job) bool {
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
