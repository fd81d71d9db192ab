package identifiers

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path"
	"path/filepath"
	"strings"
	"testing"

	"github.com/consignwatch/consignwatch/pkg/yamlfile"
)

const root = "../.."

// entry is what identifiers.yml says of some packages.
type entry struct {
	Packages []string          `yaml:"packages"`
	Old      map[string]string `yaml:"old"`    // to the new name
	Except   map[string]string `yaml:"except"` // package.identifier, to the reason
}

func TestNoDeclarationHasAnOldName(t *testing.T) {
	var entries []entry
	if _, err := yamlfile.Read("identifiers.yml", &entries); err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		used := map[string]bool{}
		for _, folder := range e.Packages {
			files, err := filepath.Glob(filepath.Join(root, folder, "*.go"))
			if err != nil || len(files) == 0 {
				t.Fatalf("identifiers.yml: %s has no Go file: %v", folder, err)
			}
			for _, file := range files {
				for _, d := range declarations(t, file) {
					say, old := e.Old[d.name]
					if !old {
						continue
					}
					excepted := path.Base(folder) + "." + d.name
					if e.Except[excepted] != "" {
						used[excepted] = true
						continue
					}
					t.Errorf("%s: %s is called %s here; say %s, or what it is (test/identifiers/identifiers.yml)", d.place, d.what, d.name, say)
				}
			}
		}
		for name := range e.Except {
			if !used[name] {
				t.Errorf("identifiers.yml: the exception %s is of nothing", name)
			}
		}
	}
}

type declaration struct{ name, what, place string }

// declarations are all names that a file declares.
func declarations(t *testing.T, file string) (all []declaration) {
	t.Helper()
	set := token.NewFileSet()
	tree, err := parser.ParseFile(set, file, nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	add := func(what string, names ...*ast.Ident) {
		for _, n := range names {
			position := set.Position(n.Pos())
			all = append(all, declaration{n.Name, what, fmt.Sprintf("%s:%d", strings.TrimPrefix(filepath.ToSlash(position.Filename), root+"/"), position.Line)})
		}
	}
	ast.Inspect(tree, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncDecl:
			add("a function", n.Name)
		case *ast.TypeSpec:
			add("a type", n.Name)
		case *ast.ValueSpec:
			add("a variable or constant", n.Names...)
		case *ast.Field:
			add("a field, parameter or method", n.Names...)
		case *ast.AssignStmt:
			if n.Tok == token.DEFINE {
				for _, left := range n.Lhs {
					if name, is := left.(*ast.Ident); is {
						add("a variable", name)
					}
				}
			}
		}
		return true
	})
	return all
}
