package integration

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/consignwatch/consignwatch/pkg/catalog"
	"github.com/consignwatch/consignwatch/pkg/exporter"
)

// tokenCheck is the target that has session tokens verified as the platform would: a fresh one must be accepted, and what is made
// of it must be refused. A verdict counts only when it is one: silence, an error of a server and a verifier that refuses all tokens
// say nothing about forged ones.
type tokenCheck struct {
	api      *clerkAPI
	keys     *clerkKeys
	verifier verifier
	session  string
	parties  []string
	margin   time.Duration
	log      *slog.Logger
	now      func() time.Time
	tally    *exporter.Tally

	// A token of a wrong party comes from foreign, a session of another application. Without it, ours is shown to stranger, a
	// verifier that is told another party. Without either, and when our token names no party, the check has no verdict.
	foreign  string
	stranger verifier

	// What lives from one round to the next.
	forger *rsa.PrivateKey
	kept   []*sessionToken // accepted while they were fresh, oldest first
	last   verdicts
}

// verdicts are those of checks. What is not known is not there.
type verdicts map[string]verdict

// verdict says whether a check came out as it must, and if not, what happened.
type verdict struct {
	right bool
	what  string
}

// The checks, as catalog.TokenChecks declares them.
const (
	checkValid      = "valid_accepted"
	checkExpired    = "expired_rejected"
	checkTampered   = "tampered_rejected"
	checkUnknownKey = "unknown_key_rejected"
	checkWrongParty = "wrong_party_rejected"
)

const (
	// tokenLife is what we ask for. It is Clerk's own default.
	tokenLife = time.Minute
	// maxTokenTimeout keeps a round well within the life of its token.
	maxTokenTimeout = 30 * time.Second
	// tokenReserve is how much of its life a token must still have when it is refused, so that expiry was not the reason.
	tokenReserve = 5 * time.Second
	// maxKept bounds how many tokens wait for their end.
	maxKept = 100
	// forgerBits are those of Clerk's keys.
	forgerBits = 2048
)

func newTokenCheck(c *clerkConfig, api *clerkAPI, keys *clerkKeys, metrics *catalog.Catalog, log *slog.Logger) *tokenCheck {
	t := &tokenCheck{
		api: api, keys: keys, session: c.ProbeSession, parties: c.AuthorizedParties, margin: time.Duration(c.ExpiryMargin),
		foreign: c.ForeignSession, log: log, now: time.Now, tally: exporter.NewTally(metrics),
	}
	now := func() time.Time { return t.now() }
	if c.VerifyURL != "" {
		t.verifier = &endpointVerifier{url: c.VerifyURL, refused: c.RefusedStatus, http: api.limited.http}
	} else {
		t.verifier = &libraryVerifier{issuer: c.Issuer, parties: c.AuthorizedParties, now: now}
		t.stranger = &libraryVerifier{issuer: c.Issuer, parties: []string{"https://nobody.invalid"}, now: now}
	}
	api.limited.begin(t.tally, "create_token")
	t.tally.Begin("consign_clerk_token_check_duration_seconds")
	return t
}

// Name is the name of the target.
func (t *tokenCheck) Name() string { return "token" }

// Collect does one round of checks.
func (t *tokenCheck) Collect(ctx context.Context, sink *exporter.Sink) error {
	found := verdicts{}
	err := t.round(ctx, found)
	if errors.Is(ctx.Err(), context.Canceled) {
		return ctx.Err() // the exporter stops
	}
	t.tally.Tell(sink.Always())
	for check, v := range found {
		sink.Always().Gauge("consign_clerk_token_check", truth(v.right), check)
	}
	t.report(found)
	return err
}

// round fills in what can be found out. The error says what could not.
func (t *tokenCheck) round(ctx context.Context, found verdicts) error {
	if t.forger == nil {
		var err error
		if t.forger, err = rsa.GenerateKey(rand.Reader, forgerBits); err != nil {
			return fmt.Errorf("token check: make a key of our own: %w", err)
		}
	}
	token, err := t.api.createToken(ctx, t.tally, t.session, tokenLife)
	if err != nil {
		return err
	}
	keys, keysErr := t.keys.fetch(ctx)
	begin := t.now()
	accepted, err := t.verifier.verify(ctx, token, keys)
	if err != nil {
		return errors.Join(keysErr, err)
	}
	if accepted {
		t.tally.Observe("consign_clerk_token_check_duration_seconds", t.now().Sub(begin).Seconds())
	}
	found[checkValid] = verdict{accepted, "a fresh token was rejected"}
	r := tokenRound{t, keys, accepted, found}
	errs := []error{
		keysErr,
		r.tampered(ctx, token),
		r.unknownKey(ctx, token),
		r.expired(ctx),
		r.wrongParty(ctx, token),
	}
	if accepted {
		t.keep(token)
	}
	return errors.Join(errs...)
}

