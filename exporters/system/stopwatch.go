package system

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"maps"
	"net/http/httptrace"
	"sync"
	"time"
)

// stopwatch measures the phases of one probe. With redirects, each phase is the sum over all requests. Its trace is called
// from several goroutines: two addresses of a name may be tried at a time.
type stopwatch struct {
	mu       sync.Mutex
	spent    map[string]time.Duration
	began    time.Time
	dns      time.Time // when the phase in progress began; the zero time when none is
	connect  time.Time
	tls      time.Time
	ready    time.Time // when the connection was there
	answered time.Time // when the first byte came

	seen     bool // a certificate
	verified [][]*x509.Certificate
	served   []*x509.Certificate
}

func (w *stopwatch) start() {
	w.began, w.spent = time.Now(), map[string]time.Duration{}
}

// stop ends the last phase. It is called when all has been read.
func (w *stopwatch) stop() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.spent["total"] = time.Since(w.began)
	w.end("transfer", &w.answered)
}

// end adds a phase that has begun. The caller holds the lock.
func (w *stopwatch) end(phase string, began *time.Time) {
	if !began.IsZero() {
		w.spent[phase] += time.Since(*began)
		*began = time.Time{}
	}
}

// phases are the phases that took place, and the total.
func (w *stopwatch) phases() map[string]time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	return maps.Clone(w.spent)
}

// shakingHands reports whether the handshake of TLS has begun and did not end well.
func (w *stopwatch) shakingHands() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return !w.tls.IsZero()
}

// expiry is when the certificate expires that the probed host itself has shown.
func (w *stopwatch) expiry() (time.Time, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return expiryOf(w.verified, w.served)
}

func (w *stopwatch) trace() *httptrace.ClientTrace {
	locked := func(f func()) {
		w.mu.Lock()
		defer w.mu.Unlock()
		f()
	}
	return &httptrace.ClientTrace{
		DNSStart: func(httptrace.DNSStartInfo) { locked(func() { w.dns = time.Now() }) },
		DNSDone:  func(httptrace.DNSDoneInfo) { locked(func() { w.end("dns", &w.dns) }) },
		ConnectStart: func(string, string) {
			locked(func() {
				if w.connect.IsZero() { // of several addresses the first
					w.connect = time.Now()
				}
			})
		},
		ConnectDone: func(_, _ string, err error) {
			if err == nil {
				locked(func() { w.end("connect", &w.connect) })
			}
		},
		TLSHandshakeStart: func() { locked(func() { w.tls = time.Now() }) },
		TLSHandshakeDone: func(state tls.ConnectionState, err error) {
			locked(func() {
				w.keep(state, err)
				if err == nil {
					w.end("tls", &w.tls)
				}
			})
		},
		GotConn:              func(httptrace.GotConnInfo) { locked(func() { w.ready = time.Now() }) },
		GotFirstResponseByte: func() { locked(func() { w.answered = time.Now(); w.end("first_byte", &w.ready) }) },
	}
}

// keep remembers the certificates of the first handshake, also those that were refused. The caller holds the lock.
func (w *stopwatch) keep(state tls.ConnectionState, err error) {
	if w.seen {
		return
	}
	w.verified, w.served = state.VerifiedChains, state.PeerCertificates
	var refused *tls.CertificateVerificationError
	if errors.As(err, &refused) {
		w.served = refused.UnverifiedCertificates
	}
	w.seen = len(w.served) > 0
}
