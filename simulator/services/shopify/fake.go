package shopify

import (
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/consignwatch/consignwatch/simulator/services/webhook"
	"github.com/consignwatch/consignwatch/simulator/services/wire"
)

// Config configures the fake.
type Config struct {
	Now func() time.Time // the shops' clock; nil: time.Now
	// Webhooks says how webhooks are sent: the zero value is Shopify's schedule in real time. Its clock is the shops'.
	Webhooks webhook.SenderConfig
	// Requested is called after every request, without a lock held; may be nil.
	Requested func(Request)
}

// Request is a request and its outcome.
type Request struct {
	Shop      string // as requested, known or not
	Operation string // its name
	Outcome   string // as in Books
	Cost      int    // points charged
	At        time.Time
}

// Fake is the Admin API of many shops. A shop is found by the Host header, or by the first part of the path:
// /kids-north.myshopify.com/admin/api/….
type Fake struct {
	config Config
	sender *webhook.Sender

	mu           sync.Mutex
	shops        map[string]*shop
	all          Switches
	expiredSince time.Time
	lastID       int64
}

// New returns a fake without shops. Close it.
func New(config Config) *Fake {
	if config.Now == nil {
		config.Now = time.Now
	}
	f := &Fake{config: config, shops: map[string]*shop{}, lastID: 5_000_000_000_000}
	f.sender = config.Webhooks.Start(webhook.ShopifySchedule(), config.Now, f.attempted)
	return f
}

// Close stops sending webhooks, and returns how many were still to be sent.
func (f *Fake) Close() int { return f.sender.Close() }

func (f *Fake) now() time.Time { return f.config.Now() }

// Switch changes what is wrong in one shop; without a domain, in all shops.
func (f *Fake) Switch(domain string, change func(*Switches)) error {
	if domain == "" {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.all, f.expiredSince = f.switched(f.all, f.expiredSince, change)
		return nil
	}
	return f.withShop(domain, func(s *shop) error {
		s.switches, s.expiredSince = f.switched(s.switches, s.expiredSince, change)
		return nil
	})
}

func (f *Fake) switched(s Switches, since time.Time, change func(*Switches)) (Switches, time.Time) {
	before := s.TokenExpired
	change(&s)
	if s.TokenExpired && !before {
		since = f.now()
	}
	return s, since
}

// ServeHTTP implements http.Handler.
func (f *Fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	domain, path := f.route(r)
	x := &exchange{fake: f, w: w, r: r, shop: domain, id: uuid.NewString()}
	w.Header().Set("X-Request-Id", x.id)

	f.mu.Lock()
	s := f.shops[domain]
	switches := f.all
	if s != nil {
		switches = switches.with(s.switches)
		w.Header().Set("X-ShopId", fmt.Sprint(s.ID))
	}
	f.mu.Unlock()

	if !wire.Wait(r, switches.Slow) {
		x.record("timeout")
		return
	}
	if switches.Down {
		x.record("down")
		wire.Drop()
	}
	switch version, isAPI := strings.CutPrefix(path, "/admin/api/"); {
	case s == nil:
		x.refuse(http.StatusNotFound)
	case switches.Status != 0:
		x.refuse(switches.Status)
	case switches.Locked:
		x.refuse(http.StatusLocked)
	case switches.Frozen:
		x.refuse(http.StatusPaymentRequired)
	case path == "/admin/oauth/access_token" && r.Method == http.MethodPost:
		x.grant()
	case isAPI && strings.HasSuffix(version, "/graphql.json"):
		x.graphql(strings.TrimSuffix(version, "/graphql.json"), switches)
	default:
		x.refuse(http.StatusNotFound)
	}
}

// route finds the shop's domain and the path within the shop.
func (f *Fake) route(r *http.Request) (domain, path string) {
	if first, rest, ok := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/"); ok && first != "admin" {
		return first, "/" + rest
	}
	host, _, err := net.SplitHostPort(r.Host)
	if err != nil {
		host = r.Host
	}
	return host, r.URL.Path
}