// keep keeps a token until it has expired, and for the time after that until a newer one has.
func (t *tokenCheck) keep(token *sessionToken) {
	if len(t.kept) < maxKept { // otherwise it is not missed: others are about to end
		t.kept = append(t.kept, token)
	}
	over := 0
	for i, k := range t.kept {
		if t.isOver(k) {
			over = i
		}
	}
	t.kept = slices.Delete(t.kept, 0, over)
}

// isOver reports whether a token must be refused: its life is over, and so is what a verifier may allow for clocks that differ.
func (t *tokenCheck) isOver(token *sessionToken) bool {
	return !t.now().Before(token.ends.Add(t.margin))
}

// report logs when a check begins to fail, and when it is right again.
func (t *tokenCheck) report(found verdicts) {
	if t.last == nil {
		t.last = verdicts{}
	}
	for _, check := range slices.Sorted(maps.Keys(found)) {
		v := found[check]
		before, known := t.last[check]
		switch {
		case !v.right && (before.right || !known):
			t.log.Error("token check failed", "check", check, "what", v.what)
		case v.right && known && !before.right:
			t.log.Info("token check passes again", "check", check)
		}
		t.last[check] = v
	}
}

// tokenRound is what the checks of one round have in common.
type tokenRound struct {
	*tokenCheck
	keys    keySet
	control bool // the valid token was accepted: a refusal means something
	found   verdicts
}

func (r *tokenRound) tampered(ctx context.Context, token *sessionToken) error {
	forgeries, err := tamperings(token)
	if err != nil {
		return err
	}
	return r.mustRefuse(ctx, checkTampered, token, forgeries)
}

func (r *tokenRound) unknownKey(ctx context.Context, token *sessionToken) error {
	forgeries, err := foreignKeys(token, r.forger)
	if err != nil {
		return err
	}
	return r.mustRefuse(ctx, checkUnknownKey, token, forgeries)
}

// mustRefuse shows forgeries of a token. One that is accepted decides; refused they must be all, while the token itself would not.
func (r *tokenRound) mustRefuse(ctx context.Context, check string, of *sessionToken, forgeries []forgery) error {
	var errs []error
	for _, f := range forgeries {
		forged := *of
		forged.text = f.text
		if header, err := readToken(f.text, r.now()); err == nil {
			forged.keyID = header.keyID
		}
		accepted, err := r.verifier.verify(ctx, &forged, r.keys)
		switch {
		case err != nil:
			errs = append(errs, err)
		case accepted:
			r.found[check] = verdict{what: "a forged token was accepted: " + f.what}
			return nil
		}
		if ctx.Err() != nil {
			break
		}
	}
	switch {
	case len(errs) > 0:
		return fmt.Errorf("%s: %w", check, errs[0])
	case r.control && r.now().Add(tokenReserve).Before(of.ends):
		r.found[check] = verdict{right: true}
	}
	return nil
}

// expired shows a token again that was accepted while it lived. Its key must still be in use: without it, the token would be
// refused for another reason.
func (r *tokenRound) expired(ctx context.Context) error {
	at := -1
	for i, k := range r.kept {
		if _, ok := r.keys[k.keyID]; ok && r.isOver(k) {
			at = i
		}
	}
	if at < 0 {
		return nil
	}
	accepted, err := r.verifier.verify(ctx, r.kept[at], r.keys)
	switch {
	case err != nil:
		return fmt.Errorf("%s: %w", checkExpired, err)
	case accepted || r.control:
		r.found[checkExpired] = verdict{!accepted, "an expired token was accepted"}
	}
	return nil
}

func (r *tokenRound) wrongParty(ctx context.Context, token *sessionToken) error {
	verifier := r.verifier
	switch {
	case r.foreign != "":
		var err error
		if token, err = r.api.createToken(ctx, r.tally, r.foreign, tokenLife); err != nil {
			return fmt.Errorf("%s: %w", checkWrongParty, err)
		}
		if token.party == "" || slices.Contains(r.parties, token.party) {
			return exporter.Failure(exporter.ReasonQuery, fmt.Errorf("%s: the token of foreign_session says that it is for %q, which is no foreign party: no verdict", checkWrongParty, token.party))
		}
	case r.stranger != nil && token.party != "":
		verifier = r.stranger
	default:
		return nil
	}
	accepted, err := verifier.verify(ctx, token, r.keys)
	switch {
	case err != nil:
		return fmt.Errorf("%s: %w", checkWrongParty, err)
	case accepted || r.control:
		r.found[checkWrongParty] = verdict{!accepted, "a token of a party that is not authorized was accepted"}
	}
	return nil
}
