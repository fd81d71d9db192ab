package business

import (
	"testing"

	"github.com/consignwatch/consignwatch/pkg/exporter/exportertest"
)

// FuzzNoSecretShowsAnywhere plants a secret as the password of the database, lets the server repeat it, and reads all that the
// exporter prints and serves.
func FuzzNoSecretShowsAnywhere(f *testing.F) {
	for i, secret := range exportertest.Secrets() {
		f.Add(secret, i%2 == 0)
	}
	f.Fuzz(func(t *testing.T, text string, accept bool) {
		planted := exportertest.Planted(t, text)
		dsn := exportertest.WriteFile(t, "dsn", "reader:"+planted+"@tcp("+exportertest.EchoMySQL(t, accept)+")/platform?allowCleartextPasswords=true")
		config := exportertest.WriteFile(t, "config.yml", "mysql: {dsn_file: "+dsn+"}\n")
		exportertest.NoSecretShows(t, nil, App(), config, dsn, planted, false, []string{"queries", "--explain", dsn})
	})
}
