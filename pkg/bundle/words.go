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

// wordsText is the list of words that nobody outside would understand.
//
//go:embed words.yml
var wordsText []byte

// word is a phrase of ours, and what the field says.
type word struct {
	Pattern string `yaml:"pattern"` // a regular expression
	Say     string `yaml:"say"`

	phrase *regexp.Regexp
}

// wordException is a line of a file that has to have such a phrase.
type wordException struct {
	File   string `yaml:"file"`
	Text   string `yaml:"text"` // what stands around the phrase, or the phrase alone
	Reason string `yaml:"reason"`
}

type wordList struct {
	Words      []word          `yaml:"words"`
	Exceptions []wordException `yaml:"exceptions"`
}

// privateWords is the list that ships. It is read once, and not to be changed.
var privateWords = sync.OnceValue(func() wordList {
	list, err := readWords(wordsText)
	if err != nil {
		panic(fmt.Sprintf("bundle: %v", err)) // it is embedded, and every test of the check reads it
	}
	return list
})

func readWords(text []byte) (list wordList, err error) {
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

// prose is a text that people read, with its place.
type prose struct {
	file string
	line int
	name string // of the alert or the panel
	text string
	// lines says that the lines of the text are those of the file; otherwise all of it is at line.
	lines bool
}

// proseKeys are the fields of a dashboard whose values people read.
var proseKeys = []string{"title", "description", "legendFormat", "text", "label", "displayName", "content", "tooltip"}

// code is what in a Markdown file is no prose, and what in a template is none.
var (
	fencedCode   = regexp.MustCompile("(?ms)^\\s*```.*?^\\s*```\\s*$|`[^`\n]*`")
	templateCode = regexp.MustCompile(`(?s)\{\{.*?\}\}`)
)

// without blanks out what matches, and keeps the lines.
func without(code *regexp.Regexp, text string) string {
	return code.ReplaceAllStringFunc(text, func(s string) string {
		return strings.Map(func(r rune) rune {
			if r == '\n' {
				return r
			}
			return ' '
		}, s)
	})
}

// templateFile takes the prose of a template of notifications.
func (l *loader) templateFile(file string, text []byte) error {
	l.bundle.prose = append(l.bundle.prose, prose{file: file, line: 1, text: without(templateCode, string(text)), lines: true})
	return nil
}

// panelProse takes what people read of a dashboard.
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

// words reports phrases that nobody outside would understand.
func (k *checker) words(list wordList) {
	used := make([]bool, len(list.Exceptions))
	for _, p := range k.bundle.prose {
		flat := strings.ReplaceAll(p.text, "\n", " ") // a phrase may be broken over two lines
		for _, w := range list.Words {
			for _, at := range w.phrase.FindAllStringIndex(flat, -1) {
				line := p.line
				if p.lines {
					line += strings.Count(p.text[:at[0]], "\n")
				}
				excepted := slices.IndexFunc(list.Exceptions, func(e wordException) bool {
					return e.File == p.file && strings.Contains(flat[max(0, at[0]-len(e.Text)):min(len(flat), at[1]+len(e.Text))], e.Text)
				})
				if excepted >= 0 {
					used[excepted] = true
					continue
				}
				k.report(p.file, line, p.name, "%q is no word of the field: say %s (pkg/bundle/words.yml)", flat[at[0]:at[1]], w.Say)
			}
		}
	}
	for i, e := range list.Exceptions {
		if !used[i] {
			k.report(e.File, 1, "", "pkg/bundle/words.yml excepts %q, which needs no exception", e.Text)
		}
	}
}
