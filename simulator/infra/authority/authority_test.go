package authority

import (
	"crypto/tls"
	"crypto/x509"
	"net"
	"os"
	"sync/atomic"
	"testing"
	"time"
)

// clock is a time that tests move.
type clock struct{ ahead atomic.Int64 }

func (c *clock) now() time.Time { return time.Now().Add(time.Duration(c.ahead.Load())) }

// handshake makes a TLS handshake and returns the certificate that the server showed.
func handshake(t *testing.T, a *Authority, client *tls.Config) (*x509.Certificate, error) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	go func() {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		_ = tls.Server(conn, a.Server()).Handshake() // the client says what was wrong
	}()
	conn, err := tls.Dial("tcp", listener.Addr().String(), client)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	return conn.ConnectionState().PeerCertificates[0], nil
}

func TestClientsWithTheFileTrustTheServer(t *testing.T) {
	t.Parallel()
	a, err := New(time.Now, "127.0.0.1", "localhost")
	if err != nil {
		t.Fatal(err)
	}
	path, err := a.Write(t.TempDir() + "/new/folder")
	if err != nil {
		t.Fatal(err)
	}
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(file) {
		t.Fatalf("no certificate in %s", file)
	}
	for _, name := range []string{"127.0.0.1", "localhost"} {
		if _, err := handshake(t, a, &tls.Config{RootCAs: pool, ServerName: name}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := handshake(t, a, &tls.Config{RootCAs: pool, ServerName: "elsewhere.example"}); err == nil {
		t.Error("trusted under a name that it does not have")
	}
	stranger, err := New(time.Now, "127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := handshake(t, stranger, a.Client()); err == nil {
		t.Error("another authority's server is trusted")
	}
}

func TestACertificateIsRenewedUnlessItIsMeantToExpire(t *testing.T) {
	t.Parallel()
	var c clock
	a, err := New(c.now, "127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	left := func() time.Duration {
		t.Helper()
		leaf, err := handshake(t, a, a.Client())
		if err != nil {
			t.Fatal(err)
		}
		return leaf.NotAfter.Sub(c.now()).Round(time.Hour)
	}
	if got := left(); got != Lifetime {
		t.Errorf("%s left at the beginning", got)
	}
	c.ahead.Store(int64(Lifetime - renewBefore - time.Hour))
	if got := left(); got != renewBefore+time.Hour {
		t.Errorf("%s left: renewed too soon", got)
	}
	c.ahead.Store(int64(Lifetime - renewBefore + time.Hour))
	// The new one begins later than this machine's time: look at it without a handshake.
	renewed, err := a.Certificate()
	if err != nil || renewed.Leaf.NotAfter.Sub(c.now()).Round(time.Hour) != Lifetime {
		t.Errorf("not renewed: ends %s, %v", renewed.Leaf.NotAfter, err)
	}
	c.ahead.Store(0)
	for range 2 { // twice is as once
		if err := a.Expire(5 * 24 * time.Hour); err != nil {
			t.Fatal(err)
		}
		if got := left(); got != 5*24*time.Hour {
			t.Errorf("%s left", got)
		}
	}
	if err := a.Renew(); err != nil {
		t.Fatal(err)
	}
	if got := left(); got != Lifetime {
		t.Errorf("%s left after the renewal", got)
	}
}
