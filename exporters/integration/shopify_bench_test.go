package integration

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/consignwatch/consignwatch/pkg/demo/servers/serverstest"
	"github.com/consignwatch/consignwatch/pkg/exporter/exportertest"
	"github.com/consignwatch/consignwatch/simulator/services/shopify"
)

// asExporter makes the test binary an exporter, with the arguments that it holds, one a line: so that a benchmark can measure a
// process of its own.
const asExporter = "CONSIGNWATCH_TEST_AS_EXPORTER"

// BenchmarkFiveHundredShopsAMinute watches 500 shops with 20 orders and 40 products each with the shipped intervals, for the first
// minute and two more, ten of them hanging, ten throttling and ten down.
func BenchmarkFiveHundredShopsAMinute(b *testing.B) {
	const shops = 500
	m := newFakeShopsOn(b, nil)
	var clients []string
	for i := range shops {
		clients = append(clients, fmt.Sprintf("client-%03d", i))
	}
	l := newPlatformTables(b, serverstest.MariaDB(b), clients...)
	ill := map[string]bool{}
	for i, client := range clients {
		m.open(b, client, func(s *shopify.Shop) { s.Plan = shopify.Basic() })
		l.sell(b, client, m.orders(b, client, 20, time.Hour)[1:]...)
		l.list(b, client, m.products(b, client, 40, time.Hour)...)
		if i >= 30 {
			continue
		}
		ill[client] = true
		m.turn(b, client, []func(*shopify.Switches){
			func(s *shopify.Switches) { s.Slow = 20 * time.Second },
			func(s *shopify.Switches) { s.Throttled = true },
			func(s *shopify.Switches) { s.Down = true },
		}[i%3])
	}
	path := write(b, m.dir, "config.yml", m.config("expected_topics: [orders/create]")+l.section(b, m))
	for b.Loop() {
		measure(b, m, path, clients, ill)
	}
}

func measure(b *testing.B, m *fakeShops, config string, clients []string, ill map[string]bool) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	cmd := exec.CommandContext(b.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), asExporter+"=--config.file\n"+config+"\n--web.listen-address\n"+address)
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
	begin := time.Now()
	var states []map[string]float64
	for _, at := range []time.Duration{70 * time.Second, 130 * time.Second, 190 * time.Second} {
		time.Sleep(time.Until(begin.Add(at)))
		states = append(states, scrape(b, "http://"+address+"/metrics"))
	}
	first, last := states[0], states[2]
	requests, series, late := 0.0, 0, 0.0
	for name, v := range last {
		if strings.HasPrefix(name, "consign_") {
			series++
		}
		if strings.HasPrefix(name, "consign_shopify_operations_total") {
			requests += v - first[name]
		}
	}
	missing := 0.0
	for _, client := range clients {
		missing += last[of("orders_missing", client)]
		if age := unixSeconds(time.Now()) - last[fmt.Sprintf(`consignwatch_collector_last_success_timestamp_seconds{collector="shopify",target=%q}`, client)]; !ill[client] {
			late = max(late, age)
		}
	}
	if want := float64(len(clients) - len(ill)); missing != want {
		b.Errorf("%v orders are missing, want %v", missing, want)
	}
	most := 0
	for _, client := range clients {
		n := 0
		for _, r := range m.requestsTo(client) {
			if r.At.Sub(begin) > 70*time.Second && r.At.Sub(begin) <= 130*time.Second {
				n++
			}
		}
		most = max(most, n)
	}
	b.ReportMetric(100*(last["process_cpu_seconds_total"]-first["process_cpu_seconds_total"])/120, "%CPU")
	b.ReportMetric(requests/120, "requests/s")
	b.ReportMetric(float64(most), "most/min/shop")
	b.ReportMetric(late, "oldest-s")
	b.ReportMetric(float64(series), "series")
	for i, minute := range []string{"1", "2", "3"} {
		b.ReportMetric(states[i]["go_goroutines"], "goroutines-"+minute)
		b.ReportMetric(states[i]["process_resident_memory_bytes"]/1e6, "MB-"+minute)
		b.ReportMetric(states[i]["process_open_fds"], "fds-"+minute)
	}
}

// scrape scrapes an exporter; histograms are left out.
func scrape(b *testing.B, url string) map[string]float64 {
	b.Helper()
	response, err := http.Get(url)
	if err != nil {
		b.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		b.Fatal(err)
	}
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(bytes.NewReader(text))
	if err != nil {
		b.Fatal(err)
	}
	series := map[string]float64{}
	for _, mf := range families {
		for _, m := range mf.Metric {
			series[exportertest.Name(mf.GetName(), m)] = m.GetGauge().GetValue() + m.GetCounter().GetValue() + m.GetUntyped().GetValue()
		}
	}
	return series
}
