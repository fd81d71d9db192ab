package integration

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"

	"github.com/consignwatch/consignwatch/pkg/exporter/exportertest"
)

// TestInvalidConfigurationsSayWhatIsWrongAndWhere starts the exporter with each file of testdata/invalid; its first line is the
// message that it must bring.
func TestInvalidConfigurationsSayWhatIsWrongAndWhere(t *testing.T) {
	t.Parallel()
	exportertest.Invalid(t, App(), "testdata/invalid", 50, "secretpassword", nil)
}

// mistake is a configuration with a mistake, and what its error must say.
type mistake struct{ text, want string }

// testMistakes loads each configuration beside a file with a key.
func testMistakes(t *testing.T, mistakes map[string]mistake) {
	t.Helper()
	for name, m := range mistakes {
		t.Run(name, func(t *testing.T) {
			path := exportertest.WriteFile(t, "config.yml", m.text)
			write(t, filepath.Dir(path), "key", "x")
			_, err := load(path, nil, silentLog())
			if err == nil || !strings.Contains(err.Error(), m.want) {
				t.Errorf("error %v, want %s", err, m.want)
			}
		})
	}
}

// assertDefaults reads a configuration, and compares a section of it, with all defaults, with YAML.
func assertDefaults(t *testing.T, text string, section func(*configuration) any, want string) {
	t.Helper()
	c, err := readConfig(exportertest.WriteFile(t, "config.yml", text))
	if err != nil {
		t.Fatal(err)
	}
	got, err := yaml.Marshal(section(c))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestTheConfigurationInForceIsShownWithItsDefaults reads the endpoint /config.
func TestTheConfigurationInForceIsShownWithItsDefaults(t *testing.T) {
	t.Parallel()
	exportertest.InVirtualTime(t, func(t *testing.T) {
		m := newFakeShops(t)
		m.open(t, "north")
		r := m.start(t, m.config("interval: 2m"))
		_, config := r.Get(t, "/config")
		for _, want := range []string{
			"clients:\n    - slug: north\n      shopify:\n        domain: north.myshopify.com\n        token_file: token-north\n",
			"api_version: 2026-10\n",
			"interval: 2m\n    timeout: 15s\n    max_age: 5m\n    requests_per_second: 2\n    bucket_reserve: 0.5\n    order_window: 1d\n    grace_period: 15m\n    reread_interval: 30m\n    max_orders: 10000\n    products_interval: 1h\n    max_products: 25000\n",
		} {
			if !strings.Contains(config, want) {
				t.Errorf("the configuration lacks:\n%s\nit is:\n%s", want, config)
			}
		}
	})
}

// TestTheListOfClientsMayHaveAFileOfItsOwn has paths relative to that file, and reads it again on reload.
func TestTheListOfClientsMayHaveAFileOfItsOwn(t *testing.T) {
	t.Parallel()
	exportertest.InVirtualTime(t, func(t *testing.T) {
		m := newFakeShops(t)
		m.open(t, "north")
		m.open(t, "south")
		if err := os.Mkdir(filepath.Join(m.dir, "inventory"), 0o700); err != nil {
			t.Fatal(err)
		}
		list := func(clients ...string) {
			write(t, m.dir, "inventory/clients.yml", "clients:\n  - "+strings.Join(clients, "\n  - ")+"\n")
			for _, client := range []string{"north", "south"} {
				write(t, m.dir, "inventory/token-"+client, tokenOf(client))
			}
		}
		list(m.clients[0])
		_, rest, _ := strings.Cut(m.config(quick), "shopify:\n")
		r := m.start(t, "clients_file: inventory/clients.yml\nshopify:\n"+rest, "--web.enable-lifecycle")
		r.Await(t, "one shop", func(s map[string]float64) bool { return s[of("up", "north")] == 1 })
		list(m.clients...)
		if status, body := r.Do(t, "POST", "/-/reload"); status != 200 {
			t.Fatal(status, body)
		}
		r.Await(t, "both", func(s map[string]float64) bool { return s[of("up", "north")] == 1 && s[of("up", "south")] == 1 })
		list(m.clients[1])
		if status, body := r.Do(t, "POST", "/-/reload"); status != 200 {
			t.Fatal(status, body)
		}
		r.Await(t, "the other one", func(s map[string]float64) bool {
			_, north := s[of("up", "north")]
			return !north && s[of("up", "south")] == 1
		})
	})
}

// TestTheTargetsAreSpreadByCollector checks the collectors that the scheduler gets.
func TestTheTargetsAreSpreadByCollector(t *testing.T) {
	t.Parallel()
	m := newFakeShops(t)
	m.open(t, "north")
	m.open(t, "south")
	m.clients = append(m.clients, "{slug: shopless}")
	setup, err := load(exportertest.WriteFile(t, "config.yml", strings.ReplaceAll(m.config(""), "token_file: ", "token_file: "+m.dir+"/")), nil, silentLog())
	if err != nil {
		t.Fatal(err)
	}
	defer setup.Close()
	var got []string
	for _, c := range setup.Collectors {
		line := c.Name() + " " + c.Schedule().Interval.String() + ":"
		for _, target := range c.Targets() {
			line += " " + target.Name()
		}
		got = append(got, line)
	}
	want := "shopify 1m0s: north south\nshopify_orders 1m0s: north south\nshopify_products 1m0s: north south\nshopify_operations 1m0s: all"
	if strings.Join(got, "\n") != want {
		t.Errorf("collectors:\n%s\nwant:\n%s", strings.Join(got, "\n"), want)
	}
}
