package servers

import (
	"context"
	"path/filepath"
)

// AlertmanagerConfig says how Alertmanager runs.
type AlertmanagerConfig struct {
	ConfigFile string   // path of alertmanager.yml; paths in it are relative to its folder
	Flags      []string // added to the command line
}

// StartAlertmanager starts a single Alertmanager, without a cluster, with its
// storage below dir.
func StartAlertmanager(ctx context.Context, dir string, config AlertmanagerConfig) (*Process, error) {
	return StartHTTP(ctx, dir, HTTPServer{
		Name:       "Alertmanager",
		Executable: "alertmanager",
		Ready:      "/-/ready",
		// Alertmanager reads url_file and other secrets relative to its working
		// folder, and the rest relative to its config.
		WorkDir: filepath.Dir(config.ConfigFile),
		Args: func(address string) []string {
			return append([]string{
				"--web.listen-address=" + address,
				"--web.external-url=http://" + address,
				"--config.file=" + config.ConfigFile,
				"--storage.path=" + filepath.Join(dir, "data"),
				"--cluster.listen-address=",
			}, config.Flags...)
		},
	})
}
