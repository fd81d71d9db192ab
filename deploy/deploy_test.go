// Package deploy_test holds what deploy gives to people without containers, examples of configurations and units of systemd, against the
// programs that they are for.
package deploy_test

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/coreos/go-systemd/v22/unit"

	"github.com/consignwatch/consignwatch/exporters/business"
	"github.com/consignwatch/consignwatch/exporters/events"
	"github.com/consignwatch/consignwatch/exporters/integration"
	"github.com/consignwatch/consignwatch/exporters/system"
	"github.com/consignwatch/consignwatch/pkg/alerting/ack/daemon"
	"github.com/consignwatch/consignwatch/pkg/demo/servers/serverstest"
	"github.com/consignwatch/consignwatch/pkg/executable"
	"github.com/consignwatch/consignwatch/pkg/exporter/web"
)

// programs are those that have a unit and an example, by the name of both.
func programs() map[string]web.App {
	return map[string]web.App{
		"business-exporter": business.App(), "system-exporter": system.App(), "integration-exporter": integration.App(), "event-exporter": events.App(), "ackd": daemon.App(),
	}
}

// credentials are the secrets that a configuration names, as systemd hands them over.
var credentials = regexp.MustCompile(`/run/credentials/([a-z.-]+)/([a-z-]+)`)

func TestEveryExampleIsAccepted(t *testing.T) {
	alertmanager, err := filepath.Abs("../alertmanager")
	if err != nil {
		t.Fatal(err)
	}
	for name, app := range programs() {
		text := read(t, filepath.Join("examples", name+".yml"))
		dir := t.TempDir()
		for _, found := range credentials.FindAllStringSubmatch(text, -1) {
			secret := "a-secret-of-some-length"
			if strings.HasSuffix(found[2], "-dsn") {
				secret = "consignwatch:" + secret + "@tcp(db.internal:3306)/platform"
			}
			write(t, filepath.Join(dir, found[2]), secret)
			text = strings.ReplaceAll(text, found[0], filepath.Join(dir, found[2]))
		}
		text = strings.ReplaceAll(text, "/etc/consignwatch/alertmanager", alertmanager)
		file := filepath.Join(dir, name+".yml")
		write(t, file, text)
		var out, errs bytes.Buffer
		if status := app.Main([]string{"--config.file=" + file, "--config.check"}, &out, &errs); status != 0 {
			t.Errorf("%s: status %d\n%s%s", name, status, out.String(), errs.String())
		}
	}
}

func TestTheExampleOfPrometheusIsAccepted(t *testing.T) {
	promtool, err := executable.Find("promtool")
	if err != nil {
		t.Fatal(err)
	}
	rules, err := filepath.Abs("../rules")
	if err != nil {
		t.Fatal(err)
	}
	serverstest.Inputs(t, "../rules/recording/*.yml", "../rules/alerts/*.yml")
	file := filepath.Join(t.TempDir(), "prometheus.yml")
	write(t, file, strings.ReplaceAll(read(t, "examples/prometheus.yml"), "/etc/consignwatch/rules", rules))
	said, err := exec.CommandContext(t.Context(), promtool, "check", "config", file).CombinedOutput()
	if err != nil || strings.Count(string(said), "SUCCESS: ") < 10 {
		t.Errorf("%v\n%s", err, said)
	}
}

