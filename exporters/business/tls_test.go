package business

import (
	"fmt"
	"net"
	"strings"
	"testing"

	"github.com/consignwatch/consignwatch/pkg/demo/servers/serverstest"
	"github.com/consignwatch/consignwatch/pkg/exporter/exportertest"
)

// TestTheDatabaseIsVerifiedByTheAuthorityOfTheConfiguration reads a server whose certificate is signed by an authority of its own.
func TestTheDatabaseIsVerifiedByTheAuthorityOfTheConfiguration(t *testing.T) {
	t.Parallel()
	authority, ours := serverstest.NewAuthority(t)
	_, other := serverstest.NewAuthority(t)
	server := serverstest.CertifiedMariaDB(t, authority, net.IPv4(127, 0, 0, 1))
	admin := serverstest.Open(t, server.DSN(""))
	if _, err := admin.ExecContext(t.Context(), "CREATE DATABASE shelves"); err != nil {
		t.Fatal(err)
	}
	dsn := server.DSN("shelves")
	fillShelves(t, serverstest.Open(t, dsn))
	block := func(ca string) string { return "tls: {ca_file: " + ca + "}" }
	for ca, want := range map[string]string{ours: "One round reads", other: "certificate signed by unknown authority"} {
		var out strings.Builder
		err := explain(t.Context(), &out, exportertest.WriteFile(t, "dsn", dsn), ca, exportertest.WriteFile(t, "pack.yml", fastPack))
		if text := out.String() + fmt.Sprint(err); !strings.Contains(text, want) {
			t.Errorf("queries --explain with --ca-file prints %q, want %q in it", text, want)
		}
	}
	startWith(t, dsn, fastPack, block(ours)).Await(t, "the server is verified", up)
	startWith(t, dsn, fastPack, block(other)).Await(t, "another authority's certificate is refused", func(s map[string]float64) bool {
		return s[`consignwatch_collector_failures_total{collector="tills",reason="connection"}`] > 0
	})
}
