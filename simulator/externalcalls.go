package simulator

import (
	"context"
	"sync"
	"time"

	"github.com/consignwatch/consignwatch/simulator/faults"
	"github.com/consignwatch/consignwatch/simulator/outside"
	"github.com/consignwatch/consignwatch/simulator/stream"
	"github.com/consignwatch/consignwatch/simulator/world"
)

// The platform's own calls to the external services, beside life. They are real calls; what happens more often follows the last one.

const (
	callCheckEvery     = 100 * time.Millisecond // for due calls
	shopsEvery         = 2 * time.Second        // of each shop; with many clients less often
	shopGap            = 50 * time.Millisecond  // between two shops
	clerkEvery         = time.Second
	mandrillEvery      = 2 * time.Second
	forgedTokenEvery   = 10 * time.Second // somebody presents a forged token
	forgedWebhookEvery = time.Second
	rotationEvery      = 20 * time.Second // while signing-key-rotated is on
	browserCount       = 8                // with a token
	tokenMaxAge        = 45 * time.Second // then the browser refreshes it
	tokensPerSecond    = 2                // presented
)

// browser is a signed-in browser with its session token.
type browser struct {
	token string
	since time.Time
}

// serviceCaller makes the calls.
type serviceCaller struct {
	*Services
	running sync.WaitGroup
	due     map[string]time.Time

	// Of the one goroutine that calls Clerk.
	browsers [browserCount]browser
	turn     int
	forged   time.Time // time of the last forged token
}

// Run makes the platform's calls until the context ends.
func (o *Services) Run(ctx context.Context) {
	l := &serviceCaller{Services: o, due: map[string]time.Time{}}
	defer l.running.Wait()
	ticker := time.NewTicker(o.Accelerated(callCheckEvery))
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		if !o.Paused.Load() {
			l.makeDueCalls(ctx)
		}
	}
}

// isDue reports whether the interval of a call has passed, and begins the next one.
func (l *serviceCaller) isDue(what string, often time.Duration) bool {
	now := time.Now()
	if now.Before(l.due[what]) {
		return false
	}
	l.due[what] = now.Add(l.Accelerated(often))
	return true
}

func (l *serviceCaller) makeDueCalls(ctx context.Context) {
	shops := l.shopsNow()
	round := max(shopsEvery, time.Duration(len(shops))*shopGap)
	for client, domain := range shops {
		if l.isDue(shopService(client), round) {
			l.call(ctx, shopService(client), func(ctx context.Context) func(*Emitter) { return l.askShop(ctx, client, domain) })
		}
		if l.faults.IsOn(faults.WebhookForged, client) && l.isDue("forged hook "+domain, forgedWebhookEvery) {
			l.logError(l.Shopify.Forge(domain, outside.OrdersTopic))
		}
	}
	if l.isDue(mandrillService, mandrillEvery) {
		l.call(ctx, mandrillService, l.askMandrill)
	}
	if l.isDue(clerkService, clerkEvery) {
		l.call(ctx, clerkService, l.askClerk)
	}
	if l.faults.IsOn(faults.SigningKeyRotated, 0) && l.isDue("rotation", rotationEvery) {
		l.call(ctx, "rotation", func(context.Context) func(*Emitter) { l.Clerk.RotateKey(false); return nil })
	}
}

// call makes a call in the background, unless one to the same service is in flight.
func (l *serviceCaller) call(ctx context.Context, what string, do func(context.Context) func(*Emitter)) {
	l.mu.Lock()
	busy := l.calling[what]
	l.calling[what] = true
	l.mu.Unlock()
	if busy {
		return
	}
	f := l.inflight.begin()
	done := func(emit func(*Emitter)) {
		if f.whilePaused || ctx.Err() != nil { // no call was made, or the simulator stops
			emit = nil
		}
		f.end(emit)
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.calling, what)
	}
	if f.whilePaused {
		done(nil)
		return
	}
	l.running.Go(func() { done(do(ctx)) })
}

func (l *serviceCaller) askShop(ctx context.Context, client uint64, domain string) func(*Emitter) {
	call := l.AskShop(ctx, domain, world.FakeToken(client))
	if ctx.Err() != nil {
		return nil
	}
	l.recordCall(shopService(client), call)
	return func(em *Emitter) {
		src := em.sourceFor(tenant{client, l.Slug(domain)}, "sync-worker")
		src.externalCall("shopify", "shop", call)
		src.callError(call, "sync-worker")
	}
}

