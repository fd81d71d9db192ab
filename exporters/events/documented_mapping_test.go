package events

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/consignwatch/consignwatch/exporters/events/internal/mapping"
	"github.com/consignwatch/consignwatch/pkg/catalog"
)

// TestTheMappingOfTheDocumentationWorks takes the example from the page, and shows that it counts.
func TestTheMappingOfTheDocumentationWorks(t *testing.T) {
	page, err := os.ReadFile("../../docs/event-exporter.md")
	if err != nil {
		t.Fatal(err)
	}
	example := regexp.MustCompile("(?s)```yaml\n(declare:.*?)```").FindSubmatch(page)
	if example == nil {
		t.Fatal("the page has no mapping that begins with declare:")
	}
	m, err := mapping.Parse("docs/event-exporter.md", example[1], catalog.Shipped())
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	event := `{"specversion":"1.0","id":"1","source":"/shop","type":"shop.search","data":{"found":"true"}}`
	rejected, err := explain(strings.NewReader(event), &out, m)
	if err != nil || rejected > 0 || !strings.Contains(out.String(), `shop_searches_total{found="true"}`) {
		t.Errorf("%d refused, %v, printed:\n%s", rejected, err, out.String())
	}
}
