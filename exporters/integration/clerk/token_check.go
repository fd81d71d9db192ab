package clerk

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

// tokenCheck is the target that verifies session tokens as the platform would: a fresh one must be accepted, and forgeries of it
// must be rejected. Without a response, with an error of a server, and with a verifier that rejects all tokens there is no
// verdict about forgeries.
type tokenCheck struct {
	api      *apiClient
	keys     *keysTarget
	verifier verifier
	session  string
	parties  []string
	margin   time.Duration
	log      *slog.Logger
	now      func() time.Time
	recorder *exporter.Recorder

	// countsPresented: the platform may count what it must reject as violations, so that it is counted here as well, and alerts can
	// compare. Then the first round presents none of them: the counter has to be seen at 0 before.
	countsPresented bool
	announced       bool

	// A token of a wrong party comes from foreignSession, a session of another application. Without one, the exporter's own token
	// is verified by foreignVerifier, which accepts another party only. Without either, and when the token names no party, the
	// check has no verdict.
	foreignSession  string
	foreignVerifier verifier

	// What lives from one round to the next.
	foreignKey *rsa.PrivateKey
	keptTokens []*sessionToken // accepted while they were fresh, oldest first
	last       verdicts
}

// verdicts are the verdicts by check. A check without a verdict is absent.
type verdicts map[string]verdict

// verdict says whether a check has passed, and if not, what happened.
type verdict struct {
	passed bool
	what   string
}

// The checks, as catalog.TokenChecks declares them.
const (
	checkValid      = "valid_accepted"
	checkExpired    = "expired_rejected"
	checkTampered   = "tampered_rejected"
	checkUnknownKey = "unknown_key_rejected"
	checkWrongParty = "wrong_party_rejected"
)

// presentedMetric counts the tokens that the platform must reject, and may count as violations.
const presentedMetric = "consign_clerk_invalid_tokens_presented_total"

const (
	// tokenLife is the requested life of a token. It is Clerk's own default.
	tokenLife = time.Minute
	// maxTokenTimeout keeps a round well within the life of its token.
	maxTokenTimeout = 30 * time.Second
	// tokenReserve is how much of its life a token must still have when it is rejected, so that expiry is not the reason.
	tokenReserve = 5 * time.Second
	// maxKeptTokens bounds how many tokens are kept until they expire.
	maxKeptTokens = 100
	// foreignKeyBits is the size of Clerk's keys.
	foreignKeyBits = 2048
)

func newTokenCheck(c *Config, api *apiClient, keys *keysTarget, metrics *catalog.Catalog, log *slog.Logger) *tokenCheck {
	t := &tokenCheck{
		api: api, keys: keys, session: c.ProbeSession, parties: c.AuthorizedParties, margin: time.Duration(c.ExpiryMargin),
		foreignSession: c.ForeignSession, log: log, now: time.Now, recorder: exporter.NewRecorder(metrics),
	}
	now := func() time.Time { return t.now() }
	if c.VerifyURL != "" {
		t.verifier = &endpointVerifier{url: c.VerifyURL, rejectedStatus: c.RefusedStatus, http: api.http}
	} else {
		t.verifier = &libraryVerifier{issuer: c.Issuer, parties: c.AuthorizedParties, now: now}
		t.foreignVerifier = &libraryVerifier{issuer: c.Issuer, parties: []string{"https://nobody.invalid"}, now: now}
	}
	if t.countsPresented = c.VerifyURL != "" && !c.VerifyExempt; t.countsPresented {
		for _, check := range catalog.TokenChecks()[1:] {
			t.recorder.Init(presentedMetric, check)
		}
	}
	api.limited.InitSeries(t.recorder, "create_token")
	t.recorder.Init("consign_clerk_token_check_duration_seconds")
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
	t.recorder.Collect(sink.Status())
	t.announced = true
	for check, v := range found {
		sink.Status().Gauge("consign_clerk_token_check", exporter.Bool(v.passed), check)
	}
	t.logChanges(found)
	return err
}

// round sets the verdicts of a round. The error says why some are missing.
func (t *tokenCheck) round(ctx context.Context, found verdicts) error {
	if t.foreignKey == nil {
		var err error
		if t.foreignKey, err = rsa.GenerateKey(rand.Reader, foreignKeyBits); err != nil {
			return fmt.Errorf("token check: make a key of our own: %w", err)
		}
	}
	token, err := t.api.createToken(ctx, t.recorder, t.session, tokenLife)
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
		t.recorder.Observe("consign_clerk_token_check_duration_seconds", t.now().Sub(begin).Seconds())
	}
	found[checkValid] = verdict{accepted, "a fresh token was rejected"}
	if t.countsPresented && !t.announced {
		if accepted {
			t.keep(token)
		}
		return keysErr
	}
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

