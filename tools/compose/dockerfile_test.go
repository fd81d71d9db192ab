package compose

import (
	"bytes"
	"debug/elf"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
)

func dockerfile(t *testing.T) []instructions.Stage {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, "Dockerfile"))
	if err != nil {
		t.Fatal(err)
	}
	stages, err := ParseDockerfile(text)
	if err != nil {
		t.Fatal(err)
	}
	return stages
}

// images has the folders of the images, built once for all tests.
var images = struct {
	once      sync.Once
	dir       string
	simulator string
	programs  string
	log       bytes.Buffer
	err       error
}{}

func TestMain(m *testing.M) {
	// These tests read files outside of this module, which Go's test cache does not track. tools/test puts a hash of them into this variable: reading it
	// makes it an input of the test.
	_ = os.Getenv("CONSIGNWATCH_TEST_INPUTS")
	status := m.Run()
	if images.dir != "" {
		_ = os.RemoveAll(images.dir)
	}
	os.Exit(status)
}

// built builds both images from a clean copy, as an engine would.
func built(t *testing.T) (programs, simulator string) {
	t.Helper()
	images.once.Do(func() {
		stages := dockerfile(t)
		if images.dir, images.err = os.MkdirTemp("", "consignwatch-images-"); images.err != nil {
			return
		}
		folder := filepath.Join(images.dir, "context")
		if images.err = Context(t.Context(), root, folder); images.err != nil {
			return
		}
		b := &Builder{Context: folder, Dir: images.dir, Log: &images.log}
		if images.simulator, images.err = b.Build(t.Context(), stages, "simulator"); images.err == nil {
			images.programs, images.err = b.Build(t.Context(), stages, "consignwatch")
		}
	})
	if images.err != nil {
		t.Fatalf("%v\n%s", images.err, images.log.String())
	}
	return images.programs, images.simulator
}

func TestTheImagesHoldTheProgramsAndNothingElse(t *testing.T) {
	programs, simulator := built(t)
	want := map[string][]string{
		programs:  {"alertmanager-replay", "business-exporter", "consignwatch", "event-exporter", "integration-exporter", "system-exporter"},
		simulator: {"alertmanager-replay", "consignwatch", "consignwatch-demo", "platform-sim"},
	}
	for folder, names := range want {
		var got []string
		err := filepath.WalkDir(folder, func(path string, d os.DirEntry, err error) error {
			if err == nil && !d.IsDir() {
				got = append(got, strings.TrimPrefix(path, folder+"/usr/local/bin/"))
			}
			return err
		})
		if err != nil || !slices.Equal(got, names) {
			t.Errorf("%s holds %q, %v; want %q", filepath.Base(folder), got, err, names)
		}
		for _, name := range names {
			checkProgram(t, filepath.Join(folder, "usr/local/bin", name))
		}
	}
}

// checkProgram checks that a program is statically linked, because its image has no C library, and that it prints its version.
func checkProgram(t *testing.T, path string) {
	t.Helper()
	program, err := elf.Open(path)
	if err != nil {
		t.Error(err)
		return
	}
	defer program.Close()
	for _, segment := range program.Progs {
		if segment.Type == elf.PT_INTERP {
			t.Errorf("%s is not static", filepath.Base(path))
		}
	}
	said, err := exec.CommandContext(t.Context(), path, "--version").CombinedOutput()
	if want := "version " + version(t); err != nil || !strings.Contains(string(said), want) {
		t.Errorf("%s --version: %v, %q; want %q", filepath.Base(path), err, said, want)
	}
}

func TestTheImagesHavePinnedBasesAndNoRootUser(t *testing.T) {
	stages := dockerfile(t)
	names := map[string]instructions.Stage{}
	for _, stage := range stages {
		if _, own := names[stage.BaseName]; !own && !pinned.MatchString(stage.BaseName) {
			t.Errorf("Dockerfile: %s rests on %s, which is not pinned", stage.Name, stage.BaseName)
		}
		names[stage.Name] = stage
	}
	if last := stages[len(stages)-1].Name; last != "consignwatch" {
		t.Errorf("the image that is built unless one is named is %s, want consignwatch", last)
	}
	for name, stage := range names {
		for _, command := range stage.Commands {
			if _, ok := command.(*instructions.EntrypointCommand); ok {
				t.Errorf("%s has an ENTRYPOINT: which program runs says whoever starts it", name)
			}
		}
	}
	user := ""
	for _, command := range names["base"].Commands {
		if u, ok := command.(*instructions.UserCommand); ok {
			user = u.User
		}
	}
	if !regexp.MustCompile(`^[1-9][0-9]*:[1-9][0-9]*$`).MatchString(user) {
		t.Errorf("the images run as %q: want numbers, which a cluster can see are not root's", user)
	}
}

// The images are built with the Go version of go.mod, or a later patch release.
func TestTheImagesAreBuiltWithTheGoOfTheModule(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(root, "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	module := regexp.MustCompile(`(?m)^go (\d+\.\d+)\.(\d+)$`).FindSubmatch(text)
	image := regexp.MustCompile(`^golang:(\d+\.\d+)\.(\d+)-`).FindStringSubmatch(dockerfile(t)[0].BaseName)
	if module == nil || image == nil || string(module[1]) != image[1] || string(module[2]) > image[2] {
		t.Errorf("go.mod wants %s, the Dockerfile has %s", module[0], dockerfile(t)[0].BaseName)
	}
}

// Every program that a service of ours runs is in the image that it runs in.
func TestEveryServiceOfOursHasItsProgram(t *testing.T) {
	programs, simulator := built(t)
	folders := map[string]string{"consignwatch": programs, "simulator": simulator}
	p := stack(t)
	checked := 0
	for _, name := range slices.Sorted(maps.Keys(p.Services)) {
		s := p.Services[name]
		if s.Build == nil {
			continue
		}
		checked++
		needed := []string{s.Command[0]}
		if s.HealthCheck != nil { // what only prepares others, and ends, has none
			needed = append(needed, s.HealthCheck.Test[1])
		}
		for _, program := range needed {
			if _, err := os.Stat(filepath.Join(folders[s.Build.Target], "usr/local/bin", program)); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	if checked < 5 {
		t.Errorf("only %d services are ours", checked)
	}
}

// A failed step fails the build, and the error has its line.
func TestAFailedStepIsReportedWithItsLine(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"run":             {"FROM golang:1.26.8 AS x\nRUN false", "line 2 of the Dockerfile: RUN false: exit status 1"},
		"copy":            {"FROM golang:1.26.8 AS x\nCOPY nowhere ./", "line 2 of the Dockerfile: stat"},
		"unknown":         {"FROM golang:1.26.8 AS x\nVOLUME /x", "line 2 of the Dockerfile: a VOLUME is not known here"},
		"another's stage": {"FROM golang:1.26.8 AS x\nCOPY --from=y /x ./", `line 2 of the Dockerfile: there is no stage "y"`},
	} {
		stages, err := ParseDockerfile([]byte(c.text))
		if err != nil {
			t.Fatal(err)
		}
		b := &Builder{Context: t.TempDir(), Dir: t.TempDir(), Log: &bytes.Buffer{}}
		if _, err := b.Build(t.Context(), stages, "x"); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}
