package servers

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"

	"github.com/consignwatch/consignwatch/pkg/executable"
)

// Grafana is one that is installed on this machine. Nothing needs it.
type Grafana struct {
	home string   // has conf/defaults.ini and public
	path string   // executable
	args []string // that make it serve
}

// FindGrafana looks for a Grafana: the one that executable.Find knows, or one in a usual place of packages and archives.
func FindGrafana() (Grafana, bool) {
	return findGrafana("/usr/share/grafana", "/usr/local/share/grafana", "/opt/grafana", "/usr/local/grafana",
		"/opt/homebrew/opt/grafana/share/grafana", "/usr/local/opt/grafana/share/grafana")
}

func findGrafana(homes ...string) (Grafana, bool) {
	known := map[string]string{}
	for _, name := range []string{"grafana", "grafana-server"} {
		path, err := executable.Find(name)
		if err != nil {
			continue
		}
		known[name] = path
		// It is HOME/bin/grafana; what is in the PATH may be a link to it, or a script elsewhere.
		if real, err := filepath.EvalSymlinks(path); err == nil {
			homes = append([]string{filepath.Dir(filepath.Dir(real))}, homes...)
		}
	}
	for _, home := range homes {
		if _, err := os.Stat(filepath.Join(home, "conf", "defaults.ini")); err != nil {
			continue
		}
		for _, name := range []string{"grafana", "grafana-server"} {
			path := filepath.Join(home, "bin", name)
			if info, err := os.Stat(path); err != nil || info.IsDir() {
				path = known[name]
			}
			switch {
			case path == "":
			case name == "grafana":
				return Grafana{home: home, path: path, args: []string{"server"}}, true
			default:
				return Grafana{home: home, path: path}, true
			}
		}
	}
	return Grafana{}, false
}

// GrafanaConfig says what a private Grafana shows.
type GrafanaConfig struct {
	Provisioning string // folder with datasources and dashboards
	Home         string // file of the dashboard that it opens with
}

// grafanaINI gives anonymous users, who need access to the loopback interface, the role Viewer, and disables all requests to the
// internet.
const grafanaINI = `[server]
http_addr = %s
http_port = %s
[paths]
data = %s
logs = %[3]s/log
plugins = %[3]s/plugins
provisioning = %s
[dashboards]
default_home_dashboard_path = %s
[auth]
disable_login_form = true
[auth.anonymous]
enabled = true
org_role = Viewer
[analytics]
reporting_enabled = false
check_for_updates = false
check_for_plugin_updates = false
[plugins]
preinstall_disabled = true
[news]
news_feed_enabled = false
[snapshots]
external_enabled = false
[log]
mode = console
`

// Start starts it with everything of its own below dir.
func (g Grafana) Start(ctx context.Context, dir string, config GrafanaConfig) (*Process, error) {
	file := filepath.Join(dir, "grafana.ini")
	return startHTTP(ctx, dir, g.path, HTTPServer{
		Name: "Grafana", Executable: "grafana", Ready: "/api/health", WorkDir: g.home,
		Prepare: func(address string) error {
			host, port, err := net.SplitHostPort(address)
			if err != nil {
				return err
			}
			text := fmt.Sprintf(grafanaINI, host, port, filepath.Join(dir, "data"), config.Provisioning, config.Home)
			return os.WriteFile(file, []byte(text), 0o600)
		},
		Args: func(string) []string { return append(slices.Clone(g.args), "--homepath="+g.home, "--config="+file) },
	})
}