// keep keeps a token until it has expired, and after that until a newer one has.
func (t *tokenCheck) keep(token *sessionToken) {
	if len(t.keptTokens) < maxKeptTokens { // otherwise it is not needed: others expire soon
		t.keptTokens = append(t.keptTokens, token)
	}
	expired := 0
	for i, k := range t.keptTokens {
		if t.isExpired(k) {
			expired = i
		}
	}
	t.keptTokens = slices.Delete(t.keptTokens, 0, expired)
}

// isExpired reports whether a token must be rejected: it has expired, and so has the leeway of verifiers for clocks that differ.
func (t *tokenCheck) isExpired(token *sessionToken) bool {
	return !t.now().Before(token.expires.Add(t.margin))
}

// logChanges logs when a check starts to fail, and when it passes again.
func (t *tokenCheck) logChanges(found verdicts) {
	if t.last == nil {
		t.last = verdicts{}
	}
	for _, check := range slices.Sorted(maps.Keys(found)) {
		v := found[check]
		before, known := t.last[check]
		switch {
		case !v.passed && (before.passed || !known):
			t.log.Error("token check failed", "check", check, "what", v.what)
		case v.passed && known && !before.passed:
			t.log.Info("token check passes again", "check", check)
		}
		t.last[check] = v
	}
}

// tokenRound holds what the checks of one round share.
type tokenRound struct {
	*tokenCheck
	keys          keySet
	validAccepted bool // the valid token was accepted: a rejection is a verdict
	found         verdicts
}

func (r *tokenRound) tampered(ctx context.Context, token *sessionToken) error {
	forgeries, err := tamperings(token)
	if err != nil {
		return err
	}
	return r.mustReject(ctx, checkTampered, token, forgeries)
}

func (r *tokenRound) unknownKey(ctx context.Context, token *sessionToken) error {
	forgeries, err := foreignKeys(token, r.foreignKey)
	if err != nil {
		return err
	}
	return r.mustReject(ctx, checkUnknownKey, token, forgeries)
}

// mustReject verifies forgeries of a token. The check fails if one is accepted, and passes if all are rejected while the token
// itself is valid.
func (r *tokenRound) mustReject(ctx context.Context, check string, of *sessionToken, forgeries []forgery) error {
	var errs []error
	for _, f := range forgeries {
		forged := *of
		forged.text = f.text
		if header, err := readToken(f.text, r.now()); err == nil {
			forged.keyID = header.keyID
		}
		accepted, err := r.present(ctx, r.verifier, check, &forged)
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
	case r.validAccepted && r.now().Add(tokenReserve).Before(of.expires):
		r.found[check] = verdict{passed: true}
	}
	return nil
}

// present verifies a token that must be rejected. It counts even when nothing comes back: the platform may have seen it.
func (r *tokenRound) present(ctx context.Context, v verifier, check string, token *sessionToken) (accepted bool, err error) {
	if r.countsPresented {
		r.recorder.Add(presentedMetric, 1, check)
	}
	return v.verify(ctx, token, r.keys)
}

// expired verifies an expired token that was accepted before. Its key must still be in use: without it, the token would be
// rejected for another reason.
func (r *tokenRound) expired(ctx context.Context) error {
	at := -1
	for i, k := range r.keptTokens {
		if _, ok := r.keys[k.keyID]; ok && r.isExpired(k) {
			at = i
		}
	}
	if at < 0 {
		return nil
	}
	accepted, err := r.present(ctx, r.verifier, checkExpired, r.keptTokens[at])
	switch {
	case err != nil:
		return fmt.Errorf("%s: %w", checkExpired, err)
	case accepted || r.validAccepted:
		r.found[checkExpired] = verdict{!accepted, "an expired token was accepted"}
	}
	return nil
}

func (r *tokenRound) wrongParty(ctx context.Context, token *sessionToken) error {
	verifier := r.verifier
	switch {
	case r.foreignSession != "":
		var err error
		if token, err = r.api.createToken(ctx, r.recorder, r.foreignSession, tokenLife); err != nil {
			return fmt.Errorf("%s: %w", checkWrongParty, err)
		}
		if token.party == "" || slices.Contains(r.parties, token.party) {
			return exporter.Failure(exporter.ReasonQuery, fmt.Errorf("%s: the token of foreign_session says that it is for %q, which is no foreign party: no verdict", checkWrongParty, token.party))
		}
	case r.foreignVerifier != nil && token.party != "":
		verifier = r.foreignVerifier
	default:
		return nil
	}
	accepted, err := r.present(ctx, verifier, checkWrongParty, token)
	switch {
	case err != nil:
		return fmt.Errorf("%s: %w", checkWrongParty, err)
	case accepted || r.validAccepted:
		r.found[checkWrongParty] = verdict{!accepted, "a token of a party that is not authorized was accepted"}
	}
	return nil
}
