package events_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/consignwatch/consignwatch/exporters/events"
	"github.com/consignwatch/consignwatch/pkg/exporter/exportertest"
)

// secret is what the tests use as a password, so that it can be looked for wherever something is printed.
const secret = "secretpassword"

// run runs the program to its end, and returns what it printed, without the escapes of the log.
func run(t *testing.T, args ...string) (code int, printed string) {
	t.Helper()
	var out strings.Builder
	code = events.App().Run(t.Context(), append(args, "--log.format", "json"), &out, &out, nil)
	return code, strings.NewReplacer(`\"`, `"`, `\n`, "\n").Replace(out.String())
}

// TestInvalidConfigurationsSayWhatIsWrongAndWhere starts the exporter with each file in testdata/invalid-config; its
// first line is the message that it must bring.
func TestInvalidConfigurationsSayWhatIsWrongAndWhere(t *testing.T) {
	exportertest.Invalid(t, events.App(), "testdata/invalid-config", 30, secret, nil)
}

// checkRejected checks that the exporter does not start with a configuration, and says why.
func checkRejected(t *testing.T, config, want string) {
	t.Helper()
	for _, mode := range [][]string{{"--config.check"}, {"--web.listen-address", "127.0.0.1:0"}} {
		code, got := run(t, append([]string{"--config.file", config}, mode...)...)
		if code != 1 || !strings.Contains(got, want) {
			t.Errorf("%v: exit code %d, printed:\n%s\nwant 1 and: %s", mode, code, got, want)
		}
		if strings.Contains(got, secret) {
			t.Errorf("the password was printed:\n%s", got)
		}
	}
}

// TestInvalidMappingsKeepTheExporterFromStarting does the same with the files of internal/mapping/testdata/invalid, each as the mapping
// of a configuration that is valid. Their first line holds the line number and the message.
func TestInvalidMappingsKeepTheExporterFromStarting(t *testing.T) {
	files, err := filepath.Glob("internal/mapping/testdata/invalid/*.yml")
	if err != nil || len(files) < 30 {
		t.Fatalf("%d files: %v", len(files), err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			first, _, _ := strings.Cut(string(text), "\n")
			dir := folder(t, map[string]string{
				"mapping.yml": string(text),
				"config.yml":  "kafka: {brokers: [\"localhost:9092\"]}\nmapping_file: mapping.yml\n" + anonymousScraper,
			})
			checkRejected(t, filepath.Join(dir, "config.yml"), filepath.Join(dir, "mapping.yml")+":"+strings.TrimPrefix(first, "# "))
		})
	}
}

// folder writes files into a new folder.
func folder(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// TestPathsAreRelativeToTheConfiguration names every file that a configuration can name by a relative path, while the
// working folder is another one.
func TestPathsAreRelativeToTheConfiguration(t *testing.T) {
	authority := newAuthority(t)
	certificate, key := authority.issue(t, "client")
	files := map[string]string{
		"password": secret, "token": secret, "ca.pem": authority.pem, "client.pem": certificate, "client.key": key,
		"mapping.yml": string(events.DefaultMapping()),
	}
	for name, sasl := range map[string]string{
		"password": "{mechanism: SCRAM-SHA-256, username: u, password_file: password}",
		"token":    "{mechanism: OAUTHBEARER, token_file: token}",
	} {
		t.Run(name, func(t *testing.T) {
			files["config.yml"] = fmt.Sprintf(`
kafka:
  brokers: ["localhost:9092"]
  tls: {ca_file: ca.pem, cert_file: client.pem, key_file: client.key}
  sasl: %s
mapping_file: mapping.yml
resume_from: prometheus
prometheus:
  url: https://prometheus:9090
  http: {basic_auth: {username: u, password_file: password}, tls_config: {ca_file: ca.pem}}
`, sasl)
			if code, out := run(t, "--config.file", filepath.Join(folder(t, files), "config.yml"), "--config.check"); code != 0 {
				t.Errorf("exit code %d, printed:\n%s", code, out)
			}
		})
	}
}

// TestNoSecretIsPrinted looks for the password wherever the exporter says something, while its brokers and its
// Prometheus do not answer.
func TestNoSecretIsPrinted(t *testing.T) {
	t.Parallel()
	r := exportertest.StartFile(t, events.App(), filepath.Join(folder(t, map[string]string{
		"password": secret,
		"config.yml": fmt.Sprintf(`
kafka:
  brokers: [%q]
  sasl: {mechanism: PLAIN, username: someone, password_file: password}
resume_from: prometheus
prometheus:
  url: http://%s
  http:
    basic_auth: {username: u, password: %s}
    http_headers: {X-Token: {secrets: [%s]}}
`, freeAddress(t), freeAddress(t), secret, secret),
	}), "config.yml"), "--log.level=debug")
	r.AwaitReady(t)
	_, config := r.Get(t, "/config")
	_, page := r.Get(t, "/metrics")
	_, landing := r.Get(t, "/")
	for what, text := range map[string]string{"/config": config, "/metrics": page, "/": landing, "the log": r.Log()} {
		if strings.Contains(text, secret) {
			t.Errorf("%s shows the password:\n%s", what, text)
		}
	}
	for _, want := range []string{"someone", "<secret>", "consign.order.placed"} {
		if !strings.Contains(config, want) {
			t.Errorf("/config does not show %q:\n%s", want, config)
		}
	}
}
