package business

import (
	"fmt"
	"path/filepath"
	"testing"

	"github.com/consignwatch/consignwatch/pkg/exporter/exportertest"
)

// TestInvalidFilesSayWhatIsWrongAndWhere starts the exporter with each file below testdata/invalid-*; their first line
// is the message that they must bring.
func TestInvalidFilesSayWhatIsWrongAndWhere(t *testing.T) {
	t.Run("config", func(t *testing.T) {
		exportertest.Invalid(t, App(), "testdata/invalid-config", 10, "secretpassword", nil)
	})
	t.Run("pack", func(t *testing.T) {
		exportertest.Invalid(t, App(), "testdata/invalid-pack", 10, "secretpassword", packConfig)
	})
}

// packConfig writes a configuration that names a pack.
func packConfig(t *testing.T, pack string) string {
	t.Helper()
	path, err := filepath.Abs(pack)
	if err != nil {
		t.Fatal(err)
	}
	dsn, err := filepath.Abs("testdata/dsn")
	if err != nil {
		t.Fatal(err)
	}
	return exportertest.WriteFile(t, "config.yml", fmt.Sprintf("mysql: {dsn_file: %s}\nqueries_file: %s\n", dsn, path))
}

func TestTheEmbeddedPackIsValidAndItsReasonsAreWritten(t *testing.T) {
	p, _, _, err := loadPack("", shipped())
	if err != nil {
		t.Fatal(err)
	}
	for _, q := range p.Queries {
		if q.Reason == "" {
			t.Errorf("query %s does not say what it is for", q.Name)
		}
	}
}
