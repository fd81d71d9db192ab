package architecture

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const root = "../.."

var codeSpan = regexp.MustCompile("`([^`\n]+)`")

// A path is code that begins with a folder of the repository. It may have an asterisk, and NAME for any name.
func TestEveryPathOfTheMapExists(t *testing.T) {
	page, err := os.ReadFile(filepath.Join(root, "docs/architecture.md"))
	if err != nil {
		t.Fatal(err)
	}
	checked := 0
	for _, match := range codeSpan.FindAllStringSubmatch(string(page), -1) {
		path := match[1]
		folder, _, nested := strings.Cut(path, "/")
		if info, err := os.Stat(filepath.Join(root, folder)); folder == "" || !nested || err != nil || !info.IsDir() {
			continue
		}
		checked++
		if found, err := filepath.Glob(filepath.Join(root, strings.ReplaceAll(path, "NAME", "*"))); err != nil || len(found) == 0 {
			t.Errorf("docs/architecture.md names %s, which does not exist (%v)", path, err)
		}
	}
	if checked < 50 {
		t.Errorf("only %d paths were found", checked)
	}
}
