package integration

import (
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/consignwatch/consignwatch/exporters/integration/clerk"
	"github.com/consignwatch/consignwatch/exporters/integration/mandrill"
	"github.com/consignwatch/consignwatch/pkg/catalog"
	"github.com/consignwatch/consignwatch/pkg/exporter/exportertest"
)

const documentation = "../../docs/integration-exporter.md"

var option = regexp.MustCompile(`(?m)^  # ([a-z_]+: )`)

func TestTheSectionsOfClerkAndMandrillAreDocumented(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(documentation)
	if err != nil {
		t.Fatal(err)
	}
	for section, config := range map[string]any{"clerk": clerk.Config{}, "mandrill": mandrill.Config{}} {
		_, block, ok := strings.Cut(string(text), "```yaml\n"+section+":\n")
		block, _, ended := strings.Cut(block, "```")
		if !ok || !ended {
			t.Fatalf("there is no example of %s", section)
		}
		block = "clients: [{slug: north}]\n" + section + ":\n" + block
		all := option.ReplaceAllString(block, "  $1")
		for what, example := range map[string]string{"as it stands": block, "with all that is commented out": all} {
			if _, err := readConfig(exportertest.WriteFile(t, "config.yml", example)); err != nil {
				t.Errorf("the example of %s %s: %v\n%s", section, what, err, example)
			}
		}
		for i := range reflect.TypeOf(config).NumField() {
			key, _, _ := strings.Cut(reflect.TypeOf(config).Field(i).Tag.Get("yaml"), ",")
			if !strings.Contains(all, "\n  "+key+":") {
				t.Errorf("the example of %s lacks %s", section, key)
			}
		}
	}
	for _, outcome := range catalog.ServiceOutcomes() {
		if !strings.Contains(string(text), "`"+outcome+"`") {
			t.Errorf("the outcome %s is not explained", outcome)
		}
	}
	for _, check := range catalog.TokenChecks() {
		if !strings.Contains(string(text), "| `"+check+"` |") {
			t.Errorf("the check %s is not explained", check)
		}
	}
	for _, of := range [][]string{catalog.ActiveWindows(), catalog.DomainMechanisms()} {
		for _, v := range of {
			if !strings.Contains(string(text), "`"+v+"`") {
				t.Errorf("%s is not explained", v)
			}
		}
	}
}
