package demo

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/consignwatch/consignwatch/pkg/dashboards"
	"github.com/consignwatch/consignwatch/pkg/demo/statefile"
	"github.com/consignwatch/consignwatch/pkg/executable"
)

// standIn is the environment variable that makes this test binary a fake of Grafana, which cannot be built from a Go module: it reads its configuration,
// and serves the provisioned files. It cannot show whether a real Grafana accepts them.
const standIn = "CONSIGNWATCH_TEST_GRAFANA"

func grafanaStandIn() int {
	config := ""
	for _, arg := range os.Args {
		if file, is := strings.CutPrefix(arg, "--config="); is {
			config = file
		}
	}
	text, err := os.ReadFile(config)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	setting := func(name string) string {
		match := regexp.MustCompile(`(?m)^` + name + ` = (.*)$`).FindSubmatch(text)
		if match == nil {
			fmt.Fprintf(os.Stderr, "%s: no %s\n", config, name)
			os.Exit(1)
		}
		return string(match[1])
	}
	http.HandleFunc("/api/health", func(http.ResponseWriter, *http.Request) {})
	http.Handle("/provisioning/", http.StripPrefix("/provisioning/", http.FileServer(http.Dir(setting("provisioning")))))
	http.HandleFunc("/home", func(w http.ResponseWriter, r *http.Request) {
		http.ServeFile(w, r, setting("default_home_dashboard_path"))
	})
	fmt.Fprintln(os.Stderr, http.ListenAndServe(net.JoinHostPort(setting("http_addr"), setting("http_port")), nil))
	return 1
}

func TestAnInstalledGrafanaShowsTheDashboardsOfThisDemo(t *testing.T) {
	home := t.TempDir()
	for _, folder := range []string{"bin", "conf"} {
		if err := os.Mkdir(filepath.Join(home, folder), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for file, text := range map[string]string{"conf/defaults.ini": "", "bin/grafana": fmt.Sprintf("#!/bin/sh\n%s=1 exec '%s' \"$@\"\n", standIn, self)} {
		if err := os.WriteFile(filepath.Join(home, file), []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv(executable.FolderVariable, filepath.Join(home, "bin"))
	files, err := dashboards.Files()
	if err != nil {
		t.Fatal(err)
	}
	var j journal
	_, prometheus := j.fake(prometheusPart)
	_, alertmanager := j.fake(alertmanagerPart)
	config := Config{Dashboards: files, StateFile: filepath.Join(t.TempDir(), "state.json")}
	ctx, cancel := context.WithCancel(t.Context())
	lines, ended := background(t, ctx, config, append([]part{prometheus, alertmanager}, grafanaParts(config)...))
	await(t, lines, "All is up")
	state, err := statefile.Read(config.StateFile)
	if err != nil {
		t.Fatal(err)
	}
	grafana, _ := state.Part(grafanaPart)
	get := func(path string) (text string, object map[string]any) {
		response, err := http.Get(grafana.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		if err != nil || response.StatusCode != http.StatusOK {
			t.Fatalf("%s: %s %v", path, response.Status, err)
		}
		if err := json.Unmarshal(body, &object); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		return string(body), object
	}
	if text, _ := get("/provisioning/datasources/demo.yml"); !strings.Contains(text, `"url":"http://127.0.0.1:1"`) || !strings.Contains(text, `"timeInterval":"2s"`) {
		t.Errorf("the data sources are %s", text)
	}
	text, _ := get("/provisioning/dashboards/demo.yml")
	folder := regexp.MustCompile(`"path":"([^"]+)"`).FindStringSubmatch(text)
	if folder == nil || !strings.Contains(text, `"foldersFromFilesStructure":true`) {
		t.Fatalf("the dashboards come from %s", text)
	}
	if _, err := os.Stat(filepath.Join(folder[1], "Business", "live-sale.json")); err != nil {
		t.Error(err)
	}
	if _, home := get("/home"); home["uid"] != "consignwatch-overview" {
		t.Errorf("it opens with %v", home["uid"])
	}
	cancel()
	if err := ended(); err != nil {
		t.Errorf("Run = %v", err)
	}
}

func TestWithoutAGrafanaTheDemoSaysSo(t *testing.T) {
	var j journal
	_, first := j.fake("first")
	lines, ended := background(t, t.Context(), Config{Dashboards: map[string][]byte{}, Duration: 1}, []part{first})
	await(t, lines, "No Grafana is installed here: docs/dashboards.md")
	if err := ended(); err != nil {
		t.Errorf("Run = %v", err)
	}
}
