package compose

import (
	"cmp"
	"context"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/compose-spec/compose-go/v2/types"

	"github.com/consignwatch/consignwatch/pkg/demo/servers"
)

// Machine runs the services of the stack as processes on this machine. Each volume is a folder. Each mounted file is a copy with two
// kinds of replacements: paths in the container by local paths, and host:port of services by addresses of the loopback interface. The
// rest of the files is the same as in containers.
type Machine struct {
	Project   *types.Project
	Dir       string
	Addresses map[string]string // by host:port in the stack's files
}

// Serve finds a free address for each host:port.
func (m *Machine) Serve(names ...string) error {
	if m.Addresses == nil {
		m.Addresses = map[string]string{}
	}
	for _, name := range names {
		address, err := servers.FreeAddress()
		if err != nil {
			return err
		}
		m.Addresses[name] = address
	}
	return nil
}

// paths returns the local paths of a service's mounts, by path in the container.
func (m *Machine) paths(service types.ServiceConfig) map[string]string {
	paths := map[string]string{}
	for _, mount := range service.Volumes {
		switch mount.Type {
		case types.VolumeTypeVolume:
			paths[mount.Target] = filepath.Join(m.Dir, "volumes", mount.Source)
		case types.VolumeTypeBind:
			if mount.Source == "/" { // the root of the host: no replacement
				paths[mount.Target] = "/"
				continue
			}
			paths[mount.Target] = filepath.Join(m.Dir, service.Name, "files", mount.Target)
		}
	}
	for _, mount := range service.Tmpfs {
		target, _, _ := strings.Cut(mount, ":")
		paths[target] = filepath.Join(m.Dir, service.Name, "tmpfs", target)
	}
	return paths
}

// Local replaces paths and addresses of the container by local ones.
func (m *Machine) Local(service types.ServiceConfig, text string) string {
	names := m.paths(service)
	maps.Copy(names, m.Addresses)
	// The longest first: it is the most specific match.
	order := slices.SortedFunc(maps.Keys(names), func(a, b string) int { return cmp.Or(len(b)-len(a), strings.Compare(a, b)) })
	var local strings.Builder
	for i := 0; i < len(text); {
		name := ""
		for _, n := range order {
			if strings.HasPrefix(text[i:], n) && isWholeName(text, i, i+len(n)) {
				name = n
				break
			}
		}
		if name == "" {
			local.WriteByte(text[i])
			i++
			continue
		}
		local.WriteString(names[name])
		i += len(name)
	}
	return local.String()
}

// isWholeName reports whether text[from:to] is a whole path or address, and no part of a longer one.
func isWholeName(text string, from, to int) bool {
	part := func(c byte) bool {
		return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '.' || c == '-' || c == '_'
	}
	path := text[from] == '/'
	before := from > 0 && (part(text[from-1]) || path && text[from-1] == '/')
	return !before && (to == len(text) || !part(text[to]))
}

// Mount creates the volumes of a service, and copies of its mounted files with replacements. It does not change the originals.
func (m *Machine) Mount(name string) (types.ServiceConfig, error) {
	service, ok := m.Project.Services[name]
	if !ok {
		return service, fmt.Errorf("there is no service %s", name)
	}
	paths := m.paths(service)
	for _, mount := range service.Volumes {
		if mount.Type != types.VolumeTypeBind || mount.Source == "/" {
			continue
		}
		if err := m.copy(service, mount.Source, paths[mount.Target]); err != nil {
			return service, fmt.Errorf("%s: %s: %w", name, mount.Target, err)
		}
		delete(paths, mount.Target)
	}
	for _, folder := range paths {
		if err := os.MkdirAll(folder, 0o700); err != nil {
			return service, err
		}
	}
	return service, nil
}

func (m *Machine) copy(service types.ServiceConfig, from, to string) error {
	return filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		relative, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		target := filepath.Join(to, relative)
		if d.IsDir() {
			return os.MkdirAll(target, 0o700)
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if err := os.MkdirAll(filepath.Dir(target), 0o700); err != nil {
			return err
		}
		return os.WriteFile(target, []byte(m.Local(service, string(text))), 0o600)
	})
}

// Start starts one of our programs, or a server of this machine, with the command of the service and further flags, which replace flags
// of the same name. It waits until the address responds.
func (m *Machine) Start(ctx context.Context, name, program, address, ready string, flags ...string) (*servers.Process, error) {
	service, err := m.Mount(name)
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(m.Dir, name)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	work := dir
	if service.WorkingDir != "" {
		work = filepath.Join(dir, "work")
		if err := os.MkdirAll(work, 0o700); err != nil {
			return nil, err
		}
		// Paths of volumes may be relative to the working directory.
		for target, path := range m.paths(service) {
			if relative, ok := strings.CutPrefix(target, service.WorkingDir+"/"); ok {
				if err := os.Symlink(path, filepath.Join(work, relative)); err != nil {
					return nil, err
				}
			}
		}
	}
	var args []string
	for _, arg := range service.Command {
		name, _, _ := strings.Cut(arg, "=")
		if !slices.ContainsFunc(flags, func(f string) bool { return strings.HasPrefix(f, name+"=") }) {
			args = append(args, m.Local(service, arg))
		}
	}
	if len(args) > 0 && !strings.HasPrefix(args[0], "-") { // the program; for other images it is the entrypoint
		args = args[1:]
	}
	return servers.Start(ctx, servers.Command{
		Name: name, Path: program, Args: append(args, flags...), Dir: work,
		LogFile: filepath.Join(dir, name+".log"), Address: address, Ready: responds(address, ready),
	})
}
