package bundle

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
		panic(fmt.Sprintf("bundle: %v", err)) // it is embedded, and every test of the check reads it
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

// prose is a text for people, with its position.
type prose struct {
	file string
	line int
	name string // of the alert or the panel
	text string
	// lines says that the lines of the text are lines of the file; otherwise all of it is at line.
	lines bool
}

// proseKeys are the fields of a dashboard with text for people.
var proseKeys = []string{"title", "description", "legendFormat", "text", "label", "displayName", "content", "tooltip"}

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

// templateFile adds the prose of a notification template.
func (l *loader) templateFile(file string, text []byte) error {
	l.bundle.prose = append(l.bundle.prose, prose{file: file, line: 1, text: blankOut(templateCode, string(text)), lines: true})
	return nil
}

// panelProse adds the prose of a dashboard.
func (b *Bundle) panelProse(file string, v *jsonValue, title string) {
	if own := v.field("title"); own != "" {
		title = own
	}
	for _, key := range v.keys {
		f := v.fields[key]
		if slices.Contains(proseKeys, key) && f.text != "" {
			b.prose = append(b.prose, prose{file: file, line: f.line, name: title, text: f.text})
		}
		b.panelProse(file, f, title)
	}
	for _, item := range v.items {
		b.panelProse(file, item, title)
	}
}

// privateTerms reports private terms in the prose of the bundle.
func (k *checker) privateTerms(list termList) {
	used := make([]bool, len(list.Exceptions))
	for _, p := range k.bundle.prose {
		flat := strings.ReplaceAll(p.text, "\n", " ") // a phrase may be wrapped
		for _, w := range list.Words {
			for _, at := range w.phrase.FindAllStringIndex(flat, -1) {
				line := p.line
				if p.lines {
					line += strings.Count(p.text[:at[0]], "\n")
				}
				excepted := slices.IndexFunc(list.Exceptions, func(e termException) bool {
					return e.File == p.file && strings.Contains(flat[max(0, at[0]-len(e.Text)):min(len(flat), at[1]+len(e.Text))], e.Text)
				})
				if excepted >= 0 {
					used[excepted] = true
					continue
				}
				k.report(p.file, line, p.name, "%q is no word of the field: say %s (pkg/alerting/bundle/words.yml)", flat[at[0]:at[1]], w.Say)
			}
		}
	}
	for i, e := range list.Exceptions {
		if !used[i] {
			k.report(e.File, 1, "", "pkg/alerting/bundle/words.yml excepts %q, which needs no exception", e.Text)
		}
	}
}
