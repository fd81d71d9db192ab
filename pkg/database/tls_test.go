package database

import (
	"net"
	"testing"

	commonconfig "github.com/prometheus/common/config"

	"github.com/consignwatch/consignwatch/pkg/demo/servers/serverstest"
	"github.com/consignwatch/consignwatch/pkg/exporter"
	"github.com/consignwatch/consignwatch/pkg/secret"
)

// TestTheBlockTLSVerifiesTheServer connects to a server whose certificate names its address, and to one whose certificate has
// a common name only, as those that MySQL makes for itself.
func TestTheBlockTLSVerifiesTheServer(t *testing.T) {
	t.Parallel()
	authority, ca := serverstest.NewAuthority(t)
	_, other := serverstest.NewAuthority(t)
	named := serverstest.CertifiedMariaDB(t, authority, net.IPv4(127, 0, 0, 1)).DSN("")
	unnamed := serverstest.CertifiedMariaDB(t, authority).DSN("")
	for name, c := range map[string]struct {
		dsn   string
		block commonconfig.TLSConfig
		ok    bool
	}{
		"verified":                     {named, commonconfig.TLSConfig{CAFile: ca}, true},
		"another authority":            {named, commonconfig.TLSConfig{CAFile: other}, false},
		"another name":                 {named, commonconfig.TLSConfig{CAFile: ca, ServerName: "db.internal"}, false},
		"a certificate without a name": {unnamed, commonconfig.TLSConfig{CAFile: ca}, false},
		"its common name":              {unnamed, commonconfig.TLSConfig{CAFile: ca, ServerName: "127.0.0.1"}, false},
		"encrypted, not verified":      {unnamed, commonconfig.TLSConfig{InsecureSkipVerify: true}, true},
	} {
		t.Run(name, func(t *testing.T) {
			config, err := TLSConfig(&c.block)
			if err != nil {
				t.Fatal(err)
			}
			pool, err := Open(secret.New(c.dsn), Options{MaxConnections: 1, TLS: config})
			if err != nil {
				t.Fatal(err)
			}
			defer pool.Close()
			var variable, cipher string
			err = pool.QueryRowContext(t.Context(), "SHOW STATUS LIKE 'Ssl_cipher'").Scan(&variable, &cipher)
			if c.ok && (err != nil || cipher == "") {
				t.Errorf("error %v, cipher %q", err, cipher)
			}
			if !c.ok && (err == nil || exporter.ReasonOf(Classify(err)) != exporter.ReasonConnection) {
				t.Errorf("error %v, want that the certificate is refused, with the reason connection", err)
			}
		})
	}
}
