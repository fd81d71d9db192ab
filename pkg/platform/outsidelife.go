package platform

import (
	"context"
	"sync"
	"time"

	"github.com/consignwatch/consignwatch/pkg/platform/outside"
	"github.com/consignwatch/consignwatch/pkg/platform/stream"
)

// The platform's own calls to the outside services, beside life. Each is real; what happens more often follows the last one.

const (
	lookEvery      = 100 * time.Millisecond // whether a call is due
	shopsEvery     = 2 * time.Second        // each shop is asked; with many clients less often
	shopGap        = 50 * time.Millisecond  // between two shops
	clerkEvery     = time.Second
	mandrillEvery  = 2 * time.Second
	forgedTokens   = 10 * time.Second // somebody tries a token that is none
	forgedHooks    = time.Second
	rotationEvery  = 20 * time.Second // while signing-key-rotated is on
	browsers       = 8                // that hold a token
	tokenRefreshed = 45 * time.Second // its age
	tokensAtOnce   = 2                // that are shown in a second
)

// browser is somebody who has signed in, with the token that they hold.
type browser struct {
	token string
	since time.Time
}

// outsideLife is what goes on between the platform and the services.
type outsideLife struct {
	*outsiders
	there sync.WaitGroup
	due   map[string]time.Time

	// Of the goroutine that asks Clerk: there is one at a time.
	browsers [browsers]browser
	turn     int
	forged   time.Time // when the last forged token was shown
}

// live makes calls until the context ends.
func (o *outsiders) live(ctx context.Context) {
	l := &outsideLife{outsiders: o, due: map[string]time.Time{}}
	defer l.there.Wait()
	ticker := time.NewTicker(o.p.hastened(lookEvery))
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		if !o.p.paused.Load() {
			l.look(ctx)
		}
	}
}

// every tells whether something is due that happens so often.
func (l *outsideLife) every(what string, often time.Duration) bool {
	now := time.Now()
	if now.Before(l.due[what]) {
		return false
	}
	l.due[what] = now.Add(l.p.hastened(often))
	return true
}

func (l *outsideLife) look(ctx context.Context) {
	shops := l.shopsNow()
	round := max(shopsEvery, time.Duration(len(shops))*shopGap)
	for client, domain := range shops {
		if l.every(shopService(client), round) {
			l.call(ctx, shopService(client), func(ctx context.Context) func(*teller) { return l.askShop(ctx, client, domain) })
		}
		if l.p.faults.isOn(WebhookForged, client) && l.every("forged hook "+domain, forgedHooks) {
			l.report(l.Shopify.Forge(domain, outside.OrdersTopic))
		}
	}
	if l.every(mandrillService, mandrillEvery) {
		l.call(ctx, mandrillService, l.askMandrill)
	}
	if l.every(clerkService, clerkEvery) {
		l.call(ctx, clerkService, l.askClerk)
	}
	if l.p.faults.isOn(SigningKeyRotated, 0) && l.every("rotation", rotationEvery) {
		l.call(ctx, "rotation", func(context.Context) func(*teller) { l.Clerk.RotateKey(false); return nil })
	}
}

// call makes a call, unless one to the same service is on its way.
func (l *outsideLife) call(ctx context.Context, what string, do func(context.Context) func(*teller)) {
	l.mu.Lock()
	busy := l.asked[what]
	l.asked[what] = true
	l.mu.Unlock()
	if busy {
		return
	}
	f := l.p.takeOff()
	done := func(tell func(*teller)) {
		if f.late || ctx.Err() != nil { // nobody asked, or it is us who end
			tell = nil
		}
		f.land(tell)
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.asked, what)
	}
	if f.late {
		done(nil)
		return
	}
	l.there.Go(func() { done(do(ctx)) })
}

func (l *outsideLife) askShop(ctx context.Context, client uint64, domain string) func(*teller) {
	call := l.AskShop(ctx, domain, fakeToken(client))
	if ctx.Err() != nil {
		return nil
	}
	l.note(shopService(client), call)
	return func(t *teller) {
		v := t.by(tenant{client, l.Slug(domain)}, "sync-worker")
		v.called("shopify", "shop", call)
		v.missed(call, "sync-worker")
	}
}

// called tells of a call that was made.
func (v voice) called(service, operation string, c outside.Call) {
	v.say(stream.ExternalCall{Service: service, Operation: operation, Outcome: c.Outcome, Duration: stream.Seconds(c.Duration)})
}

// missed tells of the error that a call was.
func (v voice) missed(c outside.Call, component string) {
	if !c.Well() {
		v.say(stream.ErrorRaised{Category: "integration", Kind: kindOf(c), Component: component})
	}
}

func (l *outsideLife) askMandrill(ctx context.Context) func(*teller) {
	call := l.PingMandrill(ctx)
	if ctx.Err() != nil {
		return nil
	}
	l.note(mandrillService, call)
	return func(t *teller) {
		v := t.platform("worker")
		v.called(mandrillService, "users.ping2", call)
		v.missed(call, "worker")
	}
}

