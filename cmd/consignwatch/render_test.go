package main

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/consignwatch/consignwatch/pkg/executable"
	"github.com/consignwatch/consignwatch/rules"
)

// bundleFolder is a folder with the shipped rules and the files that they are rendered from.
func bundleFolder(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	if err := os.CopyFS(filepath.Join(root, "rules"), rules.Files); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile("../../rules/thresholds.yml")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, "rules", "thresholds.yml"), text, 0o600); err != nil {
		t.Fatal(err)
	}
	return root
}

func TestTheShippedFilesAreWhatTheirDataSay(t *testing.T) {
	if status, stdout, stderr := runIn(t, "render", "--check", "--root", "../.."); status != 0 {
		t.Errorf("render --check ended with %d:\n%s%s", status, stdout, stderr)
	}
}

func TestRenderWritesWhatDiffersAndCheckSaysWhatDoes(t *testing.T) {
	root := bundleFolder(t)
	file := filepath.Join(root, "rules", "recording", "thresholds.yml")
	shipped, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(strings.Replace(string(shipped), "vector(0.25)", "vector(0.3)", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	status, stdout, stderr := runIn(t, "render", "--check", "--root", root)
	for _, want := range []string{
		"rules/recording/thresholds.yml:6: the file is out of date; run consignwatch render\n",
		"docs/thresholds.md:1: the file is missing; run consignwatch render\n",
	} {
		if status != 1 || !strings.Contains(stdout, want) {
			t.Errorf("render --check ended with %d:\n%s%s\nwant 1 and %s", status, stdout, stderr, want)
		}
	}
	status, stdout, stderr = runIn(t, "render", "--root", root)
	if want := "docs/thresholds.md\nrules/recording/thresholds.yml\n"; status != 0 || stdout != want {
		t.Errorf("render ended with %d, wrote:\n%s%s\nwant:\n%s", status, stdout, stderr, want)
	}
	if again, err := os.ReadFile(file); err != nil || string(again) != string(shipped) {
		t.Errorf("the file is not what is shipped: %v", err)
	}
	status, stdout, stderr = runIn(t, "render", "--root", root)
	if status != 0 || stdout != "" {
		t.Errorf("render of what is rendered ended with %d, wrote:\n%s%s", status, stdout, stderr)
	}
}

func TestRenderRefusesDataThatCannotBeRightAndWritesNothing(t *testing.T) {
	root := bundleFolder(t)
	if err := os.WriteFile(filepath.Join(root, "rules", "thresholds.yml"), []byte("groups: []\noverrides: {north: {nothing: {critical: 1}}}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	status, stdout, stderr := runIn(t, "render", "--root", root)
	if want := "rules/thresholds.yml:2: overrides.north.nothing: there is no threshold of this name"; status != 1 || stdout != "" || !strings.Contains(stderr, want) {
		t.Errorf("render ended with %d:\n%s%s\nwant 1 and %s", status, stdout, stderr, want)
	}
	if _, err := os.Stat(filepath.Join(root, "docs")); !os.IsNotExist(err) {
		t.Errorf("something was written: %v", err)
	}
}

// TestAThresholdOfOneClientMovesItsAlertAndNoOther overrides a threshold for one client, renders, and runs the pinned promtool for
// every alert about a client: the only difference is the one alert of that client.
func TestAThresholdOfOneClientMovesItsAlertAndNoOther(t *testing.T) {
	promtool, err := executable.Find("promtool")
	if err != nil {
		t.Fatal(err)
	}
	// Of north and south the shop is slow (9.75 seconds) and throttles (60%); of east it is not (4.85 seconds).
	all := []string{"ShopSlow north", "ShopSlow south", "ShopThrottled north", "ShopThrottled south"}
	for name, c := range map[string]struct {
		overrides string
		firing    []string
	}{
		"the default":            {"{}", all},
		"higher for one":         {"{north: {shop_latency_seconds: {critical: 10s}}}", without(all, "ShopSlow north")},
		"higher, yet not enough": {"{north: {shop_latency_seconds: {critical: 6s}}}", all},
		"lower for another":      {"{east: {shop_latency_seconds: {warning: 2s, critical: 3s}}}", append([]string{"ShopSlow east"}, all...)},
		"another value's":        {"{south: {shop_throttled_ratio: {critical: 0.7}}}", without(all, "ShopThrottled south")},
		"of a stranger":          {"{west: {shop_latency_seconds: {critical: 9s}}}", all},
	} {
		t.Run(name, func(t *testing.T) {
			root := bundleFolder(t)
			data := filepath.Join(root, "rules", "thresholds.yml")
			text, err := os.ReadFile(data)
			if err != nil {
				t.Fatal(err)
			}
			changed, is := strings.CutSuffix(string(text), "\noverrides: {}\n")
			if !is {
				t.Fatal("the shipped data have overrides: change this test")
			}
			changed += "\noverrides: " + c.overrides + "\n"
			if err := os.WriteFile(data, []byte(changed), 0o600); err != nil {
				t.Fatal(err)
			}
			if status, _, stderr := runIn(t, "render", "--root", root); status != 0 {
				t.Fatal(stderr)
			}
			cases := filepath.Join(root, "cases.yml")
			if err := os.WriteFile(cases, []byte(slowShops(c.firing)), 0o600); err != nil {
				t.Fatal(err)
			}
			if out, err := exec.CommandContext(t.Context(), promtool, "test", "rules", cases).CombinedOutput(); err != nil {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}

func without(all []string, one string) []string {
	var left []string
	for _, s := range all {
		if s != one {
			left = append(left, s)
		}
	}
	return left
}

// slowShops is a promtool test that expects exactly these alerts about clients, each as "NAME CLIENT".
func slowShops(firing []string) string {
	var b strings.Builder
	b.WriteString(`rule_files: [rules/recording/*.yml, rules/alerts/*.yml]
evaluation_interval: 15s
group_eval_order: [api, inventory, thresholds, thresholds_of_clients, shopify, delays]
tests:
  - interval: 15s
    input_series:
`)
	for client, within := range map[string]string{"north": "10.0", "south": "10.0", "east": "5.0"} {
		series := func(format string, args ...any) {
			fmt.Fprintf(&b, "      - {series: '%s', values: 0+%dx120}\n", fmt.Sprintf(format, args[:len(args)-1]...), args[len(args)-1])
		}
		fmt.Fprintf(&b, "      - {series: 'consign_shopify_up{client=%q,job=\"integration-exporter\",instance=\"a:9472\"}', values: 1x120}\n", client)
		for _, le := range []string{"2.0", "5.0", "10.0", "+Inf"} {
			n := 0
			if le == within || le == "10.0" || le == "+Inf" {
				n = 10
			}
			series(`consign_shopify_request_duration_seconds_bucket{client=%q,le=%q,job="integration-exporter",instance="a:9472"}`, client, le, n)
		}
		throttled := 6
		if client == "east" {
			throttled = 0
		}
		series(`consign_shopify_requests_total{client=%q,outcome="ok",job="integration-exporter",instance="a:9472"}`, client, 10-throttled)
		series(`consign_shopify_requests_total{client=%q,outcome="throttled",job="integration-exporter",instance="a:9472"}`, client, throttled)
	}
	b.WriteString(`    promql_expr_test:
      - expr: count by (alertname, client) (ALERTS{alertstate="firing",client!="_platform",priority=~"P0|P1",escalation=""})
        eval_time: 25m
        exp_samples:
`)
	for _, f := range firing {
		name, client, _ := strings.Cut(f, " ")
		fmt.Fprintf(&b, "          - {labels: '{alertname=%q,client=%q}', value: 1}\n", name, client)
	}
	return b.String()
}

// A reload while `render` writes reads the whole old file or the whole new one.
func TestRenderReplacesFilesInOneStep(t *testing.T) {
	root := bundleFolder(t)
	file := filepath.Join(root, "rules", "recording", "thresholds.yml")
	shipped, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	old := strings.Replace(string(shipped), "vector(0.25)", "vector(0.3)", 1)
	link := filepath.Join(root, "linked.yml") // the file is one elsewhere
	if err := os.WriteFile(link, []byte(old), 0o640); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(link, file); err != nil {
		t.Fatal(err)
	}
	reader, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	if status, stdout, stderr := runIn(t, "render", "--root", root); status != 0 {
		t.Fatalf("render ended with %d:\n%s%s", status, stdout, stderr)
	}
	if read, err := io.ReadAll(reader); err != nil || string(read) != old {
		t.Errorf("who began to read before it was written read %d bytes that are not the old ones: %v", len(read), err)
	}
	if now, err := os.ReadFile(link); err != nil || string(now) != string(shipped) {
		t.Errorf("the linked file is not what is rendered: %v", err)
	}
	if info, err := os.Stat(link); err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("the mode is %v, %v", info.Mode(), err)
	}
	if info, err := os.Lstat(file); err != nil || info.Mode()&os.ModeSymlink == 0 {
		t.Errorf("the link is %v, %v", info.Mode(), err)
	}
	for _, folder := range []string{root, filepath.Dir(file)} {
		if left, err := filepath.Glob(filepath.Join(folder, ".*.new-*")); err != nil || len(left) > 0 {
			t.Errorf("left behind: %v, %v", left, err)
		}
	}
}
