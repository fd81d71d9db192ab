package mapping

import (
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/consignwatch/consignwatch/pkg/catalog"
)

func TestTheDocumentationHasEveryKeyOfAMapping(t *testing.T) {
	const documentation = "../../../../docs/event-exporter.md"
	page, err := os.ReadFile(documentation)
	if err != nil {
		t.Fatal(err)
	}
	for _, section := range []reflect.Type{
		reflect.TypeFor[mappingFile](), reflect.TypeFor[adjustment](), reflect.TypeFor[eventSection](), reflect.TypeFor[feedSection](),
		reflect.TypeFor[valueSection](), reflect.TypeFor[condition](), reflect.TypeFor[knownSection](), reflect.TypeFor[source](),
		reflect.TypeFor[catalog.Metric](), reflect.TypeFor[catalog.Label](),
	} {
		for i := range section.NumField() {
			key, _, _ := strings.Cut(section.Field(i).Tag.Get("yaml"), ",")
			// A key stands as it is, at the end of a path like events[].type, or with a value of it.
			if key != "-" && !regexp.MustCompile("`([a-z_\\[\\].]+\\.)?"+regexp.QuoteMeta(key)+"(\\[\\])?(`|: )").Match(page) {
				t.Errorf("%s does not mention `%s`", documentation, key)
			}
		}
	}
}
