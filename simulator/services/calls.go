package services

import (
	"context"
	"sync"
	"time"

	"github.com/consignwatch/consignwatch/simulator/emit"
	"github.com/consignwatch/consignwatch/simulator/faults"
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
	for faults.Sleep(ctx, o.Accelerated(callCheckEvery)) {
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
			l.call(ctx, shopService(client), func(ctx context.Context) func(*emit.Emitter) { return l.askShop(ctx, client, domain) })
		}
		if l.faults.IsOn(faults.WebhookForged, client) && l.isDue("forged hook "+domain, forgedWebhookEvery) {
			l.logError(l.Shopify.Forge(domain, OrdersTopic))
		}
	}
	if l.isDue(mandrillService, mandrillEvery) {
		l.call(ctx, mandrillService, l.askMandrill)
	}
	if l.isDue(clerkService, clerkEvery) {
		l.call(ctx, clerkService, l.askClerk)
	}
	if l.faults.IsOn(faults.SigningKeyRotated, 0) && l.isDue("rotation", rotationEvery) {
		l.call(ctx, "rotation", func(context.Context) func(*emit.Emitter) { l.Clerk.RotateKey(false); return nil })
	}
}

// call makes a call in the background, unless one to the same service is in flight.
func (l *serviceCaller) call(ctx context.Context, what string, do func(context.Context) func(*emit.Emitter)) {
	l.mu.Lock()
	busy := l.calling[what]
	l.calling[what] = true
	l.mu.Unlock()
	if busy {
		return
	}
	f := l.inflight.Begin("")
	done := func(emit func(*emit.Emitter)) {
		if f.WhilePaused || ctx.Err() != nil { // no call was made, or the simulator stops
			emit = nil
		}
		f.End(emit)
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.calling, what)
	}
	if f.WhilePaused {
		done(nil)
		return
	}
	l.running.Go(func() { done(do(ctx)) })
}

func (l *serviceCaller) askShop(ctx context.Context, client uint64, domain string) func(*emit.Emitter) {
	call := l.queryShop(ctx, domain, world.FakeToken(client))
	if ctx.Err() != nil {
		return nil
	}
	l.recordCall(shopService(client), call)
	return func(em *emit.Emitter) {
		src := em.SourceFor(emit.Tenant{ID: client, Slug: l.slug(domain)}, "sync-worker")
		src.ExternalCall("shopify", "shop", call)
		src.CallError(call, "sync-worker")
	}
}

func (l *serviceCaller) askMandrill(ctx context.Context) func(*emit.Emitter) {
	call := l.pingMandrill(ctx)
	if ctx.Err() != nil {
		return nil
	}
	l.recordCall(mandrillService, call)
	return func(em *emit.Emitter) {
		src := em.PlatformSource("worker")
		src.ExternalCall(mandrillService, "users.ping2", call)
		src.CallError(call, "worker")
	}
}

// askClerk verifies a session, and presents the tokens of some browsers.
func (l *serviceCaller) askClerk(ctx context.Context) func(*emit.Emitter) {
	call := l.AskClerk(ctx)
	if ctx.Err() != nil {
		return nil
	}
	l.recordCall(clerkService, call)
	emits := []func(emit.Source){func(src emit.Source) {
		src.ExternalCall(clerkService, "sessions.verify", call)
		src.Emit(stream.AuthRequest{Operation: "verify", Outcome: emit.AuthOutcome(call), Duration: stream.Seconds(call.Duration)})
		src.CallError(call, "api")
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
			result, _ := l.Verify(ctx, Forge(b.token))
			emits = append(emits, forgedTokenEvents(result))
		}
	}
	return func(em *emit.Emitter) {
		src := em.PlatformSource("api")
		for _, emits := range emits {
			emits(src)
		}
	}
}

// presentToken presents a browser's token. The token is refreshed when it is old or was refused.
func (l *serviceCaller) presentToken(ctx context.Context, b *browser) []func(emit.Source) {
	var emits []func(emit.Source)
	if b.token == "" || time.Since(b.since) > l.Accelerated(tokenMaxAge) {
		token, call := l.Refresh(ctx)
		if call.OK() {
			b.token, b.since = token, time.Now()
		}
		emits = append(emits, func(src emit.Source) {
			src.ExternalCall(clerkService, "sessions.tokens", call)
			src.Emit(stream.AuthRequest{Operation: "refresh", Outcome: emit.AuthOutcome(call), Duration: stream.Seconds(call.Duration)})
		})
	}
	if b.token == "" {
		return emits
	}
	result, _ := l.Verify(ctx, b.token)
	if result == "" { // not verified
		return emits
	}
	if result != Valid {
		b.since = time.Time{}
	}
	return append(emits, func(src emit.Source) { src.Emit(stream.AuthToken{Result: result}) })
}

// forgedTokenEvents returns the events of a forged token. An accepted one is a security violation.
func forgedTokenEvents(result string) func(emit.Source) {
	return func(src emit.Source) {
		if result == "" {
			return
		}
		src.Emit(stream.AuthToken{Result: result})
		if result == Valid {
			src.Emit(stream.SecurityViolation{Kind: "forged_token"})
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
		who := emit.Tenant{ID: c.ID, Slug: c.Slug}
		o.inflight.Emit(func(em *emit.Emitter) {
			src := em.SourceFor(who, "api")
			src.Emit(stream.AuthRequest{Operation: operation, Outcome: emit.AuthOutcome(call), Duration: src.Jitter(call.Duration)})
			src.UserError("integration", emit.ErrorKind(call), "api", feature)
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
	who := emit.Tenant{ID: c.ID, Slug: c.Slug}
	o.inflight.Emit(func(em *emit.Emitter) {
		src := em.SourceFor(who, "api").WithTrace()
		src.FailedCheckout(call.Outcome, src.Jitter(call.Duration))
	})
}
