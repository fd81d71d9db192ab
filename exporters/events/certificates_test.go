package events_test

import (
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"net"
	"testing"
	"time"

	"github.com/consignwatch/consignwatch/pkg/demo/servers/certificates"
)

// authority issues certificates that only those trust who know it.
type authority struct {
	*certificates.Authority
	pem string
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a, err := certificates.New("test authority", time.Now().Add(-time.Hour), time.Now().Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	return &authority{a, string(a.PEM())}
}

// certificate makes a certificate for 127.0.0.1.
func (a *authority) certificate(t *testing.T, name string) *tls.Certificate {
	t.Helper()
	certificate, err := a.Issue(&x509.Certificate{
		Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	})
	if err != nil {
		t.Fatal(err)
	}
	return certificate
}

// issue makes a certificate for 127.0.0.1 and its key, both as PEM.
func (a *authority) issue(t *testing.T, name string) (certificate, key string) {
	t.Helper()
	c, k, err := certificates.PEM(a.certificate(t, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(c), string(k)
}

// server is the configuration of a server with a certificate of its own.
func (a *authority) server(t *testing.T) *tls.Config {
	t.Helper()
	return &tls.Config{Certificates: []tls.Certificate{*a.certificate(t, "broker")}, MinVersion: tls.VersionTLS12}
}
