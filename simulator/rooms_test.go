package simulator

import (
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// allowedImports returns which rooms the code of a room may import. Rooms below others (services/shopify) may be imported by those alone.
func allowedImports() map[string][]string {
	return map[string][]string{
		"world":      nil,
		"stream":     nil,
		"jobs":       nil,
		"oracle":     {"world"},
		"seed":       {"world"},
		"store":      {"world"},
		"violations": {"store", "world"},
		"faults":     {"store", "violations", "world"},
		"emit":       {"faults", "jobs", "store", "stream", "world"},
		"life":       {"faults", "store", "world"},
		"infra":      {"emit", "faults", "store", "stream", "world"},
		"services":   {"emit", "faults", "jobs", "store", "stream", "world"},
	}
}

func TestRoomsImportOnlyThoseBelowThem(t *testing.T) {
	t.Parallel()
	allowed, seen := allowedImports(), map[string]bool{}
	err := filepath.WalkDir(".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || filepath.Ext(path) != ".go" || strings.HasSuffix(path, "_test.go") || filepath.Dir(path) == "." {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		room, _, _ := strings.Cut(filepath.ToSlash(path), "/")
		may, known := allowed[room]
		if seen[room] = true; !known {
			t.Errorf("%s is of no room", path)
		}
		for _, spec := range file.Imports {
			name, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			other, ours := strings.CutPrefix(name, "github.com/consignwatch/consignwatch/simulator")
			other, below, _ := strings.Cut(strings.TrimPrefix(other, "/"), "/")
			if ours && other != room && (below != "" || !slices.Contains(may, other)) {
				t.Errorf("%s imports %s", path, name)
			}
		}
		return nil
	})
	if err != nil || len(seen) != len(allowed) {
		t.Fatalf("%d rooms: %v", len(seen), err)
	}
}
