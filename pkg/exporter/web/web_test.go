package web_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/common/expfmt"

	"github.com/consignwatch/consignwatch/pkg/catalog"
	"github.com/consignwatch/consignwatch/pkg/executable"
	"github.com/consignwatch/consignwatch/pkg/exporter"
	"github.com/consignwatch/consignwatch/pkg/exporter/exportertest"
	"github.com/consignwatch/consignwatch/pkg/exporter/web"
	"github.com/consignwatch/consignwatch/pkg/golden"
	"github.com/consignwatch/consignwatch/pkg/yamlfile"
)

// config of the exporter under test.
type config struct {
	Items int `yaml:"items"`
}

type target struct {
	name    string
	collect func(ctx context.Context, sink *exporter.Sink) error
}

func (t target) Name() string                                           { return t.name }
func (t target) Collect(ctx context.Context, sink *exporter.Sink) error { return t.collect(ctx, sink) }

type targets []exporter.Target

func (targets) Name() string                 { return "stock" }
func (c targets) Targets() []exporter.Target { return c }
func (targets) Schedule() exporter.Schedule {
	return exporter.Schedule{Interval: time.Hour, Timeout: 30 * time.Minute}
}

// shop is an exporter whose configuration says how many items there are.
func shop(collect func(ctx context.Context, sink *exporter.Sink, items int) error) web.App {
	return web.App{Name: "shop-exporter", Description: "Items of a shop.", Port: 9999, Load: func(path string, _ *slog.Logger) (*exporter.Setup, error) {
		var c config
		f, err := yamlfile.Read(path, &c)
		if err != nil {
			return nil, err
		}
		if c.Items < 0 {
			return nil, f.Errorf("items", "cannot be negative: %d", c.Items)
		}
		client := catalog.Label{Name: "client", Pattern: `[a-z-]+`, MaxLength: 20, Limit: 1000}
		metrics, err := catalog.Shipped().ForExporter("shop-exporter").With(
			catalog.Metric{Name: "shop_items", Type: catalog.Gauge, Unit: catalog.Count, Help: "Items on the shelf.", Labels: []catalog.Label{client}},
			catalog.Metric{Name: "shop_visits_total", Type: catalog.Counter, Unit: catalog.Count, Help: "Visits.", Labels: []catalog.Label{client}},
			catalog.Metric{Name: "shop_wait_seconds", Type: catalog.Histogram, Unit: catalog.Seconds, Help: "Waits at the till.", Buckets: []float64{0.1, 1}},
		)
		return &exporter.Setup{
			Catalog: metrics, Sizes: catalog.SizesFor(10), Text: f.Text,
			Collectors: []exporter.Collector{targets{target{"shop", func(ctx context.Context, sink *exporter.Sink) error { return collect(ctx, sink, c.Items) }}}},
		}, err
	}}
}

func emitItems(_ context.Context, sink *exporter.Sink, items int) error {
	sink.Gauge("shop_items", float64(items), "north")
	return nil
}

func items(n float64) func(map[string]float64) bool {
	return func(s map[string]float64) bool { return s[`shop_items{client="north"}`] == n }
}

func TestScrapesAnswerWhileEveryTargetHangs(t *testing.T) {
	var calls atomic.Int32
	r := exportertest.Start(t, shop(func(ctx context.Context, _ *exporter.Sink, _ int) error {
		calls.Add(1)
		<-ctx.Done()
		return ctx.Err()
	}), "items: 1", "--web.max-requests=100") // beyond the limit, the oldest response that is being written is cut off
	var scrapes sync.WaitGroup
	for range 100 {
		scrapes.Go(func() {
			if status, body := r.Get(t, "/metrics"); status != http.StatusOK {
				t.Errorf("scrape: %d %s", status, body)
			}
		})
	}
	scrapes.Wait()
	if s := r.Series(t); s["consignwatch_config_last_reload_successful"] != 1 {
		t.Errorf("the scrape response lacks the exporter's own metrics: %v", s)
	}
	if n := calls.Load(); n != 1 {
		t.Errorf("100 scrapes caused %d collections, want the 1 of the schedule", n)
	}
}

