package servers

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
)

// PrometheusConfig says how Prometheus runs.
type PrometheusConfig struct {
	// Text returns the text of prometheus.yml, given the address that
	// Prometheus itself will listen on. Paths in it are relative to the folder
	// of the server.
	Text  func(address string) (string, error)
	Flags []string // added to the command line
}

// StartPrometheus starts Prometheus in the folder dir, with prometheus.yml and
// its storage there. It ingests start timestamps and exemplars, and can be
// reloaded by POST /-/reload after prometheus.yml has changed.
func StartPrometheus(ctx context.Context, dir string, config PrometheusConfig) (*Process, error) {
	file := filepath.Join(dir, "prometheus.yml")
	return StartHTTP(ctx, dir, HTTPServer{
		Name:       "Prometheus",
		Executable: "prometheus",
		Ready:      "/-/ready",
		Prepare: func(address string) error {
			text, err := config.Text(address)
			if err != nil {
				return fmt.Errorf("prometheus.yml: %w", err)
			}
			return os.WriteFile(file, []byte(text), 0o600)
		},
		Args: func(address string) []string {
			return append([]string{
				"--web.listen-address=" + address,
				"--web.external-url=http://" + address,
				"--web.enable-lifecycle",
				"--config.file=" + file,
				"--storage.tsdb.path=" + filepath.Join(dir, "data"),
				"--enable-feature=created-timestamp-zero-ingestion,exemplar-storage",
			}, config.Flags...)
		},
	})
}
