package compose

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/types"
	"go.yaml.in/yaml/v3"

	"github.com/consignwatch/consignwatch/pkg/executable"
	"github.com/consignwatch/consignwatch/simulator/infra/authority"
)

// Each configuration is accepted by the checker of its server.
func TestEveryConfigurationIsValid(t *testing.T) {
	m := &Machine{Project: stack(t), Dir: t.TempDir()}
	runSecrets(t, m)
	promtool, err := executable.Find("promtool")
	if err != nil {
		t.Fatal(err)
	}
	amtool, err := executable.Find("amtool")
	if err != nil {
		t.Fatal(err)
	}
	// Files that the simulator writes at its start.
	keys := filepath.Join(m.Dir, "volumes", "platform-external-services")
	for name, text := range map[string]string{"clerk.key": "k", "mandrill.key": "k", "north.token": "k",
		"clients.yml": "clients: [{slug: north, shopify: {domain: north.myshopify.com, token_file: north.token}}]\n"} {
		if err := os.WriteFile(filepath.Join(keys, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	api, err := authority.New(time.Now, "127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := api.Write(filepath.Join(m.Dir, "volumes", "platform-api")); err != nil {
		t.Fatal(err)
	}

	checked := 0
	for name := range m.Project.Services {
		s, err := m.Mount(name)
		if err != nil {
			t.Fatal(err)
		}
		config := ""
		for _, arg := range s.Command {
			if file, ok := strings.CutPrefix(arg, "--config.file="); ok {
				config = m.Local(s, file)
			}
		}
		if config == "" {
			continue
		}
		checked++
		var command *exec.Cmd
		switch name {
		case "prometheus":
			command = exec.CommandContext(t.Context(), promtool, "check", "config", config)
		case "alertmanager":
			command = exec.CommandContext(t.Context(), amtool, "check-config", config)
		default:
			command = ours(t, m, s, "--config.check")
		}
		if said, err := command.CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", name, err, said)
		}
	}
	if checked != 7 {
		t.Errorf("%d configurations were checked, want those of 5 programs of ours, of Prometheus and of Alertmanager", checked)
	}
}

// dataSources is a provisioning file of Grafana with its documented keys. Grafana ignores unknown keys, which are mistakes here.
type dataSources struct {
	APIVersion  int  `yaml:"apiVersion"`
	Prune       bool `yaml:"prune"`
	DataSources []struct {
		Name      string `yaml:"name"`
		UID       string `yaml:"uid"`
		Type      string `yaml:"type"`
		Access    string `yaml:"access"`
		URL       string `yaml:"url"`
		IsDefault bool   `yaml:"isDefault"`
		Editable  bool   `yaml:"editable"`
		JSONData  struct {
			HTTPMethod                 string `yaml:"httpMethod"`
			PrometheusType             string `yaml:"prometheusType"`
			TimeInterval               string `yaml:"timeInterval"`
			ManageAlerts               bool   `yaml:"manageAlerts"`
			AlertmanagerUID            string `yaml:"alertmanagerUid"`
			Implementation             string `yaml:"implementation"`
			HandleGrafanaManagedAlerts bool   `yaml:"handleGrafanaManagedAlerts"`
		} `yaml:"jsonData"`
	} `yaml:"datasources"`
}

type providers struct {
	APIVersion int `yaml:"apiVersion"`
	Providers  []struct {
		Name            string `yaml:"name"`
		OrgID           int    `yaml:"orgId"`
		Folder          string `yaml:"folder"`
		FolderUID       string `yaml:"folderUid"`
		Type            string `yaml:"type"`
		DisableDeletion bool   `yaml:"disableDeletion"`
		AllowUIUpdates  bool   `yaml:"allowUiUpdates"`
		UpdateInterval  int    `yaml:"updateIntervalSeconds"`
		Options         struct {
			Path                      string `yaml:"path"`
			FoldersFromFilesStructure bool   `yaml:"foldersFromFilesStructure"`
		} `yaml:"options"`
	} `yaml:"providers"`
}

func TestGrafanaIsProvisionedWithWhatTheStackHas(t *testing.T) {
	grafana := stack(t).Services["grafana"]
	var sources dataSources
	strict(t, filepath.Join(root, "deploy/grafana/provisioning/datasources/consignwatch.yml"), &sources)
	uids := map[string]string{}
	for _, d := range sources.DataSources {
		if name, ok := strings.CutPrefix(d.URL, "$"); !ok || grafana.Environment[name] == nil || *grafana.Environment[name] == "" {
			t.Errorf("the data source %s has the address %s, which the stack does not set", d.Name, d.URL)
		}
		uids[d.Type] = d.UID
		if d.Editable || d.Access != "proxy" {
			t.Errorf("the data source %s can be changed by hand, or is asked by browsers", d.Name)
		}
	}
	if len(sources.DataSources) != 2 || sources.APIVersion != 1 {
		t.Fatalf("%+v, want Prometheus and Alertmanager", sources)
	}
	source := sources.DataSources[0]
	if !source.IsDefault || source.JSONData.AlertmanagerUID != uids["alertmanager"] || source.JSONData.HTTPMethod != "POST" || sources.DataSources[1].JSONData.Implementation != "prometheus" {
		t.Errorf("Prometheus is not the default, or does not lead to Alertmanager: %+v", source)
	}
	var prometheus struct {
		Global struct {
			Interval string `yaml:"scrape_interval"`
		} `yaml:"global"`
	}
	lenient(t, filepath.Join(root, "deploy/compose/prometheus.yml"), &prometheus)
	if source.JSONData.TimeInterval != prometheus.Global.Interval || source.JSONData.TimeInterval == "" {
		t.Errorf("timeInterval is %q, and Prometheus scrapes every %q", source.JSONData.TimeInterval, prometheus.Global.Interval)
	}

	var boards providers
	strict(t, filepath.Join(root, "deploy/grafana/provisioning/dashboards/consignwatch.yml"), &boards)
	if len(boards.Providers) != 1 || boards.Providers[0].Folder != "" || boards.Providers[0].FolderUID != "" || !boards.Providers[0].Options.FoldersFromFilesStructure {
		t.Errorf("%+v: with foldersFromFilesStructure there is no folder to name", boards.Providers)
	}
	mounts := map[string]string{}
	for _, mount := range grafana.Volumes {
		mounts[mount.Target] = mount.Source
	}
	folder, _ := filepath.Abs(filepath.Join(root, "grafana-dashboards"))
	if at := boards.Providers[0].Options.Path; mounts[at] != folder {
		t.Errorf("dashboards are read from %s, where %q is mounted, want %s", at, mounts[at], folder)
	}
	if home := grafana.Environment["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]; home == nil || !strings.HasPrefix(*home, boards.Providers[0].Options.Path+"/") {
		t.Errorf("Grafana opens with %v", home)
	}
}

// Every secret that a file refers to is created by the stack, and no committed file contains a secret.
func TestSecretsStandInVolumesOnly(t *testing.T) {
	m := &Machine{Project: stack(t), Dir: t.TempDir()}
	runSecrets(t, m)
	named := regexp.MustCompile(`/run/secrets/[a-z/.-]+`)
	secret := regexp.MustCompile(`(?im)^\s*[a-z_]*(password|secret|token|api_key)[a-z_]*\s*[:=]\s*["']?[^\s"'#$&]`)
	seen := 0
	for name := range m.Project.Services {
		s, err := m.Mount(name)
		if err != nil {
			t.Fatal(err)
		}
		texts := append([]string{}, s.Command...)
		for _, value := range s.Environment {
			if value != nil {
				texts = append(texts, *value)
			}
		}
		for _, mount := range s.Volumes {
			if mount.Type == types.VolumeTypeBind && strings.HasSuffix(mount.Source, ".yml") {
				text, err := os.ReadFile(mount.Source)
				if err != nil {
					t.Fatal(err)
				}
				texts = append(texts, string(text))
				for _, line := range secret.FindAllString(string(text), -1) {
					if !strings.Contains(line, "_file:") && !strings.Contains(line, "token_interval") {
						t.Errorf("%s: %s", mount.Source, line)
					}
				}
			}
		}
		for _, path := range named.FindAllString(strings.Join(texts, "\n"), -1) {
			seen++
			if text, err := os.ReadFile(m.Local(s, path)); err != nil || len(bytes.TrimSpace(text)) < 16 {
				t.Errorf("%s: the secret %s is not made: %v", name, path, err)
			}
		}
	}
	if seen < 8 {
		t.Errorf("only %d secrets are named", seen)
	}
}

// Two stacks have no password in common.
func TestEachStackHasPasswordsOfItsOwn(t *testing.T) {
	a, b := &Machine{Project: stack(t), Dir: t.TempDir()}, &Machine{Project: stack(t), Dir: t.TempDir()}
	runSecrets(t, a)
	runSecrets(t, b)
	for _, name := range []string{"secrets-database/root", "secrets-database/business", "secrets-database/system", "secrets-database/integration", "secrets-system-exporter/valkey", "secrets-grafana/admin-password", "secrets-prometheus/event-exporter"} {
		first, second := files(t, filepath.Join(a.Dir, "volumes"))[filepath.Join(a.Dir, "volumes", name)], files(t, filepath.Join(b.Dir, "volumes"))[filepath.Join(b.Dir, "volumes", name)]
		if first == second || !regexp.MustCompile(`^[A-Za-z0-9]{32}\n$`).MatchString(first) {
			t.Errorf("%s: not random, or not letters and digits", name)
		}
	}
}

func strict(t *testing.T, file string, into any) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	decoder.KnownFields(true)
	if err := decoder.Decode(into); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
}

func lenient(t *testing.T, file string, into any) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err == nil {
		err = yaml.Unmarshal(text, into)
	}
	if err != nil {
		t.Fatalf("%s: %v", file, err)
	}
}