// A unit hands over what its example names, and gives its program no more than it needs.
func TestUnitsAreHardenedAndFitTheExamples(t *testing.T) {
	for name := range programs() {
		file := "consignwatch-" + name + ".service"
		options := options(t, filepath.Join("systemd", file))
		var handed, named []string
		for _, credential := range options["LoadCredential"] {
			id, _, _ := strings.Cut(credential, ":")
			handed = append(handed, id)
		}
		for _, found := range credentials.FindAllStringSubmatch(read(t, filepath.Join("examples", name+".yml")), -1) {
			if found[1] != file {
				t.Errorf("examples/%s.yml names a credential of %s", name, found[1])
			}
			named = append(named, found[2])
		}
		for _, found := range regexp.MustCompile(`%d/(\S+)`).FindAllStringSubmatch(options["ExecStart"][0], -1) {
			named = append(named, found[1])
		}
		slices.Sort(handed)
		slices.Sort(named)
		if !slices.Equal(handed, slices.Compact(named)) {
			t.Errorf("%s hands over %q, and the example names %q", file, handed, named)
		}
		for key, want := range map[string]string{
			"DynamicUser": "yes", "ProtectSystem": "strict", "ProtectHome": "yes", "NoNewPrivileges": "yes", "PrivateDevices": "yes", "CapabilityBoundingSet": "",
			"Restart": "always", "ExecReload": "/bin/kill -HUP $MAINPID", "Type": "exec", "WantedBy": "multi-user.target",
		} {
			if got := strings.Join(options[key], " "); got != want {
				t.Errorf("%s: %s=%s, want %s", file, key, got, want)
			}
		}
		if want := "--config.file=/etc/consignwatch/" + name + ".yml"; !strings.HasSuffix(options["ExecStart"][0], want) {
			t.Errorf("%s starts %s, want %s", file, options["ExecStart"][0], want)
		}
	}
}

// TestRunbooksNameTheUnits: a command of a runbook that names a unit of ours can be pasted.
func TestRunbooksNameTheUnits(t *testing.T) {
	unitOf := regexp.MustCompile(`(?:systemctl [a-z]+|journalctl -u) (\S+)`)
	runbooks, err := filepath.Glob("../docs/runbooks/*.md")
	if err != nil || len(runbooks) == 0 {
		t.Fatalf("%d runbooks, %v", len(runbooks), err)
	}
	named := 0
	for _, file := range runbooks {
		for _, m := range unitOf.FindAllStringSubmatch(read(t, file), -1) {
			name, ours := strings.CutPrefix(strings.TrimSuffix(m[1], ".service"), "consignwatch-")
			if _, known := programs()[name]; known != ours {
				t.Errorf("%s: %q: there is no such unit in deploy/systemd", file, m[0])
			} else if known {
				named++
			}
		}
	}
	if named == 0 {
		t.Error("no runbook names a unit")
	}
}

// systemd itself reads the units, and says how much they let through: 0 is nothing, 10 is all.
func TestSystemdAcceptsTheUnits(t *testing.T) {
	analyze, err := exec.LookPath("systemd-analyze")
	if errors.Is(err, exec.ErrNotFound) {
		t.Log("there is no systemd here: TestUnitsAreHardenedAndFitTheExamples reads the units all the same")
		return
	}
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	exposure := regexp.MustCompile(`Overall exposure level for \S+: 1\.\d `)
	start := regexp.MustCompile(`ExecStart=\S+`)
	dir := t.TempDir()
	for name := range programs() {
		file := filepath.Join(dir, "consignwatch-"+name+".service")
		// It wants the program to be there, which it is where the unit is installed.
		write(t, file, start.ReplaceAllString(read(t, filepath.Join("systemd", filepath.Base(file))), "ExecStart="+program))
		if said, err := exec.CommandContext(t.Context(), analyze, "verify", "--man=no", file).CombinedOutput(); err != nil || len(said) > 0 {
			t.Errorf("systemd-analyze verify: %v\n%s", err, said)
		}
		said, err := exec.CommandContext(t.Context(), analyze, "security", "--offline=yes", "--no-pager", file).CombinedOutput()
		if err != nil || !exposure.Match(said) {
			t.Errorf("systemd-analyze security: %v, want an exposure below 2\n%s", err, said[max(0, len(said)-200):])
		}
	}
}

func options(t *testing.T, file string) map[string][]string {
	t.Helper()
	read, err := unit.DeserializeOptions(strings.NewReader(read(t, file)))
	if err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	all := map[string][]string{}
	for _, option := range read {
		all[option.Name] = append(all[option.Name], option.Value)
	}
	return all
}

func read(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
