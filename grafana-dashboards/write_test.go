package dashboards

import (
	"bytes"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"slices"
	"strings"
	"testing"
)

func TestTheFilesMatchTheDeclarations(t *testing.T) {
	declared, err := Render(os.DirFS(".."))
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range declared {
		if is, err := fs.ReadFile(os.DirFS(".."), name); err != nil || !bytes.Equal(is, want) {
			t.Errorf("%s is not what its declaration says (%v); run consignwatch render", name, err)
		}
	}
}

func TestFilesAreAllDashboardsAndNoOthers(t *testing.T) {
	declared, err := Render(os.DirFS(".."))
	if err != nil {
		t.Fatal(err)
	}
	var embedded, shipped []string
	for root, names := range map[fs.FS]*[]string{Files: &embedded, os.DirFS("."): &shipped} {
		err := fs.WalkDir(root, ".", func(name string, _ fs.DirEntry, err error) error {
			if path.Ext(name) == ".json" {
				*names = append(*names, path.Join(folder, name))
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	want := slices.Sorted(maps.Keys(declared))
	if !slices.Equal(embedded, want) || !slices.Equal(shipped, want) {
		t.Errorf("declared are %v,\nembedded %v,\nshipped %v", want, embedded, shipped)
	}
}

func TestLinesFitTheGrid(t *testing.T) {
	for _, d := range All() {
		for _, r := range d.Rows {
			for _, line := range lines(r.Panels) {
				width := 0
				for _, p := range line {
					width += p.width
				}
				if width != columnsOfGrid {
					t.Errorf("%s: the line of %q is %d columns wide, not %d", d.UID, line[0].title, width, columnsOfGrid)
				}
			}
		}
	}
}

func TestEveryDashboardHasTheQuestionOfTheDocumentation(t *testing.T) {
	page, err := os.ReadFile("../docs/dashboards.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range All() {
		if line := fmt.Sprintf("\n| %s | %s |\n", d.Title, d.Question); !strings.Contains(string(page), line) {
			t.Errorf("docs/dashboards.md lacks the line%s", line)
		}
		if !strings.HasSuffix(d.Question, "?") && !strings.Contains(d.Question, "? ") {
			t.Errorf("%s asks nothing: %q", d.UID, d.Question)
		}
	}
}

func TestEveryDashboardHasAScreenshot(t *testing.T) {
	for _, d := range All() {
		name := strings.ReplaceAll(strings.ToLower(strings.TrimSuffix(d.File, ".json")), "/", "-")
		screenshot, err := os.Stat("../docs/images/" + name + ".png")
		if err != nil {
			t.Error(err)
		} else if screenshot.Size() > 300_000 {
			t.Errorf("docs/images/%s.png has %d bytes; make it smaller than 300,000", name, screenshot.Size())
		}
	}
}
