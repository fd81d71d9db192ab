package business

import (
	"net"
	"testing"
	"time"

	"github.com/consignwatch/consignwatch/pkg/demo/servers/certificates"
	"github.com/consignwatch/consignwatch/pkg/demo/servers/serverstest"
	"github.com/consignwatch/consignwatch/pkg/exporter/exportertest"
)

// TestTheDatabaseIsVerifiedByTheAuthorityOfTheConfiguration reads a server whose certificate is signed by an authority of its own.
func TestTheDatabaseIsVerifiedByTheAuthorityOfTheConfiguration(t *testing.T) {
	t.Parallel()
	newAuthority := func() *certificates.Authority {
		t.Helper()
		a, err := certificates.New("test", time.Now().Add(-time.Hour), time.Now().Add(time.Hour))
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	authority := newAuthority()
	server := serverstest.CertifiedMariaDB(t, authority, net.IPv4(127, 0, 0, 1))
	admin := serverstest.Open(t, server.DSN(""))
	if _, err := admin.ExecContext(t.Context(), "CREATE DATABASE shelves"); err != nil {
		t.Fatal(err)
	}
	dsn := server.DSN("shelves")
	fillShelves(t, serverstest.Open(t, dsn))
	block := func(a *certificates.Authority) string {
		return "tls: {ca_file: " + exportertest.WriteFile(t, "ca.pem", string(a.PEM())) + "}"
	}
	startWith(t, dsn, fastPack, block(authority)).Await(t, "the server is verified", up)
	startWith(t, dsn, fastPack, block(newAuthority())).Await(t, "another authority's certificate is refused", func(s map[string]float64) bool {
		return s[`consignwatch_collector_failures_total{collector="tills",reason="connection"}`] > 0
	})
}
