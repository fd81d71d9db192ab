package mandrill

import (
	"cmp"
	"context"
	"maps"
	"net/http"
	"strings"
	"sync"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"

	"github.com/consignwatch/consignwatch/simulator/services/webhook"
	"github.com/consignwatch/consignwatch/simulator/services/wire"
)

// Config configures the fake.
type Config struct {
	Now         func() time.Time // Mandrill's clock; nil: time.Now
	Key         string
	Username    string
	CreatedAt   time.Time // zero: now
	HourlyQuota int       // messages; 0: 25,000. It is shown, and used up by a switch

	// Webhooks says how batches are sent: the zero value is in real time. Its clock is Mandrill's.
	Webhooks webhook.SenderConfig
}

// Fake is an account.
type Fake struct {
	config Config
	sender *webhook.Sender
	stop   context.CancelFunc
	done   sync.WaitGroup

	mu          sync.Mutex
	switches    Switches
	history     history
	subaccounts map[string]*subaccount
	domains     []*domain
	hooks       []*hook
	queue       []*message                   // that wait for the quota
	messages    *lru.Cache[string, *message] // that can still be complained about
	denied      map[string]bool
	bounceShare float64 // what the share of bounces has come to
	lastID      int64
	requests    map[string]int64
	webhooks    map[string]int64
}

// New returns an account without subaccounts. Close it.
func New(config Config) *Fake {
	if config.Now == nil {
		config.Now = time.Now
	}
	if config.CreatedAt.IsZero() {
		config.CreatedAt = config.Now()
	}
	config.HourlyQuota = cmp.Or(config.HourlyQuota, 25_000)
	f := &Fake{config: config, subaccounts: map[string]*subaccount{}, denied: map[string]bool{}, requests: map[string]int64{}, webhooks: map[string]int64{}}
	f.messages, _ = lru.New[string, *message](messagesKept) // it is a size
	f.sender = config.Webhooks.Start(webhook.MandrillSchedule(), config.Now, f.attempted)
	ctx, stop := context.WithCancel(context.Background())
	f.stop = stop
	f.done.Go(func() { f.flushEvery(ctx, time.Duration(float64(batchEvery)/cmp.Or(config.Webhooks.Speed, 1))) })
	return f
}

func (f *Fake) flushEvery(ctx context.Context, every time.Duration) {
	ticker := time.NewTicker(max(every, time.Millisecond))
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			f.Flush()
		case <-ctx.Done():
			return
		}
	}
}

// Close stops sending webhooks, and returns how many batches were still to be sent.
func (f *Fake) Close() int {
	f.stop()
	f.done.Wait()
	return f.sender.Close()
}

func (f *Fake) now() time.Time { return f.config.Now() }

// Books are what the account holds, and the counts of its requests and webhooks.
type Books struct {
	// Requests by outcome: ok, auth, throttled, bad_request, not_found, server_error, invalid_response, other; refused: a forced status;
	// timeout: the client went away before the answer; down: the connection was cut.
	Requests map[string]int64
	// Webhooks are batches by outcome: sent, delivered, failed (attempts), given_up, forged; refused are events
	// for which too many waited.
	Webhooks map[string]int64
	AllTime  Counts
	Backlog  int
	// Subaccounts by id.
	Subaccounts map[string]SubaccountBooks
}

// SubaccountBooks are the counts of a subaccount.
type SubaccountBooks struct {
	AllTime, Last30Days Counts
	Paused              bool
}

// Books returns a copy of the account's books.
func (f *Fake) Books() Books {
	f.mu.Lock()
	defer f.mu.Unlock()
	b := Books{Requests: maps.Clone(f.requests), Webhooks: maps.Clone(f.webhooks), AllTime: f.history.allTime, Backlog: f.backlog(), Subaccounts: map[string]SubaccountBooks{}}
	for id, s := range f.subaccounts {
		b.Subaccounts[id] = SubaccountBooks{s.history.allTime, s.history.recent(f.now()), s.paused}
	}
	return b
}

// backlog is what waits because of the quota. Messages of paused subaccounts are no part of it.
func (f *Fake) backlog() int {
	f.drain()
	return len(f.queue) + f.switches.Backlog
}

// ServeHTTP implements http.Handler.
func (f *Fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	x := &exchange{fake: f, w: w, r: r}
	rest, ok := strings.CutPrefix(r.URL.Path, "/api/1.")
	minor, operation, _ := strings.Cut(strings.TrimSuffix(rest, ".json"), "/")
	x.modern = minor != "0"
	call, known := calls()[operation]
	f.mu.Lock()
	switches := f.switches
	f.mu.Unlock()
	if !wire.Wait(r, switches.Slow) {
		x.record("timeout")
		return
	}
	key := x.read()
	switch {
	case switches.Down:
		x.record("down")
		wire.Drop()
	case switches.Status != 0:
		x.refuse(switches.Status)
	case !ok || !known || r.Method != http.MethodPost:
		x.fail("Unknown_Method", "Unknown method \""+operation+"\"")
	case key == "":
		x.fail("ValidationError", "You must specify a key value")
	case key != f.config.Key:
		x.fail("Invalid_Key", "Invalid API key")
	case switches.ErrorName != "":
		x.fail(switches.ErrorName, "Something went wrong")
	case switches.InvalidResponse:
		x.record("invalid_response")
		wire.HTMLPage(w, http.StatusOK)
	default:
		call(x)
	}
}
