// Package compose checks the local stack of docker-compose.yml against the rules of docs/compose.md, and runs its services on this
// machine, without containers. It is in a module of its own, so that its dependencies stay out of the main module.
package compose

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/compose-spec/compose-go/v2/loader"
	"github.com/compose-spec/compose-go/v2/types"
)

// Load parses a compose file as docker compose does, with paths relative to the folder.
func Load(ctx context.Context, folder string, text []byte) (*types.Project, error) {
	return loader.LoadWithContext(ctx, types.ConfigDetails{
		WorkingDir:  folder,
		ConfigFiles: []types.ConfigFile{{Filename: filepath.Join(folder, "docker-compose.yml"), Content: text}},
		Environment: types.Mapping{},
	}, func(o *loader.Options) { o.SetProjectName("consignwatch", true) })
}

// An image has its full version, or a digest.
var pinned = regexp.MustCompile(`:v?[0-9]+\.[0-9]+\.[0-9]+(-[a-z0-9.]+)?$|@sha256:[0-9a-f]{64}$`)

// secretName matches names of environment variables that contain a secret; those that end in _FILE contain the path of one.
var secretName = regexp.MustCompile(`(?i)(PASSWORD|SECRET|TOKEN|APIKEY|API_KEY)`)

// Images with a user other than root.
var unprivileged = []string{"prom/prometheus", "prom/alertmanager", "prom/node-exporter", "grafana/grafana", "apache/kafka", "consignwatch", "consignwatch-simulator"}

// Mistakes returns which rules of docs/compose.md the project breaks, for a stack of the version.
func Mistakes(p *types.Project, version string) []string {
	var all []string
	for _, name := range slices.Sorted(maps.Keys(p.Services)) {
		s := p.Services[name]
		wrong := func(format string, args ...any) { all = append(all, name+": "+fmt.Sprintf(format, args...)) }
		once := startsOnce(p, name)
		checkImage(s, version, wrong)
		checkRights(s, wrong)
		checkNetwork(s, wrong)
		checkMounts(s, wrong)
		for key, value := range s.Environment {
			if secretName.MatchString(key) && !strings.HasSuffix(key, "_FILE") && value != nil && *value != "" {
				wrong("%s holds a secret: name a file", key)
			}
		}
		switch {
		case once && s.Restart != "" && s.Restart != "no":
			wrong("does its work once, and is started again and again")
		case !once && s.Restart != "unless-stopped":
			wrong("is not started again after a crash")
		case !once && (s.HealthCheck == nil || s.HealthCheck.Disable || len(s.HealthCheck.Test) < 2):
			wrong("has no health check")
		}
		for other, dependency := range s.DependsOn {
			want := types.ServiceConditionHealthy
			if startsOnce(p, other) {
				want = types.ServiceConditionCompletedSuccessfully
			}
			if dependency.Condition != want {
				wrong("waits for %s to be %s: want %s", other, dependency.Condition, want)
			}
		}
	}
	return append(all, unusedVolumes(p)...)
}

// startsOnce reports whether another service waits until this one has completed.
func startsOnce(p *types.Project, name string) bool {
	for _, s := range p.Services {
		if d, ok := s.DependsOn[name]; ok && d.Condition == types.ServiceConditionCompletedSuccessfully {
			return true
		}
	}
	return p.Services[name].Restart == ""
}

type wrongf func(format string, args ...any)

func checkImage(s types.ServiceConfig, version string, wrong wrongf) {
	switch {
	case !pinned.MatchString(s.Image):
		wrong("the image %s is not pinned by a version", s.Image)
	case s.Build != nil && !strings.HasSuffix(s.Image, ":"+version):
		wrong("the image %s is not of version %s", s.Image, version)
	}
}

func checkRights(s types.ServiceConfig, wrong wrongf) {
	if !s.ReadOnly {
		wrong("its file system is not read-only")
	}
	if !slices.Contains(s.CapDrop, "ALL") {
		wrong("keeps capabilities")
	}
	if !slices.Contains(s.SecurityOpt, "no-new-privileges:true") {
		wrong("may gain privileges")
	}
	if s.Privileged {
		wrong("is privileged")
	}
	// Secrets are owned by the user that reads them, and only root can change an owner.
	if len(s.CapAdd) > 0 && s.Name != "secrets" {
		wrong("has the capabilities %v", s.CapAdd)
	}
	image, _, _ := strings.Cut(s.Image, ":")
	root := s.User == "" && !slices.Contains(unprivileged, image) || s.User == "root" || strings.HasPrefix(s.User+":", "0:")
	if root && s.Name != "secrets" {
		wrong("runs as root")
	}
	// node_exporter needs the host's processes.
	if s.Pid != "" && s.Name != "node-exporter" {
		wrong("sees the processes of %s", s.Pid)
	}
}

func checkNetwork(s types.ServiceConfig, wrong wrongf) {
	for _, port := range s.Ports {
		if port.HostIP != "127.0.0.1" {
			wrong("the port %s is published beyond the loopback interface", port.Published)
		}
	}
	if s.NetworkMode != "" && s.NetworkMode != "none" && !strings.HasPrefix(s.NetworkMode, "service:") {
		wrong("uses the network %s", s.NetworkMode)
	}
}

func checkMounts(s types.ServiceConfig, wrong wrongf) {
	for _, mount := range s.Volumes {
		if mount.Type != types.VolumeTypeBind {
			continue
		}
		if !mount.ReadOnly {
			wrong("may write to %s", mount.Source)
		}
		if strings.Contains(mount.Source, "docker.sock") {
			wrong("can command the container engine")
		}
		if _, err := os.Stat(mount.Source); err != nil {
			wrong("mounts what is not there: %v", err)
		}
	}
}

func unusedVolumes(p *types.Project) []string {
	used := map[string]bool{}
	for _, s := range p.Services {
		for _, mount := range s.Volumes {
			if mount.Type == types.VolumeTypeVolume {
				used[mount.Source] = true
			}
		}
	}
	var all []string
	for _, name := range slices.Sorted(maps.Keys(p.Volumes)) {
		if !used[name] {
			all = append(all, "nobody uses the volume "+name)
		}
	}
	return all
}
