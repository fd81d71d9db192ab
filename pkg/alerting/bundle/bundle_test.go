package bundle

import (
	"bytes"
	"os"
	"testing"

	"github.com/consignwatch/consignwatch/pkg/catalog"
	"github.com/consignwatch/consignwatch/pkg/golden"
)

func TestTheShippedBundleIsWhole(t *testing.T) {
	t.Parallel()
	root := os.DirFS("../../..")
	b, err := Load(root)
	if err != nil {
		t.Fatal(err)
	}
	if golden.Update() {
		var page bytes.Buffer
		if err := b.WriteCoverage(&page, catalog.Shipped()); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile("../../../"+coverageDoc, page.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
		if b, err = Load(root); err != nil {
			t.Fatal(err)
		}
	}
	for _, problem := range b.Check(catalog.Shipped()) {
		t.Error(problem)
	}
}
