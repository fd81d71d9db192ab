// Package authority issues the certificates of a server on one machine: it is a certificate authority with a leaf that is renewed
// automatically. Keys stay in memory. The authority's certificate is written to a file for those who are to trust the server.
package authority

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"
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
	now   func() time.Time
	names []string

	root    *x509.Certificate
	rootKey *ecdsa.PrivateKey

	mu       sync.Mutex
	leaf     *tls.Certificate
	keepLeaf bool // the leaf is not renewed
}

// New makes an authority for a server with the given names or addresses.
func New(now func() time.Time, names ...string) (*Authority, error) {
	a := &Authority{now: now, names: names}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("certificate authority: %w", err)
	}
	root := &x509.Certificate{
		Subject:   pkix.Name{CommonName: "Simulated platform " + rand.Text()[:8]},
		NotBefore: now().Add(-backdated), NotAfter: now().Add(rootLifetime),
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign, BasicConstraintsValid: true, IsCA: true, MaxPathLenZero: true,
	}
	if a.root, err = sign(root, root, key, key); err != nil {
		return nil, fmt.Errorf("certificate authority: %w", err)
	}
	a.rootKey = key
	return a, a.issue(Lifetime)
}

// sign makes a certificate for a key.
func sign(template, parent *x509.Certificate, key, signer *ecdsa.PrivateKey) (*x509.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, err
	}
	template.SerialNumber = serial
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

// issue replaces the leaf. The caller holds mu, or nobody else knows the authority.
func (a *Authority) issue(lifetime time.Duration) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fmt.Errorf("certificate: %w", err)
	}
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
	leaf, err := sign(template, a.root, key, a.rootKey)
	if err != nil {
		return fmt.Errorf("certificate: %w", err)
	}
	a.leaf = &tls.Certificate{Certificate: [][]byte{leaf.Raw}, PrivateKey: key, Leaf: leaf}
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

// Client returns the TLS configuration of a client that trusts this authority alone.
func (a *Authority) Client() *tls.Config {
	pool := x509.NewCertPool()
	pool.AddCert(a.root)
	return &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: pool}
}

// PEM returns the authority's certificate.
func (a *Authority) PEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.root.Raw})
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
