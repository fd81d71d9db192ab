package integration

import (
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/consignwatch/consignwatch/exporters/integration/clerk"
	"github.com/consignwatch/consignwatch/exporters/integration/mandrill"
	"github.com/consignwatch/consignwatch/exporters/integration/platformdb"
	"github.com/consignwatch/consignwatch/exporters/integration/shopify"
	"github.com/consignwatch/consignwatch/pkg/catalog"
	"github.com/consignwatch/consignwatch/pkg/exporter/exportertest"
)

const documentation = "../../docs/integration-exporter.md"

var option = regexp.MustCompile(`(?m)^  # ([a-z_]+: )`)

// TestTheExampleOfTheShopsIsWhatTheExporterReads reads the first example of the documentation: as it stands, and with all that is
// commented out. What is commented out must be a default where it has a value.
func TestTheExampleOfTheShopsIsWhatTheExporterReads(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(documentation)
	if err != nil {
		t.Fatal(err)
	}
	_, example, ok := strings.Cut(string(text), "```yaml\n# integration.yml\n")
	example, _, ended := strings.Cut(example, "```")
	if !ok || !ended {
		t.Fatal("there is no example")
	}
	all := option.ReplaceAllString(example, "  $1")
	for what, config := range map[string]string{"as it stands": example, "with all that is commented out": all} {
		if _, err := readConfig(exportertest.WriteFile(t, "config.yml", config)); err != nil {
			t.Errorf("the example %s: %v\n%s", what, err, config)
		}
	}
	for section, config := range map[string]any{"shopify": shopify.Config{}, "platform": platformdb.Config{}} {
		_, block, ok := strings.Cut(all, "\n"+section+":")
		if !ok {
			t.Errorf("the example lacks the section %s", section)
		}
		for i := range reflect.TypeOf(config).NumField() {
			key, _, _ := strings.Cut(reflect.TypeOf(config).Field(i).Tag.Get("yaml"), ",")
			if !strings.Contains(block, "\n  "+key+":") && !strings.Contains(string(text), "\n  "+key+":") {
				t.Errorf("the documentation of %s lacks %s", section, key)
			}
		}
	}
	for _, o := range append(catalog.ShopifyOutcomes(), catalog.ShopifyOperations()...) {
		if !strings.Contains(string(text), "`"+o+"`") {
			t.Errorf("%s is not explained", o)
		}
	}
	c, err := readConfig(exportertest.WriteFile(t, "config.yml", example))
	if err != nil {
		t.Fatal(err)
	}
	// What the example says of the shops is what holds without it, but for the topics.
	var defaults shopify.Config
	defaults.Fill()
	defaults.ExpectedTopics = c.Shopify.ExpectedTopics
	if !reflect.DeepEqual(defaults, c.Shopify) {
		t.Errorf("the example has other values than the defaults:\n%+v\n%+v", c.Shopify, defaults)
	}
}

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
