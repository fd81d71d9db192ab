package dashboards

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

// project is the root of the project.
const project = "../.."

func TestTheFilesMatchTheDeclarations(t *testing.T) {
	declared, err := Render(os.DirFS(project))
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range declared {
		if is, err := fs.ReadFile(os.DirFS(project), name); err != nil || !bytes.Equal(is, want) {
			t.Errorf("%s is not what its declaration says (%v); run consignwatch render", name, err)
		}
	}
}

func TestFilesAreAllDashboardsAndNoOthers(t *testing.T) {
	declared, err := Render(os.DirFS(project))
	if err != nil {
		t.Fatal(err)
	}
	var shipped []string
	err = fs.WalkDir(os.DirFS(project), folder, func(name string, _ fs.DirEntry, err error) error {
		if path.Ext(name) == ".json" {
			shipped = append(shipped, name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if want := slices.Sorted(maps.Keys(declared)); !slices.Equal(shipped, want) {
		t.Errorf("declared are %v,\nshipped %v", want, shipped)
	}
}

func TestOnlyAFolderThatHasOneOfTheDashboardsIsRendered(t *testing.T) {
	own := fstest.MapFS{folder + "/Business/own.json": {}}
	if files, err := Render(own); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%d dashboards and %v, want none beside others", len(files), err)
	}
	own[folder+"/System/overview.json"] = &fstest.MapFile{}
	if files, err := Render(own); len(files) != len(All()) || err != nil {
		t.Errorf("%d dashboards and %v, want all %d", len(files), err, len(All()))
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
	page, err := os.ReadFile(project + "/docs/dashboards.md")
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
		screenshot, err := os.Stat(project + "/docs/images/" + name + ".png")
		if err != nil {
			t.Error(err)
		} else if screenshot.Size() > 300_000 {
			t.Errorf("docs/images/%s.png has %d bytes; make it smaller than 300,000", name, screenshot.Size())
		}
	}
}
