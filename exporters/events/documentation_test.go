package events

import (
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/consignwatch/consignwatch/pkg/catalog"
)

const documentation = "../../docs/event-exporter.md"

func documentationText(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(documentation)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestTheExampleOfTheDocumentationWorks runs the worked example as the page says, and compares what is printed.
func TestTheExampleOfTheDocumentationWorks(t *testing.T) {
	parts := regexp.MustCompile("(?s)```yaml\n(# library.yml\n.*?)```.*?```json\n(.*?)```.*?```\n(.*?)```").FindStringSubmatch(documentationText(t))
	if parts == nil {
		t.Fatal("the page has no example")
	}
	dir := t.TempDir()
	mapping, sample := filepath.Join(dir, "library.yml"), filepath.Join(dir, "events.json")
	for path, text := range map[string]string{mapping: parts[1], sample: parts[2]} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var out, errs strings.Builder
	code := App().Run(t.Context(), []string{"map", "--mapping-file", mapping, sample}, &out, &errs, nil)
	if diff := cmp.Diff(parts[3], out.String()); diff != "" || code != 1 {
		t.Errorf("exit code %d, %s-page +printed:\n%s", code, errs.String(), diff)
	}
}

// TestTheDocumentationHasEveryKeyAndOutcome looks for the words that a user may have to look up.
func TestTheDocumentationHasEveryKeyAndOutcome(t *testing.T) {
	text := documentationText(t)
	var words []string
	words = append(words, configKeys(reflect.TypeFor[Config](), "")...)
	words = append(words, catalog.RecordOutcomes()...)
	for _, w := range words {
		// A key stands as it is, at the end of a path like events[].type, or with a value of it.
		if !regexp.MustCompile("`([a-z_\\[\\].]+\\.)?" + regexp.QuoteMeta(w) + "(\\[\\])?(`|: )").MatchString(text) {
			t.Errorf("%s does not mention `%s`", documentation, w)
		}
	}
}

// configKeys are the keys of the configuration; those of Prometheus' own structures are left to its documentation.
func configKeys(t reflect.Type, prefix string) []string {
	var keys []string
	for i := range t.NumField() {
		f := t.Field(i)
		key, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		typ := f.Type
		if typ.Kind() == reflect.Struct && typ.PkgPath() == reflect.TypeFor[Config]().PkgPath() {
			keys = append(keys, configKeys(typ, prefix+key+".")...)
			continue
		}
		keys = append(keys, prefix+key)
		if typ.Kind() == reflect.Slice && typ.Elem().Kind() == reflect.Struct {
			keys = append(keys, configKeys(typ.Elem(), prefix+key+"[].")...)
		}
	}
	return keys
}
