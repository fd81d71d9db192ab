package compose

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/types"
)

const root = "../.."

func composeFile(t *testing.T) (folder string, text []byte) {
	t.Helper()
	folder, err := filepath.Abs(root)
	if err != nil {
		t.Fatal(err)
	}
	text, err = os.ReadFile(filepath.Join(folder, "docker-compose.yml"))
	if err != nil {
		t.Fatal(err)
	}
	return folder, text
}

func stack(t *testing.T) *types.Project {
	t.Helper()
	folder, text := composeFile(t)
	p, err := Load(t.Context(), folder, text)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func version(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, "VERSION"))
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(text))
}

func TestTheComposeFileKeepsTheDocumentedRules(t *testing.T) {
	for _, mistake := range Mistakes(stack(t), version(t)) {
		t.Error(mistake)
	}
}

// Each broken rule is reported, and nothing else.
func TestEachBrokenRuleIsReported(t *testing.T) {
	folder, text := composeFile(t)
	for name, c := range map[string]struct{ old, new, want string }{
		"latest":          {"image: prom/prometheus:v3.16.0", "image: prom/prometheus:latest", "prometheus: the image prom/prometheus:latest is not pinned by a version"},
		"half a version":  {"image: grafana/grafana:13.2.3", "image: grafana/grafana:13.2", "grafana: the image grafana/grafana:13.2 is not pinned by a version"},
		"another version": {"platform-sim:\n    <<: *simulator", "platform-sim:\n    <<: *simulator\n    image: consignwatch-simulator:0.0.9", "platform-sim: the image consignwatch-simulator:0.0.9 is not of version 0.1.0"},
		"all interfaces":  {`ports: ["127.0.0.1:3000:3000"]`, `ports: ["3000:3000"]`, "grafana: the port 3000 is published beyond the loopback interface"},
		"host network":    {"image: busybox:1.37.0\n    network_mode: none", "image: busybox:1.37.0\n    network_mode: host", "secrets: uses the network host"},
		"root":            {"image: axllent/mailpit:v1.31.2\n    user: \"65532:65532\"", "image: axllent/mailpit:v1.31.2", "mailpit: runs as root"},
		"root by number":  {"image: axllent/mailpit:v1.31.2\n    user: \"65532:65532\"", "image: axllent/mailpit:v1.31.2\n    user: \"0:0\"", "mailpit: runs as root"},
		"privileged":      {"image: axllent/mailpit:v1.31.2", "image: axllent/mailpit:v1.31.2\n    privileged: true", "mailpit: is privileged"},
		"capability":      {"image: axllent/mailpit:v1.31.2", "image: axllent/mailpit:v1.31.2\n    cap_add: [NET_ADMIN]", "mailpit: has the capabilities [NET_ADMIN]"},
		"processes":       {"image: axllent/mailpit:v1.31.2", "image: axllent/mailpit:v1.31.2\n    pid: host", "mailpit: sees the processes of host"},
		"writable":        {"image: axllent/mailpit:v1.31.2", "image: axllent/mailpit:v1.31.2\n    read_only: false", "mailpit: its file system is not read-only"},
		"all rights":      {"image: axllent/mailpit:v1.31.2", "image: axllent/mailpit:v1.31.2\n    cap_drop: []", "mailpit: keeps capabilities"},
		"new privileges":  {"image: axllent/mailpit:v1.31.2", "image: axllent/mailpit:v1.31.2\n    security_opt: []", "mailpit: may gain privileges"},
		"no health":       {"test: [CMD, /mailpit, readyz]", "disable: true", "mailpit: has no health check"},
		"never again":     {"image: axllent/mailpit:v1.31.2", "image: axllent/mailpit:v1.31.2\n    restart: \"no\"", "mailpit: is not started again after a crash"},
		"again and again": {"image: busybox:1.37.0", "image: busybox:1.37.0\n    restart: always", "secrets: does its work once, and is started again and again"},
		"a password":      {"GF_SECURITY_ADMIN_PASSWORD__FILE: /run/secrets/grafana/admin-password", "GF_SECURITY_ADMIN_PASSWORD: admin", "grafana: GF_SECURITY_ADMIN_PASSWORD holds a secret: name a file"},
		"too early":       {"valkey: {condition: service_healthy}", "valkey: {condition: service_started}", "platform-sim: waits for valkey to be service_started: want service_healthy"},
		"writes here":     {"./rules:/etc/prometheus/rules:ro", "./rules:/etc/prometheus/rules", "prometheus: may write to " + folder + "/rules"},
		"not there":       {"./rules:/etc/prometheus/rules:ro", "./nowhere:/etc/prometheus/rules:ro", "prometheus: mounts what is not there: stat " + folder + "/nowhere: no such file or directory"},
		"the engine":      {"./rules:/etc/prometheus/rules:ro", "/var/run/docker.sock:/var/run/docker.sock:ro", "prometheus: can command the container engine"},
		"unused volume":   {"\nvolumes:\n  mysql: {}", "\nvolumes:\n  old: {}\n  mysql: {}", "nobody uses the volume old"},
	} {
		t.Run(name, func(t *testing.T) {
			if bytes.Count(text, []byte(c.old)) != 1 {
				t.Fatalf("docker-compose.yml has %q %d times", c.old, bytes.Count(text, []byte(c.old)))
			}
			p, err := Load(t.Context(), folder, bytes.Replace(text, []byte(c.old), []byte(c.new), 1))
			if err != nil {
				t.Fatal(err)
			}
			got := Mistakes(p, "0.1.0")
			// Not every machine has the socket of the engine.
			got = slices.DeleteFunc(got, func(m string) bool { return strings.Contains(m, "mounts what is not there: stat /var/run/docker.sock") })
			if !slices.Equal(got, []string{c.want}) {
				t.Errorf("%q\nwant %q", got, c.want)
			}
		})
	}
}

// The loader refuses what docker compose refuses.
func TestTheLoaderRefusesWhatComposeRefuses(t *testing.T) {
	folder, text := composeFile(t)
	for name, c := range map[string]struct{ old, new string }{
		"an unknown key":     {"pid: host", "pids: host"},
		"an unknown service": {"database: {condition: service_completed_successfully}\n      valkey", "databank: {condition: service_completed_successfully}\n      valkey"},
		"an unknown volume":  {"- kafka:/var/lib/kafka/data", "- broker:/var/lib/kafka/data"},
	} {
		if bytes.Count(text, []byte(c.old)) != 1 {
			t.Fatalf("docker-compose.yml has %q %d times", c.old, bytes.Count(text, []byte(c.old)))
		}
		if _, err := Load(t.Context(), folder, bytes.Replace(text, []byte(c.old), []byte(c.new), 1)); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
