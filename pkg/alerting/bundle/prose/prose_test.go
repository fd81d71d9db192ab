package prose

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

func TestAnExceptionLetsOneTextBeAndIsNeeded(t *testing.T) {
	t.Parallel()
	list, err := readTerms([]byte(`
words:
  - {pattern: '\btold\b', say: notified}
exceptions:
  - {file: a.md, text: as we told you, reason: a client's letter is quoted}
  - {file: b.md, text: told, reason: nothing says it}
`))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	check(list, []Text{
		{File: "a.md", Line: 1, Text: "as we told you\nnobody was told", Lines: true},
		{File: "b.md", Line: 7, Name: "A", Text: "fine"},
	}, func(file string, line int, _, text string) {
		got = append(got, fmt.Sprintf("%s:%d: %s", file, line, text))
	})
	want := []string{
		`a.md:2: "told" is no word of the field: say notified (pkg/alerting/bundle/prose/words.yml)`,
		`b.md:1: pkg/alerting/bundle/prose/words.yml excepts "told", which needs no exception`,
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestAWordListThatMeansNothingIsRefused(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"words: [{pattern: '(', say: x}]":             `"("`,
		"words: [{pattern: x}]":                       "what to say instead",
		"exceptions: [{file: a, text: b}]":            "a reason",
		"words: [{pattern: x, say: y, instead: z}]":   "instead",
		"exceptions: [{file: a.md, reason: because}]": "a text",
	} {
		if _, err := readTerms([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: the error is %v, want %q", text, err, want)
		}
	}
}
