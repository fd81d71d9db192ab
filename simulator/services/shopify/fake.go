package shopify

import (
	"net/http"
	"strings"
	"sync"
	"time"

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

// Fake is the Admin API of many shops. A shop is the first part of the path: /kids-north.myshopify.com/admin/api/….
type Fake struct {
	config Config
	sender *webhook.Sender

	mu     sync.Mutex
	shops  map[string]*shop
	lastID int64
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

// ServeHTTP implements http.Handler.
func (f *Fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	domain, path, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	x := &exchange{fake: f, w: w, r: r, shop: domain}
	f.mu.Lock()
	s := f.shops[domain]
	var switches Switches
	if s != nil {
		switches = s.switches
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
	switch version, isAPI := strings.CutPrefix(path, "admin/api/"); {
	case s == nil:
		x.refuse(http.StatusNotFound)
	case switches.Status != 0:
		x.refuse(switches.Status)
	case path == "admin/oauth/access_token" && r.Method == http.MethodPost:
		x.grant()
	case isAPI && strings.HasSuffix(version, "/graphql.json"):
		x.graphql(strings.TrimSuffix(version, "/graphql.json"), switches)
	default:
		x.refuse(http.StatusNotFound)
	}
}
