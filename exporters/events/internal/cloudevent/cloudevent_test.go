package cloudevent

import (
	"os"
	"strings"
	"testing"
)

func TestTheDocumentationHasEveryReason(t *testing.T) {
	const documentation = "../../../../docs/event-exporter.md"
	page, err := os.ReadFile(documentation)
	if err != nil {
		t.Fatal(err)
	}
	for reason := range reasonText {
		if !strings.Contains(string(page), "`"+string(reason)+"`") {
			t.Errorf("%s does not mention `%s`", documentation, reason)
		}
	}
}
