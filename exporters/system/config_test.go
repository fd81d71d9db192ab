package system

import (
	"strings"
	"testing"

	"github.com/consignwatch/consignwatch/pkg/exporter/exportertest"
)

// TestInvalidConfigurationsSayWhatIsWrongAndWhere starts the exporter with each file of testdata/invalid; its first line is the
// message that it must bring.
func TestInvalidConfigurationsSayWhatIsWrongAndWhere(t *testing.T) {
	t.Parallel()
	exportertest.Invalid(t, App(), "testdata/invalid", 30, "secretpassword", nil)
}

// TestTheConfigurationInForceIsShownWithItsDefaultsAndWithoutSecrets reads the endpoint /config.
func TestTheConfigurationInForceIsShownWithItsDefaultsAndWithoutSecrets(t *testing.T) {
	t.Parallel()
	password := exportertest.WriteFile(t, "password", "secretpassword")
	dsn := exportertest.WriteFile(t, "dsn", "root:secretpassword@tcp(127.0.0.1:1)/")
	r := start(t, `
timeout: 8s
mysql: [{name: main, dsn_file: `+dsn+`, interval: 5s}]
redis: [{name: cache, address: '127.0.0.1:1', password_file: `+password+`}]
probes: [{name: shop, url: 'http://127.0.0.1:1/', interval: 1m, timeout: 20s}]
`)
	_, config := r.Get(t, "/config")
	for _, want := range []string{
		"interval: 15s\ntimeout: 8s\nmax_age: 1m\n",
		"dsn_file: " + dsn + "\n      interval: 5s\n      timeout: 5s\n",
		"password_file: " + password + "\n      operations: true\n      key_prefix: 'consignwatch:probe:'\n      interval: 15s\n      timeout: 8s\n",
		"method: GET\n      max_response_bytes: 10485760\n      interval: 1m\n      timeout: 20s\n",
	} {
		if !strings.Contains(config, want) {
			t.Errorf("the configuration lacks:\n%s\nit is:\n%s", want, config)
		}
	}
	if strings.Contains(config+r.Log(), "secretpassword") {
		t.Error("the password was printed")
	}
}

// TestTargetsWithTheSameScheduleAreOneCollector checks the collectors that the scheduler gets: it spreads the targets of a collector.
func TestTargetsWithTheSameScheduleAreOneCollector(t *testing.T) {
	t.Parallel()
	setup, err := load(exportertest.WriteFile(t, "config.yml", `
redis: [{name: a, address: 'h:1'}, {name: b, address: 'h:2', interval: 1m}, {name: c, address: 'h:3', operations: false}]
probes: [{name: a, url: 'http://h/'}, {name: b, url: 'http://h/', timeout: 1s}]
`), nil, silentLog())
	if err != nil {
		t.Fatal(err)
	}
	defer setup.Close()
	var got []string
	for _, c := range setup.Collectors {
		line := c.Name() + " " + c.Schedule().Interval.String() + " " + c.Schedule().Timeout.String() + ":"
		for _, target := range c.Targets() {
			line += " " + target.Name()
		}
		got = append(got, line)
	}
	want := `redis 15s 10s: a c
redis 1m0s 10s: b
redis_operations 15s 10s: a
redis_operations 1m0s 10s: b
probe 15s 11s: a
probe 15s 2s: b`
	if strings.Join(got, "\n") != want {
		t.Errorf("collectors:\n%s\nwant:\n%s", strings.Join(got, "\n"), want)
	}
}
