package servers

import "context"

// StartNodeExporter starts a node_exporter for this host, with further flags.
func StartNodeExporter(ctx context.Context, dir string, flags ...string) (*Process, error) {
	return StartHTTP(ctx, dir, HTTPServer{
		Name:       "node_exporter",
		Executable: "node_exporter",
		Ready:      "/metrics",
		Args:       func(address string) []string { return append([]string{"--web.listen-address=" + address}, flags...) },
	})
}
