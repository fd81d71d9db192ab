package compose

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	"github.com/moby/patternmatcher"
	"github.com/moby/patternmatcher/ignorefile"
)

// ParseDockerfile parses a Dockerfile with the engine's own parser.
func ParseDockerfile(text []byte) ([]instructions.Stage, error) {
	parsed, err := parser.Parse(bytes.NewReader(text))
	if err != nil {
		return nil, err
	}
	stages, _, err := instructions.Parse(parsed.AST, nil)
	return stages, err
}

// Context copies the build context that an engine would get: files that are in git or untracked and not ignored, without those of .dockerignore.
func Context(ctx context.Context, folder, to string) error {
	command := exec.CommandContext(ctx, "git", "-C", folder, "ls-files", "--cached", "--others", "--exclude-standard", "-z")
	list, err := command.Output()
	if err != nil {
		return fmt.Errorf("list the files of %s: %w", folder, err)
	}
	ignored, err := os.Open(filepath.Join(folder, ".dockerignore"))
	if err != nil {
		return err
	}
	defer ignored.Close()
	patterns, err := ignorefile.ReadAll(ignored)
	if err != nil {
		return err
	}
	matcher, err := patternmatcher.New(patterns)
	if err != nil {
		return err
	}
	for name := range strings.SplitSeq(strings.TrimSuffix(string(list), "\x00"), "\x00") {
		if left, err := matcher.MatchesOrParentMatches(name); err != nil || left {
			if err != nil {
				return err
			}
			continue
		}
		if err := copyFile(filepath.Join(folder, name), filepath.Join(to, name)); err != nil && !os.IsNotExist(err) { // deleted, but not in a commit yet
			return err
		}
	}
	return nil
}

func copyFile(from, to string) error {
	source, err := os.Open(from)
	if err != nil {
		return err
	}
	defer source.Close()
	info, err := source.Stat()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	target, err := os.OpenFile(to, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, info.Mode().Perm())
	if err != nil {
		return err
	}
	if _, err := io.Copy(target, source); err != nil {
		_ = target.Close()
		return err
	}
	return target.Close()
}

// Builder executes the steps of a Dockerfile without an engine: the root of each stage is a folder. RUN lines run in a shell of this
// machine, with its Go in place of the base image's, and with WORKDIR and /out replaced by paths below the stage's folder.
type Builder struct {
	Context string    // source of COPY without --from
	Dir     string    // folder of the stages
	Log     io.Writer // output of the commands
	roots   map[string]string
}

// Build builds a stage and the stages that it depends on, and returns its folder.
func (b *Builder) Build(ctx context.Context, stages []instructions.Stage, name string) (string, error) {
	if b.roots == nil {
		b.roots = map[string]string{}
	}
	if done, ok := b.roots[name]; ok {
		return done, nil
	}
	i := slices.IndexFunc(stages, func(s instructions.Stage) bool { return s.Name == name })
	if i < 0 {
		return "", fmt.Errorf("there is no stage %q", name)
	}
	stage := stages[i]
	folder := filepath.Join(b.Dir, name)
	if slices.ContainsFunc(stages[:i], func(s instructions.Stage) bool { return s.Name == stage.BaseName }) {
		base, err := b.Build(ctx, stages, stage.BaseName)
		if err != nil {
			return "", err
		}
		if err := os.CopyFS(folder, os.DirFS(base)); err != nil {
			return "", err
		}
	} else if err := os.MkdirAll(folder, 0o755); err != nil {
		return "", err
	}
	work, env := "/", []string{}
	for _, command := range stage.Commands {
		var err error
		switch c := command.(type) {
		case *instructions.WorkdirCommand:
			work = path.Join(work, c.Path)
			err = os.MkdirAll(filepath.Join(folder, work), 0o755)
		case *instructions.ArgCommand:
			for _, arg := range c.Args {
				if arg.Value != nil {
					env = append(env, arg.Key+"="+*arg.Value)
				}
			}
		case *instructions.CopyCommand:
			err = b.copy(ctx, stages, c, folder, work)
		case *instructions.RunCommand:
			err = b.run(ctx, strings.Join(c.CmdLine, " "), folder, work, env)
		case *instructions.UserCommand, *instructions.CmdCommand: // only for starting the container
		default:
			err = fmt.Errorf("a %s is not known here", command.Name())
		}
		if err != nil {
			return "", fmt.Errorf("line %d of the Dockerfile: %w", command.Location()[0].Start.Line, err)
		}
	}
	b.roots[name] = folder
	return folder, nil
}

func (b *Builder) copy(ctx context.Context, stages []instructions.Stage, c *instructions.CopyCommand, folder, work string) error {
	from := b.Context
	if c.From != "" {
		var err error
		if from, err = b.Build(ctx, stages, c.From); err != nil {
			return err
		}
	}
	to := c.DestPath
	if !path.IsAbs(to) {
		to = path.Join(work, to) + "/"
	}
	for _, source := range c.SourcePaths {
		source = filepath.Join(from, source)
		info, err := os.Stat(source)
		if err != nil {
			return err
		}
		if !info.IsDir() {
			err = copyFile(source, filepath.Join(folder, to, filepath.Base(source)))
		} else {
			err = filepath.WalkDir(source, func(p string, d fs.DirEntry, err error) error {
				if err != nil || d.IsDir() {
					return err
				}
				relative, err := filepath.Rel(source, p)
				if err != nil {
					return err
				}
				return copyFile(p, filepath.Join(folder, to, relative))
			})
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (b *Builder) run(ctx context.Context, line, folder, work string, env []string) error {
	line = strings.ReplaceAll(line, "=/out", "="+filepath.Join(folder, "out"))
	command := exec.CommandContext(ctx, "sh", "-c", line)
	command.Dir, command.Env = filepath.Join(folder, work), append(os.Environ(), env...)
	command.Stdout, command.Stderr = b.Log, b.Log
	if err := command.Run(); err != nil {
		return fmt.Errorf("RUN %s: %w", line, err)
	}
	return nil
}
