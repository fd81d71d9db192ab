// Package certificates is a certificate authority for the servers of the demo and of tests. Its keys stay in memory, and only those trust it
// who were given its certificate.
package certificates

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"time"
)

// Authority issues certificates.
type Authority struct {
	root *x509.Certificate
	key  *ecdsa.PrivateKey
}

// New makes an authority whose own certificate is valid for a span of time.
func New(name string, from, until time.Time) (*Authority, error) {
	a := &Authority{}
	root, err := a.Issue(&x509.Certificate{
		Subject: pkix.Name{CommonName: name}, NotBefore: from, NotAfter: until,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign, BasicConstraintsValid: true, IsCA: true, MaxPathLenZero: true,
	})
	if err != nil {
		return nil, fmt.Errorf("certificate authority: %w", err)
	}
	a.root = root.Leaf
	return a, nil
}

// Issue makes a certificate from a template that says for what and how long it is valid. It has a serial number and a key of its own.
func (a *Authority) Issue(template *x509.Certificate) (*tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	if template.SerialNumber, err = rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127)); err != nil {
		return nil, err
	}
	parent := a.root
	if parent == nil { // the authority's own
		parent, a.key = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), a.key)
	if err != nil {
		return nil, err
	}
	leaf, err := x509.ParseCertificate(der)
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, err
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

// PEM returns a certificate that an authority has issued, and its key.
func PEM(of *tls.Certificate) (certificate, key []byte, err error) {
	raw, err := x509.MarshalECPrivateKey(of.PrivateKey.(*ecdsa.PrivateKey))
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: of.Leaf.Raw}), pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: raw}), err
}
