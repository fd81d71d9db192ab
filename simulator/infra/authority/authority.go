// Package authority issues the certificates of a server on one machine: it is a certificate authority with a leaf that is renewed
// automatically. Keys stay in memory. The authority's certificate is written to a file for those who are to trust the server.
package authority

import (
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/consignwatch/consignwatch/pkg/demo/servers/certificates"
)

const (
	rootLifetime = 10 * 365 * 24 * time.Hour
	// Lifetime is how long a leaf is valid.
	Lifetime = 90 * 24 * time.Hour
	// renewBefore is how long before its expiry a leaf is renewed.
	renewBefore = 30 * 24 * time.Hour
	backdated   = time.Hour // clocks differ
)

// FileName is the name of the file with the authority's certificate.
const FileName = "ca.pem"

// Authority issues the certificates of one server. Its methods can be called from any goroutine.
type Authority struct {
	*certificates.Authority
	now   func() time.Time
	names []string

	mu       sync.Mutex
	leaf     *tls.Certificate
	keepLeaf bool // the leaf is not renewed
}

// New makes an authority for a server with the given names or addresses.
func New(now func() time.Time, names ...string) (*Authority, error) {
	root, err := certificates.New("Simulated platform "+rand.Text()[:8], now().Add(-backdated), now().Add(rootLifetime))
	if err != nil {
		return nil, err
	}
	a := &Authority{Authority: root, now: now, names: names}
	return a, a.issue(Lifetime)
}

// issue replaces the leaf. The caller holds mu, or nobody else knows the authority.
func (a *Authority) issue(lifetime time.Duration) error {
	template := &x509.Certificate{
		Subject:   pkix.Name{CommonName: "Simulated platform"},
		NotBefore: a.now().Add(-backdated), NotAfter: a.now().Add(lifetime),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, BasicConstraintsValid: true,
	}
	for _, name := range a.names {
		if ip := net.ParseIP(name); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, name)
		}
	}
	leaf, err := a.Issue(template)
	if err != nil {
		return fmt.Errorf("certificate: %w", err)
	}
	a.leaf = leaf
	return nil
}

// Certificate returns the leaf, a new one if the old one expires soon.
func (a *Authority) Certificate() (*tls.Certificate, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.keepLeaf && a.leaf.Leaf.NotAfter.Before(a.now().Add(renewBefore)) {
		if err := a.issue(Lifetime); err != nil {
			return nil, err
		}
	}
	return a.leaf, nil
}

// Expire replaces the leaf by one that expires after the given time and is not renewed, until Renew.
func (a *Authority) Expire(in time.Duration) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.keepLeaf = true
	return a.issue(in)
}

// Renew replaces the leaf by a fresh one.
func (a *Authority) Renew() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.keepLeaf = false
	return a.issue(Lifetime)
}

// Server returns the TLS configuration of the server. Each handshake uses the current certificate.
func (a *Authority) Server() *tls.Config {
	return &tls.Config{
		MinVersion:     tls.VersionTLS12,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return a.Certificate() },
	}
}

// Write writes the authority's certificate into a folder that it makes, and returns the file's path.
func (a *Authority) Write(dir string) (string, error) {
	path := filepath.Join(dir, FileName)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("certificate authority: %w", err)
	}
	// Atomically: nobody reads half of it.
	if err := errors.Join(os.WriteFile(path+".new", a.PEM(), 0o644), os.Rename(path+".new", path)); err != nil {
		return "", fmt.Errorf("certificate authority: %w", err)
	}
	return path, nil
}