func (l *serviceCaller) askMandrill(ctx context.Context) func(*Emitter) {
	call := l.PingMandrill(ctx)
	if ctx.Err() != nil {
		return nil
	}
	l.recordCall(mandrillService, call)
	return func(em *Emitter) {
		src := em.platformSource("worker")
		src.externalCall(mandrillService, "users.ping2", call)
		src.callError(call, "worker")
	}
}

// askClerk verifies a session, and presents the tokens of some browsers.
func (l *serviceCaller) askClerk(ctx context.Context) func(*Emitter) {
	call := l.AskClerk(ctx)
	if ctx.Err() != nil {
		return nil
	}
	l.recordCall(clerkService, call)
	emits := []func(source){func(src source) {
		src.externalCall(clerkService, "sessions.verify", call)
		src.emit(stream.AuthRequest{Operation: "verify", Outcome: authOutcome(call), Duration: stream.Seconds(call.Duration)})
		src.callError(call, "api")
	}}
	for range tokensPerSecond {
		l.turn = (l.turn + 1) % browserCount
		emits = append(emits, l.presentToken(ctx, &l.browsers[l.turn])...)
	}
	if b := l.browsers[l.turn]; b.token != "" {
		often := forgedTokenEvery
		if l.faults.IsOn(faults.ClerkAcceptsForged, 0) {
			often = 0 // every time
		}
		if time.Since(l.forged) >= l.Accelerated(often) {
			l.forged = time.Now()
			result, _ := l.Verify(ctx, outside.Forge(b.token))
			emits = append(emits, forgedTokenEvents(result))
		}
	}
	return func(em *Emitter) {
		src := em.platformSource("api")
		for _, emits := range emits {
			emits(src)
		}
	}
}

// presentToken presents a browser's token. The token is refreshed when it is old or was refused.
func (l *serviceCaller) presentToken(ctx context.Context, b *browser) []func(source) {
	var emits []func(source)
	if b.token == "" || time.Since(b.since) > l.Accelerated(tokenMaxAge) {
		token, call := l.Refresh(ctx)
		if call.OK() {
			b.token, b.since = token, time.Now()
		}
		emits = append(emits, func(src source) {
			src.externalCall(clerkService, "sessions.tokens", call)
			src.emit(stream.AuthRequest{Operation: "refresh", Outcome: authOutcome(call), Duration: stream.Seconds(call.Duration)})
		})
	}
	if b.token == "" {
		return emits
	}
	result, _ := l.Verify(ctx, b.token)
	if result == "" { // not verified
		return emits
	}
	if result != outside.Valid {
		b.since = time.Time{}
	}
	return append(emits, func(src source) { src.emit(stream.AuthToken{Result: result}) })
}

// forgedTokenEvents returns the events of a forged token. An accepted one is a security violation.
func forgedTokenEvents(result string) func(source) {
	return func(src source) {
		if result == "" {
			return
		}
		src.emit(stream.AuthToken{Result: result})
		if result == outside.Valid {
			src.emit(stream.SecurityViolation{Kind: "forged_token"})
		}
	}
}

// What follows from the outcome of the last call.

// RefusedByClerk reports whether sign-ins and sign-ups fail now, and emits the failed request.
func (o *Services) RefusedByClerk(client uint64, operation, feature string) bool {
	call := o.LastCall()
	if call.OK() {
		return false
	}
	if c := o.Books.Clients.Get(client); c != nil {
		who := tenant{c.ID, c.Slug}
		o.inflight.emit(func(em *Emitter) {
			src := em.sourceFor(who, "api")
			src.emit(stream.AuthRequest{Operation: operation, Outcome: authOutcome(call), Duration: src.jitter(call.Duration)})
			src.userError("integration", errorKind(call), "api", feature)
		})
	}
	return true
}

// FailCheckout emits a checkout that fails because the shop is down.
func (o *Services) FailCheckout(client uint64) {
	c, call := o.Books.Clients.Get(client), o.LastShopCall(client)
	if c == nil || !call.Down {
		return
	}
	who := tenant{c.ID, c.Slug}
	o.inflight.emit(func(em *Emitter) {
		src := em.sourceFor(who, "api").withTrace()
		src.failedCheckout(call.Outcome, src.jitter(call.Duration))
	})
}