func TestABadReloadKeepsTheOldConfigurationAndSaysSo(t *testing.T) {
	path := exportertest.WriteFile(t, "shop.yml", "items: 1")
	r := exportertest.StartFile(t, shop(emitItems), path, "--web.enable-lifecycle")
	before := r.Await(t, "one item", items(1))

	rewrite(t, path, "items: 1\nitem: 2")
	status, body := r.Do(t, http.MethodPost, "/-/reload")
	if want := path + `:2: unknown key "item"`; status != http.StatusInternalServerError || !strings.Contains(body, want) {
		t.Errorf("reload answered %d %q, want 500 and %q", status, body, want)
	}
	s := r.Series(t)
	if s["consignwatch_config_last_reload_successful"] != 0 || s[`shop_items{client="north"}`] != 1 {
		t.Errorf("after a failed reload: successful %v, items %v, want 0 and 1", s["consignwatch_config_last_reload_successful"], s[`shop_items{client="north"}`])
	}
	if s["consignwatch_config_last_reload_timestamp_seconds"] != before["consignwatch_config_last_reload_timestamp_seconds"] {
		t.Error("a failed reload moved the time of the configuration in force")
	}

	rewrite(t, path, "items: 3")
	if status, body := r.Do(t, http.MethodPost, "/-/reload"); status != http.StatusOK {
		t.Errorf("reload answered %d %q", status, body)
	}
	s = r.Await(t, "three items", items(3))
	if s["consignwatch_config_last_reload_successful"] != 1 {
		t.Error("a good reload is not reported")
	}
	for name := range before {
		if _, still := s[name]; still && strings.HasPrefix(name, "consignwatch_config_hash_info") {
			t.Errorf("the hash did not change: %s", name)
		}
	}
	if _, body := r.Get(t, "/config"); !strings.Contains(body, "items: 3") {
		t.Errorf("/config shows %q", body)
	}
}

func TestSIGHUPReloads(t *testing.T) {
	path := exportertest.WriteFile(t, "shop.yml", "items: 1")
	r := exportertest.StartFile(t, shop(emitItems), path)
	r.Await(t, "one item", items(1))
	rewrite(t, path, "items: 2")
	if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	r.Await(t, "two items", items(2))
}

func TestReloadByHTTPIsOffUnlessEnabledAndNeverByGET(t *testing.T) {
	r := exportertest.Start(t, shop(emitItems), "items: 1")
	if status, _ := r.Do(t, http.MethodPost, "/-/reload"); status != http.StatusForbidden {
		t.Errorf("POST without --web.enable-lifecycle: %d, want 403", status)
	}
	r = exportertest.Start(t, shop(emitItems), "items: 1", "--web.enable-lifecycle")
	if status, _ := r.Get(t, "/-/reload"); status != http.StatusMethodNotAllowed {
		t.Errorf("GET: %d, want 405", status)
	}
}

func TestHealthAndReadinessNeedNoPasswordAndEverythingElseDoes(t *testing.T) {
	// The hash is of the password "let-me-in".
	web := exportertest.WriteFile(t, "web.yml", "basic_auth_users:\n  prometheus: $2b$04$Iwv4T0aBCpPeouSVZO01g.0ZM/IhWOuqUnoVZ31eZgzr4jMMvXFvy\n")
	r := exportertest.Start(t, shop(emitItems), "items: 1", "--web.config.file", web)
	r.AwaitReady(t)
	if status, _ := r.Get(t, "/-/healthy"); status != http.StatusOK {
		t.Errorf("/-/healthy: %d", status)
	}
	for _, path := range []string{"/metrics", "/config", "/", "/-/reload", "/-/healthy/..", "//-/healthy/../../metrics"} {
		if status, _ := r.Get(t, path); status != http.StatusUnauthorized {
			t.Errorf("%s without password: %d, want 401", path, status)
		}
	}
	if status, body := r.Get(t, "/metrics", "Authorization: Basic cHJvbWV0aGV1czpsZXQtbWUtaW4="); status != http.StatusOK || !strings.Contains(body, "shop_items") {
		t.Errorf("/metrics with password: %d", status)
	}
}

