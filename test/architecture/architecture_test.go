package architecture

import (
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const root = "../.."

var (
	link        = regexp.MustCompile(`\]\(([^):#]+)[^):]*\)`) // to another file, not to an address
	codeSpan    = regexp.MustCompile("`([^`\n]+)`")
	nameOfTest  = regexp.MustCompile(`\b(?:Test|Benchmark|Fuzz)[A-Z]\w*(?:…|\.\.\.)?`)
	declaration = regexp.MustCompile(`(?m)^func ((?:Test|Benchmark|Fuzz)[A-Z]\w*)\(`)
)

// readDocumentation reads the files for people who work on the code, or with it. The changelog may name what is gone, and `consignwatch
// check` holds the runbooks.
func readDocumentation(t *testing.T) map[string]string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(root, "docs/*.md"))
	if err != nil {
		t.Fatal(err)
	}
	texts := map[string]string{}
	for _, file := range append(files, filepath.Join(root, "README.md"), filepath.Join(root, "CONTRIBUTING.md")) {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		texts[strings.TrimPrefix(filepath.ToSlash(file), root+"/")] = string(text)
	}
	return texts
}

// readFiles reads all files below the root but those of folders that are hidden, such as .git.
func readFiles(t *testing.T) map[string]string {
	t.Helper()
	texts := map[string]string{}
	err := filepath.WalkDir(root, func(file string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && file != root && strings.HasPrefix(entry.Name(), "."):
			return fs.SkipDir
		case entry.IsDir():
			return nil
		}
		text, err := os.ReadFile(file)
		texts[strings.TrimPrefix(filepath.ToSlash(file), root+"/")] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return texts
}

// A path is a link, or code that begins with a folder of the repository, with an asterisk, or NAME for any name.
func TestEveryPathOfTheDocumentationExists(t *testing.T) {
	checked := 0
	for file, text := range readDocumentation(t) {
		for _, match := range codeSpan.FindAllStringSubmatch(text, -1) {
			path := match[1]
			folder, _, nested := strings.Cut(path, "/")
			if info, err := os.Stat(filepath.Join(root, folder)); folder == "" || folder == ".build" || !nested || err != nil || !info.IsDir() {
				continue // .build has what was built on this machine
			}
			checked++
			if found, err := filepath.Glob(filepath.Join(root, strings.ReplaceAll(path, "NAME", "*"))); err != nil || len(found) == 0 {
				t.Errorf("%s names %s, which does not exist (%v)", file, path, err)
			}
		}
		for _, match := range link.FindAllStringSubmatch(text, -1) {
			checked++
			if _, err := os.Stat(filepath.Join(root, filepath.Dir(file), match[1])); err != nil {
				t.Errorf("%s has a link that leads nowhere: %v", file, err)
			}
		}
	}
	if checked < 500 {
		t.Errorf("only %d paths were found", checked)
	}
}

// A test may be named by its beginning, with an ellipsis.
func TestEveryTestOfTheDocumentationExists(t *testing.T) {
	declared := map[string]bool{}
	for file, text := range readFiles(t) {
		if strings.HasSuffix(file, "_test.go") {
			for _, match := range declaration.FindAllStringSubmatch(text, -1) {
				declared[match[1]] = true
			}
		}
	}
	names, checked := slices.Collect(maps.Keys(declared)), 0
	for file, text := range readDocumentation(t) {
		for _, name := range nameOfTest.FindAllString(text, -1) {
			checked++
			beginning := strings.TrimSuffix(strings.TrimSuffix(name, "…"), "...")
			if !declared[name] && (beginning == name || !slices.ContainsFunc(names, func(n string) bool { return strings.HasPrefix(n, beginning) })) {
				t.Errorf("%s names %s, which does not exist", file, name)
			}
		}
	}
	if checked < 30 {
		t.Errorf("only %d names of tests were found", checked)
	}
}

// The documentation shows an alert that is added with a rule, its test and its runbook. Then no other file names it, but those that are generated.
func TestAnAlertIsInThreeFiles(t *testing.T) {
	const alert = "EmailAddressSyncStuck"
	var found []string
	files := readFiles(t)
	for name, text := range files {
		if strings.Contains(text, alert) && name != "docs/runbooks/SyncFailing.md" { // which links to its runbook
			found = append(found, name)
		}
	}
	slices.Sort(found)
	want := []string{
		"alertmanager/alertmanager.yml",          // generated
		"docs/architecture.md",                   // the documentation of this
		"docs/coverage.md",                       // generated
		"docs/runbooks/EmailAddressSyncStuck.md", // its runbook
		"exporters/business/readers.txt",         // generated
		"rules/alerts/delays.yml",                // the rule
		"rules/tests/delays_test.yml",            // its test
		"test/architecture/architecture_test.go", // this test
	}
	if !slices.Equal(found, want) {
		t.Errorf("%s is in\n%s\nwant\n%s", alert, strings.Join(found, "\n"), strings.Join(want, "\n"))
	}
	// The rule is shown as it is.
	_, shown, _ := strings.Cut(files["docs/architecture.md"], "- alert: "+alert+"\n")
	shown, _, _ = strings.Cut(shown, "```")
	_, rule, _ := strings.Cut(files["rules/alerts/delays.yml"], "      - alert: "+alert+"\n")
	rule, _, _ = strings.Cut(rule, "        annotations:\n")
	if want := strings.ReplaceAll(rule, "\n        ", "\n  "); shown == "" || "      "+shown != want {
		t.Errorf("the documentation shows\n%s\nwant\n%s", shown, want)
	}
}
