package database

import (
	"strings"
	"testing"

	"github.com/consignwatch/consignwatch/pkg/secret"
)

func TestNoPartOfADataSourceNameIsPrinted(t *testing.T) {
	for _, dsn := range []string{
		"user:plantedhalf/otherhalf@tcp(host:3306)", // the driver divides it at the wrong place
		"user:plantedhalf/otherhalf",
		"user:planted@tcp(host:3306",
		"user:planted@host(/name",
		"user:planted@planted(host:3306)/name",
		"user:pw@tcp(host:3306)/name%zzplanted",
		"user:pw@tcp(host:3306)/name?tls=planted",
		"user:pw@tcp(host:3306)/name?timeout=planted",
		"user:pw@tcp(host:3306)/name?parseTime=planted",
		"user:plan/ted?parseTime=planted@tcp(host:3306)/name?collation=planted",
		"planted",
	} {
		pool, err := Open(secret.New(dsn), Options{Program: "test"})
		if err == nil {
			pool.Close()
			continue // valid for the driver: it fails at its first connection
		}
		for _, part := range []string{"planted", "otherhalf", "plan"} {
			if strings.Contains(err.Error(), part) {
				t.Errorf("%s prints %q: %v", dsn, part, err)
			}
		}
		if !strings.HasPrefix(err.Error(), "data source name") {
			t.Errorf("%s: %v", dsn, err)
		}
	}
}