// askClerk looks at a session, and lets some browsers show their tokens.
func (l *outsideLife) askClerk(ctx context.Context) func(*teller) {
	call := l.AskClerk(ctx)
	if ctx.Err() != nil {
		return nil
	}
	l.note(clerkService, call)
	tell := []func(voice){func(v voice) {
		v.called(clerkService, "sessions.verify", call)
		v.say(stream.AuthRequest{Operation: "verify", Outcome: authOutcome(call), Duration: stream.Seconds(call.Duration)})
		v.missed(call, "api")
	}}
	for range tokensAtOnce {
		l.turn = (l.turn + 1) % browsers
		tell = append(tell, l.show(ctx, &l.browsers[l.turn])...)
	}
	if b := l.browsers[l.turn]; b.token != "" {
		often := forgedTokens
		if l.p.faults.isOn(ClerkAcceptsForged, 0) {
			often = 0 // each time
		}
		if time.Since(l.forged) >= l.p.hastened(often) {
			l.forged = time.Now()
			result, _ := l.Verify(ctx, outside.Forge(b.token))
			tell = append(tell, forged(result))
		}
	}
	return func(t *teller) {
		v := t.platform("api")
		for _, tell := range tell {
			tell(v)
		}
	}
}

// show lets a browser show its token, and refresh it when it is old or was refused.
func (l *outsideLife) show(ctx context.Context, b *browser) []func(voice) {
	var tell []func(voice)
	if b.token == "" || time.Since(b.since) > l.p.hastened(tokenRefreshed) {
		token, call := l.Refresh(ctx)
		if call.Well() {
			b.token, b.since = token, time.Now()
		}
		tell = append(tell, func(v voice) {
			v.called(clerkService, "sessions.tokens", call)
			v.say(stream.AuthRequest{Operation: "refresh", Outcome: authOutcome(call), Duration: stream.Seconds(call.Duration)})
		})
	}
	if b.token == "" {
		return tell
	}
	result, _ := l.Verify(ctx, b.token)
	if result == "" { // no verdict
		return tell
	}
	if result != outside.Valid {
		b.since = time.Time{}
	}
	return append(tell, func(v voice) { v.say(stream.AuthToken{Result: result}) })
}

// forged tells what became of a token that is none. That it was accepted shows in the audit.
func forged(result string) func(voice) {
	return func(v voice) {
		if result == "" {
			return
		}
		v.say(stream.AuthToken{Result: result})
		if result == outside.Valid {
			v.say(stream.SecurityViolation{Kind: "forged_token"})
		}
	}
}

// authOutcome is a call's outcome, where throttling is an error like others.
func authOutcome(c outside.Call) string {
	if c.Outcome == outside.Throttled {
		return outside.Error
	}
	return c.Outcome
}

// What follows from the last call.

// refusedByClerk tells whether nobody can sign in or up now, and tells so.
func (p *Platform) refusedByClerk(client uint64, operation, feature string) bool {
	if p.outside == nil {
		return false
	}
	call := p.outside.of(clerkService)
	if call.Well() {
		return false
	}
	c := p.books.Clients.Get(client)
	if c == nil {
		return true
	}
	who := tenant{c.ID, c.Slug}
	p.takeOff().land(func(t *teller) {
		v := t.by(who, "api")
		v.say(stream.AuthRequest{Operation: operation, Outcome: authOutcome(call), Duration: v.about(call.Duration)})
		v.fail("integration", kindOf(call), "api", feature)
	})
	return true
}

func kindOf(c outside.Call) string {
	if c.Outcome == outside.Timeout {
		return "timeout"
	}
	return "api"
}

// lastOfShop returns what came of the last call to a client's shop.
func (p *Platform) lastOfShop(client uint64) outside.Call {
	if p.outside == nil {
		return outside.Call{}
	}
	return p.outside.of(shopService(client))
}

// shopDown tells whether nobody can buy in a client's shop now.
func (p *Platform) shopDown(client uint64) bool { return p.lastOfShop(client).Down }

// failCheckout is somebody who cannot buy because the shop is down.
func (p *Platform) failCheckout(client uint64) {
	c := p.books.Clients.Get(client)
	if c == nil || !p.shopDown(client) {
		return
	}
	call := p.lastOfShop(client)
	who := tenant{c.ID, c.Slug}
	p.takeOff().land(func(t *teller) {
		v := t.by(who, "api").traced()
		v.failedCheckout(call.Outcome, v.about(call.Duration))
	})
}

// like tells of a call that went as the last real one to the service.
func (v voice) like(service, operation string, last outside.Call) {
	if last.Outcome == "" { // nobody has made one yet
		v.call(service, operation, outside.OK)
		return
	}
	v.say(stream.ExternalCall{Service: service, Operation: operation, Outcome: last.Outcome, Duration: v.about(last.Duration)})
}
