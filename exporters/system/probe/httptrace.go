package probe

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"maps"
	"net/http/httptrace"
	"sync"
	"time"
)

// httpTrace measures the phases of one probe. With redirects, each phase is the sum over all requests. Its trace is called
// from several goroutines: two addresses of a name may be tried at a time.
type httpTrace struct {
	mu        sync.Mutex
	durations map[string]time.Duration
	started   time.Time
	dns       time.Time // start of the phase in progress; the zero time when there is none
	connect   time.Time
	tls       time.Time
	connected time.Time // when the connection was established
	firstByte time.Time // when the first byte came

	seen     bool // whether there is a certificate
	verified [][]*x509.Certificate
	served   []*x509.Certificate
}

func (t *httpTrace) start() {
	t.started, t.durations = time.Now(), map[string]time.Duration{}
}

// stop ends the last phase. It is called when all has been read.
func (t *httpTrace) stop() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.durations["total"] = time.Since(t.started)
	t.end("transfer", &t.firstByte)
}

// end adds the duration of a phase that has started. The caller holds the lock.
func (t *httpTrace) end(phase string, began *time.Time) {
	if !began.IsZero() {
		t.durations[phase] += time.Since(*began)
		*began = time.Time{}
	}
}

// phases are the phases that took place, and the total.
func (t *httpTrace) phases() map[string]time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	return maps.Clone(t.durations)
}

// inHandshake reports whether the TLS handshake has started and did not succeed.
func (t *httpTrace) inHandshake() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return !t.tls.IsZero()
}

// expiry is when the certificate of the probed host itself expires.
func (t *httpTrace) expiry() (time.Time, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return expiryOf(t.verified, t.served)
}

func (t *httpTrace) trace() *httptrace.ClientTrace {
	locked := func(f func()) {
		t.mu.Lock()
		defer t.mu.Unlock()
		f()
	}
	return &httptrace.ClientTrace{
		DNSStart: func(httptrace.DNSStartInfo) { locked(func() { t.dns = time.Now() }) },
		DNSDone:  func(httptrace.DNSDoneInfo) { locked(func() { t.end("dns", &t.dns) }) },
		ConnectStart: func(string, string) {
			locked(func() {
				if t.connect.IsZero() { // of several addresses the first
					t.connect = time.Now()
				}
			})
		},
		ConnectDone: func(_, _ string, err error) {
			if err == nil {
				locked(func() { t.end("connect", &t.connect) })
			}
		},
		TLSHandshakeStart: func() { locked(func() { t.tls = time.Now() }) },
		TLSHandshakeDone: func(state tls.ConnectionState, err error) {
			locked(func() {
				t.keepCertificates(state, err)
				if err == nil {
					t.end("tls", &t.tls)
				}
			})
		},
		GotConn:              func(httptrace.GotConnInfo) { locked(func() { t.connected = time.Now() }) },
		GotFirstResponseByte: func() { locked(func() { t.firstByte = time.Now(); t.end("first_byte", &t.connected) }) },
	}
}

// keepCertificates keeps the certificates of the first handshake, also rejected ones. The caller holds the lock.
func (t *httpTrace) keepCertificates(state tls.ConnectionState, err error) {
	if t.seen {
		return
	}
	t.verified, t.served = state.VerifiedChains, state.PeerCertificates
	var invalid *tls.CertificateVerificationError
	if errors.As(err, &invalid) {
		t.served = invalid.UnverifiedCertificates
	}
	t.seen = len(t.served) > 0
}