func TestReadyOnlyAfterEveryTargetWasTried(t *testing.T) {
	begun, release := make(chan struct{}), make(chan struct{})
	r := exportertest.Start(t, shop(func(context.Context, *exporter.Sink, int) error {
		close(begun)
		<-release
		return errors.New("the shop is closed")
	}), "items: 1")
	<-begun
	if status, _ := r.Get(t, "/-/ready"); status != http.StatusServiceUnavailable {
		t.Errorf("ready while the first collection runs: %d", status)
	}
	close(release)
	r.AwaitReady(t)
}

func TestTheLandingPageNamesTheExporterAndLinksToItsPages(t *testing.T) {
	r := exportertest.Start(t, shop(emitItems), "items: 1")
	_, body := r.Get(t, "/")
	for _, want := range []string{"shop-exporter", "Items of a shop.", `href="metrics"`, `href="config"`} {
		if !strings.Contains(strings.ReplaceAll(body, `href="/`, `href="`), want) {
			t.Errorf("the landing page lacks %q:\n%s", want, body)
		}
	}
}

func TestMistakesAtTheCommandLineEndWithAMessage(t *testing.T) {
	bad := exportertest.WriteFile(t, "shop.yml", "items: -1")
	good := exportertest.WriteFile(t, "shop.yml", "items: 1")
	for name, c := range map[string]struct {
		args []string
		code int
		want string
	}{
		"no configuration":      {[]string{}, 1, "required flag(s) '--config.file' not provided"},
		"missing file":          {[]string{"--config.file", "/nowhere/shop.yml"}, 1, "read /nowhere/shop.yml: no such file or directory"},
		"bad value":             {[]string{"--config.file", bad}, 1, bad + ":1: items: cannot be negative: -1"},
		"unknown flag":          {[]string{"--configfile", good}, 1, "unknown long flag '--configfile'"},
		"check of a good file":  {[]string{"--config.file", good, "--config.check"}, 0, good + " is valid"},
		"check of a bad file":   {[]string{"--config.file", bad, "--config.check"}, 1, bad + ":1: items: cannot be negative: -1"},
		"address not available": {[]string{"--config.file", good, "--web.listen-address", "192.0.2.1:1"}, 1, "--web.listen-address: listen tcp 192.0.2.1:1"},
	} {
		t.Run(name, func(t *testing.T) {
			var out strings.Builder
			if code := shop(emitItems).Run(t.Context(), c.args, &out, &out, nil); code != c.code {
				t.Errorf("exit code %d, want %d", code, c.code)
			}
			if got := strings.ReplaceAll(strings.ReplaceAll(out.String(), `\n`, "\n"), `\"`, `"`); !strings.Contains(got, c.want) {
				t.Errorf("printed:\n%s\nwant in it: %s", got, c.want)
			}
		})
	}
}

// volatile values differ from run to run; the golden files show V in their place.
var volatile = regexp.MustCompile(`(?m)^((?:consignwatch_collector_last_(?:duration|success_timestamp)_seconds|consignwatch_config_last_reload_timestamp_seconds)[^ ]*|[a-z_]+_created[^ ]*) \S+$`)

