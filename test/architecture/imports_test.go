package architecture

import (
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const (
	page   = "docs/architecture.md"
	module = "github.com/consignwatch/consignwatch/"
)

// row is a row of the table of rooms. Packages below a room that have no row of their own belong to it.
type row struct {
	rooms   []string
	imports []string // rooms of rows further down
}

var (
	tableRow   = regexp.MustCompile(`(?m)^\| (.+) \| .+ \| (.+) \|$`)
	foundation = regexp.MustCompile(`(?m)^Foundations: (.+)$`)
)

// readTable reads the table of rooms, and the foundations: the rooms that every room may import.
func readTable(t *testing.T) (rows []row, foundations []string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, page))
	if err != nil {
		t.Fatal(err)
	}
	section, _, _ := strings.Cut(string(text), "\n## How one event travels\n")
	spans := func(cell string) (names []string) {
		for _, match := range codeSpan.FindAllStringSubmatch(cell, -1) {
			names = append(names, match[1])
		}
		return names
	}
	for _, match := range tableRow.FindAllStringSubmatch(section, -1) {
		if rooms := spans(match[1]); len(rooms) > 0 {
			rows = append(rows, row{rooms, spans(match[2])})
		}
	}
	if match := foundation.FindStringSubmatch(section); match != nil {
		foundations = spans(match[1])
	}
	if len(rows) < 20 || len(foundations) < 5 {
		t.Fatalf("%s: %d rows of rooms and %d foundations", page, len(rows), len(foundations))
	}
	return rows, foundations
}

// readImports reads what the packages of the module import of it, and of others, without their tests.
func readImports(t *testing.T) (imports, others map[string][]string) {
	t.Helper()
	imports, others = map[string][]string{}, map[string][]string{}
	err := filepath.WalkDir(root, func(file string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(root, file)
		if err != nil {
			return err
		}
		name = filepath.ToSlash(name)
		if entry.IsDir() {
			if entry.Name() == "testdata" || name == "tools" || name != "." && strings.HasPrefix(entry.Name(), ".") {
				return fs.SkipDir // tools are modules of their own
			}
			return nil
		}
		if path.Ext(name) != ".go" || strings.HasSuffix(name, "_test.go") {
			return nil
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		pkg := path.Dir(name)
		if _, known := imports[pkg]; !known {
			imports[pkg] = nil
		}
		for _, spec := range parsed.Imports {
			text, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			if imported, ours := strings.CutPrefix(text, module); !ours {
				others[pkg] = append(others[pkg], text)
			} else if !slices.Contains(imports[pkg], imported) {
				imports[pkg] = append(imports[pkg], imported)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(imports) < 50 {
		t.Fatalf("only %d packages were found", len(imports))
	}
	return imports, others
}

// linked are the packages of the module that a program consists of.
func linked(program string, imports map[string][]string) map[string]bool {
	packages, queue := map[string]bool{}, []string{"cmd/" + program}
	for len(queue) > 0 {
		pkg := queue[0]
		if queue = queue[1:]; packages[pkg] {
			continue
		}
		packages[pkg] = true
		queue = append(queue, imports[pkg]...)
	}
	return packages
}

// within reports whether a package is a room, or below it.
func within(pkg, room string) bool { return pkg == room || strings.HasPrefix(pkg, room+"/") }

// roomOf returns the innermost of the rooms that a package is in, or "".
func roomOf(pkg string, rooms []string) (inner string) {
	for _, room := range rooms {
		if within(pkg, room) && len(room) > len(inner) {
			inner = room
		}
	}
	return inner
}

func TestRoomsImportWhatTheirRowNames(t *testing.T) {
	rows, foundations := readTable(t)
	imports, _ := readImports(t)
	number := map[string]int{} // of a room's row
	for i, r := range rows {
		for _, room := range r.rooms {
			if _, twice := number[room]; twice {
				t.Errorf("%s has two rows for %s", page, room)
			}
			number[room] = i
		}
	}
	rooms := slices.Sorted(maps.Keys(number))
	all := slices.Concat(rooms, foundations)
	used := map[string]bool{} // "row imported"
	inhabited := map[string]bool{}
	for _, pkg := range slices.Sorted(maps.Keys(imports)) {
		from := roomOf(pkg, all)
		if inhabited[from] = true; from == "" {
			t.Errorf("%s has no row in %s", pkg, page)
			continue
		}
		for _, imported := range imports[pkg] {
			to := roomOf(imported, all)
			switch i, hasRow := number[from]; {
			case slices.Contains(foundations, to):
			case !hasRow:
				t.Errorf("%s imports %s, but foundations import nothing else", pkg, imported)
			case number[to] == i:
			case !slices.Contains(rows[i].imports, to):
				t.Errorf("%s imports %s, which its row in %s does not name", pkg, imported, page)
			default:
				used[strconv.Itoa(i)+" "+to] = true
			}
		}
	}
	for _, room := range all {
		if !inhabited[room] {
			t.Errorf("%s has a row for %s, where no package is", page, room)
		}
	}
	for i, r := range rows {
		for _, imported := range r.imports {
			if below, known := number[imported]; !known || below <= i {
				t.Errorf("%s: %s imports %s, whose row is not further down", page, r.rooms[0], imported)
			} else if !used[strconv.Itoa(i)+" "+imported] {
				t.Errorf("%s: %s does not import %s", page, r.rooms[0], imported)
			}
		}
	}
}

// What runs in production links nothing that starts servers or stands in for the platform, and one client of Kafka at most.
func TestProductionProgramsLinkNoMoreThanTheyNeed(t *testing.T) {
	imports, others := readImports(t)
	notLinked := map[string]string{"event-exporter": "github.com/IBM/sarama", "system-exporter": "github.com/twmb/franz-go"}
	for _, program := range []string{"consignwatch", "business-exporter", "event-exporter", "integration-exporter", "system-exporter"} {
		packages := linked(program, imports)
		if len(packages) < 5 {
			t.Errorf("%s links only %d packages", program, len(packages))
		}
		for pkg := range packages {
			if pkg == "pkg/demo" || within(pkg, "pkg/demo/servers") || within(pkg, "simulator") || within(pkg, "test") {
				t.Errorf("%s links %s", program, pkg)
			}
			for _, other := range others[pkg] {
				if not := notLinked[program]; not != "" && within(other, not) {
					t.Errorf("%s links %s, which %s imports", program, other, pkg)
				}
			}
		}
	}
}
