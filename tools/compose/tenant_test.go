package compose

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/consignwatch/consignwatch/pkg/demo/servers"
	"github.com/consignwatch/consignwatch/pkg/executable"
)

// checkTenant checks the statements of docs/multi-tenancy.md about the proxy with a running one, started with the documented command line.
func checkTenant(t *testing.T, m *Machine) {
	t.Helper()
	const north = "little-sprouts-consignment"
	page, err := os.ReadFile(filepath.Join(root, "docs/multi-tenancy.md"))
	if err != nil {
		t.Fatal(err)
	}
	line := regexp.MustCompile(`(?m)^prom-label-proxy (.+)$`).FindSubmatch(page)
	if line == nil {
		t.Fatal("docs/multi-tenancy.md has no command line of prom-label-proxy")
	}
	program, err := executable.Find("prom-label-proxy")
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Serve("127.0.0.1:9480"); err != nil {
		t.Fatal(err)
	}
	proxy, prometheus := m.Addresses["127.0.0.1:9480"], m.Addresses["prometheus:9090"]
	args := strings.NewReplacer("127.0.0.1:9480", proxy, "127.0.0.1:9090", prometheus, "north", north).Replace(string(line[1]))
	process, err := servers.Start(t.Context(), servers.Command{
		Name: "prom-label-proxy", Path: program, Args: strings.Fields(args), Dir: m.Dir, LogFile: filepath.Join(m.Dir, "prom-label-proxy.log"),
		Address: proxy, Ready: responds(proxy, ""),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = process.Kill() })

	every := `{__name__=~"consign.+|platform.+|client.+|ALERTS|up"}`
	if got := clients(t, prometheus, every); len(got) < 5 || !slices.Contains(got, "_platform") || !slices.Contains(got, "") {
		t.Fatalf("without the proxy there are only the clients %q: that they are hidden would prove nothing", got)
	}
	for query, want := range map[string][]string{
		every:                            {north},
		`consign_client_info`:            {north},
		`consign_client_info{client=""}`: {north},
		`consign_client_info{client="tiny-treasures-kids-sale"}`:    {north},
		`consign_client_info{client!="little-sprouts-consignment"}`: {north},
		`count by (client) ({__name__=~"consign.+"})`:               {north},
		`up`: nil,
		`consign_client_info{client=~".+"} or consign_mysql_up`: {north},
		`consign_mysql_up`: nil,
		`node_load1`:       nil,
		`count_values("client", consign_mysql_up)`:                           nil,
		`label_replace(consign_client_info, "slug", "$1", "client", "(.*)")`: {north},
	} {
		if got := clients(t, proxy, query); !slices.Equal(got, want) {
			t.Errorf("%s through the proxy has the clients %q, want %q", query, got, want)
		}
	}
	var values struct{ Data []string }
	get(t, proxy, "/api/v1/label/client/values", http.StatusOK, &values)
	if !slices.Equal(values.Data, []string{north}) {
		t.Errorf("the values of the label: %q", values.Data)
	}
	var series struct{ Data []map[string]string }
	get(t, proxy, "/api/v1/series?match[]="+url.QueryEscape(every), http.StatusOK, &series)
	for _, s := range series.Data {
		if s["client"] != north {
			t.Errorf("a series of another: %v", s)
		}
	}
	if len(series.Data) == 0 {
		t.Error("no series of its own")
	}
	for _, path := range []string{"/api/v1/targets", "/api/v1/status/config", "/api/v1/status/tsdb", "/api/v1/metadata", "/api/v1/admin/tsdb/delete_series", "/metrics", "/config"} {
		get(t, proxy, path, http.StatusNotFound, nil)
	}
	get(t, proxy, "/api/v1/query?query="+url.QueryEscape("increase(consign_orders_total[5m] anchored)"), http.StatusBadRequest, nil)
	var alerts struct {
		Data struct {
			Alerts []struct{ Labels map[string]string }
		}
	}
	get(t, prometheus, "/api/v1/alerts", http.StatusOK, &alerts)
	if len(alerts.Data.Alerts) == 0 {
		t.Error("without the proxy there are no alerts: that they are hidden would prove nothing")
	}
	alerts.Data.Alerts = nil
	get(t, proxy, "/api/v1/alerts", http.StatusOK, &alerts)
	for _, a := range alerts.Data.Alerts {
		if a.Labels["client"] != north {
			t.Errorf("an alert of another: %v", a.Labels)
		}
	}
}

// clients returns the sorted values of the label client in the result of a query; "" stands for series without it.
func clients(t *testing.T, address, query string) []string {
	t.Helper()
	var answer struct {
		Data struct {
			Result []struct{ Metric map[string]string }
		}
	}
	get(t, address, "/api/v1/query?query="+url.QueryEscape(query), http.StatusOK, &answer)
	var all []string
	for _, s := range answer.Data.Result {
		all = append(all, s.Metric["client"])
	}
	slices.Sort(all)
	return slices.Compact(all)
}

func get(t *testing.T, address, path string, status int, into any) {
	t.Helper()
	err := func(ctx context.Context) error {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+path, nil)
		if err != nil {
			return err
		}
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			return err
		}
		defer response.Body.Close()
		if response.StatusCode != status {
			return fmt.Errorf("%s, want %d", response.Status, status)
		}
		if into == nil {
			return nil
		}
		return json.NewDecoder(response.Body).Decode(into)
	}(t.Context())
	if err != nil {
		t.Errorf("GET %s: %v", path, err)
	}
}

// The only data source of a client's organisation is the proxy.
func TestTheDataSourceOfAClientIsItsProxy(t *testing.T) {
	var sources struct {
		APIVersion  int `yaml:"apiVersion"`
		DataSources []struct {
			Name      string         `yaml:"name"`
			UID       string         `yaml:"uid"`
			OrgID     int            `yaml:"orgId"`
			Type      string         `yaml:"type"`
			Access    string         `yaml:"access"`
			URL       string         `yaml:"url"`
			IsDefault bool           `yaml:"isDefault"`
			Editable  bool           `yaml:"editable"`
			JSONData  map[string]any `yaml:"jsonData"`
		} `yaml:"datasources"`
	}
	strict(t, filepath.Join(root, "deploy/examples/grafana-client.yml"), &sources)
	if len(sources.DataSources) != 1 {
		t.Fatalf("%d data sources, want the proxy alone", len(sources.DataSources))
	}
	d := sources.DataSources[0]
	if d.OrgID < 2 || d.Type != "prometheus" || d.Access != "proxy" || !strings.HasSuffix(d.URL, ":9480") || d.Editable {
		t.Errorf("%+v: not an organisation of its own, or not the proxy's port, or it can be changed", d)
	}
}