func TestTheScrapeResponseIsAsRecorded(t *testing.T) {
	since := time.Unix(1790000000, 0)
	r := exportertest.Start(t, shop(func(_ context.Context, sink *exporter.Sink, _ int) error {
		sink.Gauge("shop_items", 3, "north")
		sink.Gauge("shop_items", 2.5, "south-side")
		sink.Gauge("shop_items", 1, `bad "label"`)
		sink.Counter("shop_visits_total", 12, since, "north")
		sink.Histogram("shop_wait_seconds", exporter.HistogramValue{Count: 3, Sum: 4.5, Buckets: []uint64{1, 2}}, since)
		return nil
	}), "items: 1")
	r.AwaitReady(t)
	for name, accept := range map[string]expfmt.FormatType{"text": expfmt.TypeTextPlain, "openmetrics": expfmt.TypeOpenMetrics} {
		t.Run(name, func(t *testing.T) {
			_, response := r.Get(t, "/metrics", "Accept: "+string(expfmt.NewFormat(accept)))
			compareResponse(t, name+".prom", stable(response))
			if accept == expfmt.TypeTextPlain {
				lint(t, response)
			}
		})
	}
	t.Run("protobuf", func(t *testing.T) {
		var b strings.Builder
		for _, mf := range r.Families(t) {
			if own(mf.GetName()) {
				for _, m := range mf.Metric {
					// The created time of the self metrics is the start of this run; the collected ones have their own.
					fmt.Fprintf(&b, "%s %v %s since %d\n", exportertest.Name(mf.GetName(), m), mf.GetType(), sampleText(m.GetGauge().GetValue(), m.GetCounter().GetValue(), m.GetHistogram().String()),
						max(m.GetCounter().GetCreatedTimestamp().GetSeconds(), m.GetHistogram().GetCreatedTimestamp().GetSeconds()))
				}
			}
		}
		compareResponse(t, "protobuf.txt", regexp.MustCompile(`(?m)^(consignwatch_.*_total.*) since \d+$`).ReplaceAllString(stableProto(b.String()), "$1 since V"))
	})
}

func sampleText(gauge, counter float64, histogram string) string {
	if histogram != "" && histogram != "<nil>" {
		return strings.Join(strings.Fields(histogram), " ")
	}
	return fmt.Sprint(gauge + counter)
}

func stableProto(response string) string {
	return regexp.MustCompile(`(?m)^(consignwatch_(?:collector_last_(?:duration|success_timestamp)|config_last_reload_timestamp)_seconds\S* GAUGE) \S+`).ReplaceAllString(response, "$1 V")
}

func own(name string) bool {
	return strings.HasPrefix(name, "consignwatch_") || strings.HasPrefix(name, "shop_")
}

// stable removes the metrics of the Go runtime, and what differs from run to run.
func stable(response string) string {
	var b strings.Builder
	for line := range strings.Lines(response) {
		name := strings.TrimPrefix(strings.TrimPrefix(strings.TrimPrefix(line, "# HELP "), "# TYPE "), "# UNIT ")
		if own(name) || name == "# EOF\n" {
			b.WriteString(line)
		}
	}
	s := volatile.ReplaceAllStringFunc(b.String(), func(line string) string {
		if strings.HasPrefix(line, "shop_") {
			return line
		}
		name, _, _ := strings.Cut(line, " ")
		return name + " V"
	})
	return strings.ReplaceAll(s, runtime.Version(), "GOVERSION")
}

func compareResponse(t *testing.T, name, got string) {
	t.Helper()
	got = strings.ReplaceAll(regexp.MustCompile(`(revision|version)="[^"]*"`).ReplaceAllString(got, `$1="V"`), runtime.Version(), "GOVERSION")
	golden.Compare(t, filepath.Join("testdata", "golden", name), got)
}

// lint checks with promtool whether the scrape response keeps the conventions.
func lint(t *testing.T, response string) {
	t.Helper()
	promtool, err := executable.Find("promtool")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), promtool, "check", "metrics")
	cmd.Stdin = strings.NewReader(response)
	if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("promtool check metrics: %v\n%s", err, out)
	}
}

func rewrite(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
