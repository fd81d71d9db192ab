package quota

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/consignwatch/consignwatch/pkg/demo/servers"
)

func opened(t *testing.T, config Config) *Disk {
	t.Helper()
	d, err := Open(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d
}

func usage(t *testing.T, d *Disk) Usage {
	t.Helper()
	u, err := d.Usage()
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func fill(t *testing.T, d *Disk, share float64) {
	t.Helper()
	for {
		full, err := d.Fill(share)
		if err != nil {
			t.Fatal(err)
		}
		if full {
			return
		}
	}
}

func TestTheFolderHoldsNoMoreThanItsQuota(t *testing.T) {
	t.Parallel()
	d := opened(t, Config{Dir: t.TempDir(), Quota: 2 << 20})
	if err := d.Store("1.jpg", 5000); err != nil {
		t.Fatal(err)
	}
	if u := usage(t, d); u != (Usage{8192, 1}) { // whole blocks
		t.Errorf("used: %+v", u)
	}
	if err := d.Store("2.jpg", 2<<20); !errors.Is(err, ErrFull) {
		t.Errorf("more than the quota: %v", err)
	}
	if err := d.Store("2.jpg", 2<<20-8192); err != nil {
		t.Errorf("what is left: %v", err)
	}
	if err := d.Store("3.jpg", 1); !errors.Is(err, ErrFull) {
		t.Errorf("a byte more: %v", err)
	}
	for _, name := range []string{"../1.jpg", "a/b", "", "/x"} {
		if err := d.Store(name, 1); err == nil {
			t.Errorf("%q is accepted", name)
		}
	}
	if u := usage(t, d); u != (Usage{2 << 20, 2}) {
		t.Errorf("used: %+v", u)
	}
}

func TestTheOldestImagesAreTrimmed(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	d := opened(t, Config{Dir: dir, Quota: 1 << 20})
	for i := range 10 {
		name := fmt.Sprintf("%d.jpg", i)
		if err := d.Store(name, 100_000); err != nil {
			t.Fatal(err)
		}
		age := time.Now().Add(time.Duration(i-20) * time.Hour)
		if err := os.Chtimes(filepath.Join(dir, "images", name), age, age); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.Trim(0.5); err != nil {
		t.Fatal(err)
	}
	left, err := os.ReadDir(filepath.Join(dir, "images"))
	if err != nil {
		t.Fatal(err)
	}
	if len(left) != 5 || left[0].Name() != "5.jpg" {
		t.Errorf("left: %v", left)
	}
}

func TestBallastFillsExactlyAndGoes(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	config := Config{Dir: dir, Quota: 5 << 20}
	d := opened(t, config)
	if err := d.Store("1.jpg", 100_000); err != nil {
		t.Fatal(err)
	}
	before := usage(t, d)
	for range 2 {
		fill(t, d, 0.97)
		if share := float64(usage(t, d).Bytes) / (5 << 20); share < 0.969 || share > 0.97 {
			t.Errorf("%.4f is used", share)
		}
	}
	// What a life that was killed left behind goes at the next start.
	next := opened(t, config)
	if u := usage(t, next); u != before {
		t.Errorf("used at the next start: %+v, before the ballast %+v", u, before)
	}
	fill(t, d, 0.97)
	for range 2 {
		if err := d.Clear(); err != nil {
			t.Fatal(err)
		}
	}
	if u := usage(t, d); u != before {
		t.Errorf("used: %+v, before the ballast %+v", u, before)
	}
}

func TestBadConfigurationsAreRefused(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		config Config
		want   string
	}{
		{Config{Dir: t.TempDir(), Quota: 1000}, "at least 1048576"},
		{Config{Dir: t.TempDir(), Textfile: "disk.txt"}, "end in .prom"},
		{Config{Dir: file}, "not a directory"},
		{Config{Dir: t.TempDir(), Textfile: file + "/disk.prom"}, "not a directory"},
	} {
		if _, err := Open(test.config); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%+v: %v, want %q", test.config, err, test.want)
		}
	}
}

func TestTheReportGoesWithTheDisk(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "new", "disk.prom")
	d, err := Open(Config{Dir: t.TempDir(), Textfile: path})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Errorf("no report at the beginning: %v", err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a report is left: %v", err)
	}
}

// node_exporter exposes the folder beside the host's file systems, in the same families, without a complaint.
func TestNodeExporterShowsTheFolder(t *testing.T) {
	t.Parallel()
	textfiles, logs := t.TempDir(), t.TempDir()
	d := opened(t, Config{Dir: t.TempDir(), Quota: 4 << 20, Textfile: filepath.Join(textfiles, "platform-images.prom")})
	node, err := servers.StartNodeExporter(t.Context(), logs, "--collector.textfile.directory="+textfiles)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = node.Kill() })
	log := filepath.Join(logs, "node_exporter.log")
	before, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	page := func() map[string]*dto.MetricFamily {
		t.Helper()
		response, err := http.Get(node.URL() + "/metrics")
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		if err != nil {
			t.Fatal(err)
		}
		if response.StatusCode != http.StatusOK {
			t.Fatalf("%s: %s", response.Status, body)
		}
		parser := expfmt.NewTextParser(model.UTF8Validation)
		families, err := parser.TextToMetricFamilies(strings.NewReader(string(body)))
		if err != nil {
			t.Fatal(err)
		}
		return families
	}
	ours := func(family *dto.MetricFamily) (value float64, others int) {
		value = -1
		for _, m := range family.GetMetric() {
			labels := map[string]string{}
			for _, l := range m.GetLabel() {
				labels[l.GetName()] = l.GetValue()
			}
			if labels["mountpoint"] != "/srv/platform/images" {
				others++
				continue
			}
			if labels["device"] != "platform-images" || labels["fstype"] != "quota" {
				t.Errorf("labels: %v", labels)
			}
			value = m.GetGauge().GetValue()
		}
		return value, others
	}
	families := page()
	if n := families["node_textfile_scrape_error"].GetMetric()[0].GetGauge().GetValue(); n != 0 {
		t.Error("the textfile cannot be read")
	}
	for _, s := range d.samples() {
		family := families[s.name]
		value, others := ours(family)
		if value != float64(s.value) || others == 0 {
			t.Errorf("%s: %g, want %d, beside %d of the host", s.name, value, s.value, others)
		}
		if family.GetHelp() != s.help || family.GetType() != dto.MetricType_GAUGE {
			t.Errorf("%s: %s, %q", s.name, family.GetType(), family.GetHelp())
		}
	}
	fill(t, d, 0.97)
	families = page()
	avail, _ := ours(families["node_filesystem_avail_bytes"])
	size, _ := ours(families["node_filesystem_size_bytes"])
	if share := 1 - avail/size; share < 0.96 || share > 0.98 {
		t.Errorf("%.3f is used", share)
	}
	after, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	if complaints := strings.TrimPrefix(string(after), string(before)); complaints != "" { // those at its start are of the host
		t.Errorf("node_exporter complains:\n%s", complaints)
	}
}
