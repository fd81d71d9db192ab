package bundleversion

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

func validBundle() fstest.MapFS {
	return fstest.MapFS{
		versionFile:   {Data: []byte("1.4.0\n")},
		changelogFile: {Data: []byte("# Changes\n\n## 1.4.0\n\n- New.\n\n## 1.3.2\n")},
		compatibilityFile: {Data: []byte(`- rules: "1.4"
  prometheus: {tested: 3.16.0, needs: "3.0"}
  alertmanager: {tested: 0.31.1, needs: "0.27"}
  grafana: {tested: "", needs: "12"}
`)},
	}
}

func TestRenderWritesTheVersionAndItsCompatibility(t *testing.T) {
	files, err := Render(validBundle())
	if err != nil {
		t.Fatal(err)
	}
	if want := "labels: {version: 1.4.0}\n"; !strings.HasSuffix(string(files[recordingFile]), want) {
		t.Errorf("the recording:\n%s\nwant %s at its end", files[recordingFile], want)
	}
	if want := "| 1.4 | tested with 3.16.0; 3.0 | tested with 0.31.1; 0.27 | not tested; 12 |\n"; !strings.HasSuffix(string(files[docFile]), want) {
		t.Errorf("the documentation:\n%s\nwant %s at its end", files[docFile], want)
	}
}

func TestRenderWritesWhichServersAreTested(t *testing.T) {
	root := validBundle()
	file := root[compatibilityFile]
	file.Data = append(file.Data, `  servers: [{name: MySQL, oldest: "8.0", tested: "9.7", by: make test-mysql, when: 2026-11-30, untested: "8.0"}, {name: Clerk, by: a fake, when: today, untested: all}]`...)
	files, err := Render(root)
	if err != nil {
		t.Fatal(err)
	}
	if want := "| MySQL | 8.0 and later | 9.7 | make test-mysql | 2026-11-30 | 8.0 |\n| Clerk |  | none | a fake | today | all |\n"; !strings.HasSuffix(string(files[docFile]), want) {
		t.Errorf("the documentation:\n%s\nwant %s at its end", files[docFile], want)
	}
}

func TestEachDisagreementIsReportedWithItsLine(t *testing.T) {
	for name, c := range map[string]struct{ file, old, new, want string }{
		"no version":                   {versionFile, "1.4.0", "v1.4", `rules/VERSION:1: "v1.4" is not a version like 1.4.0`},
		"a version without a change":   {versionFile, "1.4.0", "1.4.1", "rules/CHANGELOG.md:3: the newest version is 1.4.0, but rules/VERSION says 1.4.1"},
		"a change without a version":   {changelogFile, "## 1.4.0", "## 1.5.0\n\n## 1.4.0", "rules/CHANGELOG.md:3: the newest version is 1.5.0"},
		"no change at all":             {changelogFile, "## ", "### ", "rules/CHANGELOG.md:7: the newest version is 1.3.2"},
		"another version in the table": {compatibilityFile, `"1.4"`, `"1.3"`, `rules/compatibility.yml:1: 0.rules: the first entry must be about "1.4"`},
		"a version that is none":       {compatibilityFile, "3.16.0", "3.x", `rules/compatibility.yml:2: 0.prometheus.tested: "3.x" is not a version`},
		"nothing that it needs":        {compatibilityFile, `, needs: "12"`, "", "rules/compatibility.yml:4: 0.grafana: say what it needs"},
		"a server without a test": {compatibilityFile, `needs: "12"}`, `needs: "12"}
  servers: [{name: MySQL}]`, "rules/compatibility.yml:5: 0.servers.0: a server has name, by, when and untested"},
		"an unknown key": {compatibilityFile, "grafana", "graphana", `rules/compatibility.yml:4: unknown key "graphana"`},
	} {
		t.Run(name, func(t *testing.T) {
			root := validBundle()
			text := string(root[c.file].Data)
			changed := strings.Replace(text, c.old, c.new, 1)
			if changed == text {
				t.Fatalf("%s does not contain %q", c.file, c.old)
			}
			root[c.file] = &fstest.MapFile{Data: []byte(changed)}
			if _, err := Load(root); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want %s", err, c.want)
			}
		})
	}
	for _, file := range []string{changelogFile, compatibilityFile} {
		root := validBundle()
		delete(root, file)
		if _, err := Render(root); err == nil || !strings.Contains(err.Error(), file) {
			t.Errorf("without %s: error %v", file, err)
		}
	}
}

// TestTheTestedVersionsAreThosePinned compares the table with the modules that the servers are built from.
func TestTheTestedVersionsAreThosePinned(t *testing.T) {
	m, err := Load(os.DirFS("../../.."))
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		tested string
		module *regexp.Regexp
	}{
		"prometheus":   {m.Compatibility[0].Prometheus.Tested, regexp.MustCompile(`github\.com/prometheus/prometheus v0\.(\d)(\d\d)\.(\d+)`)},
		"alertmanager": {m.Compatibility[0].Alertmanager.Tested, regexp.MustCompile(`github\.com/prometheus/alertmanager v(\d+)\.(\d+)\.(\d+)`)},
	} {
		text, err := os.ReadFile("../../../tools/" + name + "/go.mod")
		if err != nil {
			t.Fatal(err)
		}
		pinned := c.module.FindSubmatch(text)
		if pinned == nil {
			t.Fatalf("tools/%s/go.mod pins no %s", name, name)
		}
		part := func(i int) string { return strings.TrimPrefix(string(pinned[i]), "0") }
		version := string(pinned[1]) + "." + part(2) + "." + string(pinned[3])
		if c.tested != version {
			t.Errorf("rules/compatibility.yml: tested with %s %s, but tools/%s/go.mod pins %s", name, c.tested, name, version)
		}
	}
}

// TestDocumentsSayTheVersionsOfTheTable holds that the documents name the versions of rules/compatibility.yml, and no others.
func TestDocumentsSayTheVersionsOfTheTable(t *testing.T) {
	m, err := Load(os.DirFS("../../.."))
	if err != nil {
		t.Fatal(err)
	}
	newest := m.Compatibility[0]
	minor := func(version string) string { return version[:strings.LastIndex(version, ".")] }
	wanted := []string{"Prometheus " + minor(newest.Prometheus.Tested), "Alertmanager " + minor(newest.Alertmanager.Tested)}
	for _, s := range newest.Servers {
		for _, version := range []string{s.Oldest, s.Tested} {
			if version != "" {
				wanted = append(wanted, s.Name+" "+version)
			}
		}
	}
	named := regexp.MustCompile(`\b(?:MariaDB|MySQL|Redis|Valkey|Kafka|Grafana|Prometheus|Alertmanager|node_exporter) \d+(?:\.\d+)*`)
	for document, complete := range map[string]bool{"README.md": true, "docs/install.md": true, "docs/dependencies.md": false, "docs/testing.md": false} {
		text, err := os.ReadFile("../../../" + document)
		if err != nil {
			t.Fatal(err)
		}
		said := named.FindAllString(string(text), -1)
		for _, version := range said {
			if !slices.Contains(wanted, version) {
				t.Errorf("%s says %s, which rules/compatibility.yml does not", document, version)
			}
		}
		for _, version := range wanted {
			if complete && !slices.Contains(said, version) {
				t.Errorf("%s does not say %s, as rules/compatibility.yml does", document, version)
			}
		}
	}
}
