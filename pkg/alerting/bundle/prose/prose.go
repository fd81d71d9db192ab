// Package prose has the texts of the bundle that people read, and the list of private words: what only maintainers of this project would
// understand, and what the field says instead. It judges phrases, never style, and knows no file but its list.
package prose

import (
	_ "embed"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/consignwatch/consignwatch/pkg/yamlfile"
)

// termsText is the list of private terms, which only maintainers of this project would understand.
//
//go:embed words.yml
var termsText []byte

// privateTerm is a private phrase with the common term to use instead.
type privateTerm struct {
	Pattern string `yaml:"pattern"` // a regular expression
	Say     string `yaml:"say"`

	phrase *regexp.Regexp
}

// termException is a line of a file that may contain a private term.
type termException struct {
	File   string `yaml:"file"`
	Text   string `yaml:"text"` // the phrase, with or without the text around it
	Reason string `yaml:"reason"`
}

type termList struct {
	Words      []privateTerm   `yaml:"words"`
	Exceptions []termException `yaml:"exceptions"`
}

// privateTerms returns the list of private terms. Callers must not change it.
var privateTerms = sync.OnceValue(func() termList {
	list, err := readTerms(termsText)
	if err != nil {
		panic(fmt.Sprintf("prose: %v", err)) // it is embedded, and every test of the check reads it
	}
	return list
})

func readTerms(text []byte) (list termList, err error) {
	if _, err := yamlfile.Parse("words.yml", text, &list); err != nil {
		return list, err
	}
	for i, w := range list.Words {
		if list.Words[i].phrase, err = regexp.Compile("(?i)" + w.Pattern); err != nil || w.Say == "" {
			return list, fmt.Errorf("words.yml: %q: want a regular expression, and what to say instead: %w", w.Pattern, err)
		}
	}
	for _, e := range list.Exceptions {
		if e.File == "" || e.Text == "" || e.Reason == "" {
			return list, fmt.Errorf("words.yml: the exception %+v: want a file, a text and a reason", e)
		}
	}
	return list, nil
}

// Text is a text for people, with its position.
type Text struct {
	File string
	Line int
	Name string // of the alert or the panel
	Text string
	// Lines says that the lines of the text are lines of the file; otherwise all of it is at Line.
	Lines bool
}

// Parts of Markdown files and of templates that are no prose.
var (
	fencedCode   = regexp.MustCompile("(?ms)^\\s*```.*?^\\s*```\\s*$|`[^`\n]*`")
	templateCode = regexp.MustCompile(`(?s)\{\{.*?\}\}`)
)

// blankOut replaces matches by spaces, and keeps line breaks.
func blankOut(code *regexp.Regexp, text string) string {
	return code.ReplaceAllStringFunc(text, func(s string) string {
		return strings.Map(func(r rune) rune {
			if r == '\n' {
				return r
			}
			return ' '
		}, s)
	})
}

// WithoutCode returns the text of a Markdown file with its code blanked out.
func WithoutCode(markdown string) string { return blankOut(fencedCode, markdown) }

// WithoutActions returns the text of a template with its actions blanked out.
func WithoutActions(template string) string { return blankOut(templateCode, template) }

// Check reports the private terms in the texts, and exceptions that none of them needs.
func Check(texts []Text, report func(file string, line int, name, text string)) {
	check(privateTerms(), texts, report)
}

func check(list termList, texts []Text, report func(file string, line int, name, text string)) {
	used := make([]bool, len(list.Exceptions))
	for _, t := range texts {
		flat := strings.ReplaceAll(t.Text, "\n", " ") // a phrase may be wrapped
		for _, w := range list.Words {
			for _, at := range w.phrase.FindAllStringIndex(flat, -1) {
				line := t.Line
				if t.Lines {
					line += strings.Count(t.Text[:at[0]], "\n")
				}
				excepted := slices.IndexFunc(list.Exceptions, func(e termException) bool {
					return e.File == t.File && strings.Contains(flat[max(0, at[0]-len(e.Text)):min(len(flat), at[1]+len(e.Text))], e.Text)
				})
				if excepted >= 0 {
					used[excepted] = true
					continue
				}
				report(t.File, line, t.Name, fmt.Sprintf("%q is no word of the field: say %s (pkg/alerting/bundle/prose/words.yml)", flat[at[0]:at[1]], w.Say))
			}
		}
	}
	for i, e := range list.Exceptions {
		if !used[i] {
			report(e.File, 1, "", fmt.Sprintf("pkg/alerting/bundle/prose/words.yml excepts %q, which needs no exception", e.Text))
		}
	}
}
