package bundle

import (
	"bytes"
	"flag"
	"os"
	"testing"

	"github.com/consignwatch/consignwatch/pkg/catalog"
)

var update = flag.Bool("update", false, "write docs/coverage.md")

func TestTheShippedBundleIsWhole(t *testing.T) {
	root := os.DirFS("../..")
	b, err := Load(root)
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		var page bytes.Buffer
		if err := b.WriteCoverage(&page); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile("../../"+coveragePage, page.Bytes(), 0o644); err != nil {
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
