package system

import (
	"slices"
	"strings"
	"testing"

	"github.com/consignwatch/consignwatch/pkg/exporter/exportertest"
)

// TestInvalidConfigurationsSayWhatIsWrongAndWhere starts the exporter with each file of testdata/invalid; its first line is the
// message that it must bring.
func TestInvalidConfigurationsSayWhatIsWrongAndWhere(t *testing.T) {
	t.Parallel()
	exportertest.Invalid(t, App(), "testdata/invalid", 35, "secretpassword", nil)
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
		"name: main\n      role: primary\n",
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
redis: [{name: a, essential: true, address: 'h:1'}, {name: b, essential: false, address: 'h:2', interval: 1m}, {name: c, essential: false, address: 'h:3', operations: false}]
probes: [{name: a, essential: true, url: 'http://h/'}, {name: b, essential: true, url: 'http://h/', timeout: 1s}]
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

// TestWhatATargetIsForIsALabel: alerts tell an outage from a nuisance by it. Without another one of its kind, a target is what the platform runs on.
func TestWhatATargetIsForIsALabel(t *testing.T) {
	t.Parallel()
	dsn := exportertest.WriteFile(t, "dsn", "root@tcp(127.0.0.1:1)/")
	for name, c := range map[string]struct {
		config string
		want   []string
	}{
		"one of a kind": {
			config: `
mysql: [{name: main, dsn_file: ` + dsn + `}]
redis: [{name: cache, address: '127.0.0.1:1'}]
kafka: [{name: queues, brokers: ['127.0.0.1:1']}]
probes: [{name: shop, url: 'http://127.0.0.1:1/'}]
`,
			want: []string{
				`consign_mysql_up{role="primary",server="main"}`,
				`consign_probe_up{essential="true",probe="shop"}`,
				`consign_queue_up{essential="true",server="queues"}`,
				`consign_redis_up{essential="true",server="cache"}`,
			},
		},
		"one of a kind that the platform can do without": {
			config: `
mysql: [{name: main, role: replica, dsn_file: ` + dsn + `}]
redis: [{name: cache, essential: false, address: '127.0.0.1:1'}]
kafka: [{name: queues, essential: false, brokers: ['127.0.0.1:1']}]
probes: [{name: north, client: north, essential: false, url: 'http://127.0.0.1:1/'}]
`,
			want: []string{
				`consign_mysql_up{role="replica",server="main"}`,
				`consign_probe_up{client="north",essential="false",probe="north"}`,
				`consign_queue_up{essential="false",server="queues"}`,
				`consign_redis_up{essential="false",server="cache"}`,
			},
		},
		"several": {
			config: `
mysql: [{name: a, role: primary, dsn_file: ` + dsn + `}, {name: b, role: replica, dsn_file: ` + dsn + `}]
redis: [{name: a, essential: false, address: '127.0.0.1:1'}, {name: b, essential: true, address: '127.0.0.1:1'}]
kafka: [{name: a, essential: true, brokers: ['127.0.0.1:1']}, {name: b, essential: false, brokers: ['127.0.0.1:1']}]
probes: [{name: a, essential: true, url: 'http://127.0.0.1:1/'}, {name: b, essential: false, url: 'http://127.0.0.1:1/'}, {name: c, essential: true, client: north, url: 'http://127.0.0.1:1/'}]
`,
			want: []string{
				`consign_mysql_up{role="primary",server="a"}`,
				`consign_mysql_up{role="replica",server="b"}`,
				`consign_probe_up{client="north",essential="true",probe="c"}`,
				`consign_probe_up{essential="false",probe="b"}`,
				`consign_probe_up{essential="true",probe="a"}`,
				`consign_queue_up{essential="false",server="b"}`,
				`consign_queue_up{essential="true",server="a"}`,
				`consign_redis_up{essential="false",server="a"}`,
				`consign_redis_up{essential="true",server="b"}`,
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := start(t, patient+c.config)
			r.AwaitReady(t)
			var got []string
			for series := range r.Series(t) {
				if name, _, _ := strings.Cut(series, "{"); strings.HasSuffix(name, "_up") {
					got = append(got, series)
				}
			}
			slices.Sort(got)
			if !slices.Equal(got, c.want) {
				t.Errorf("series:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(c.want, "\n"))
			}
		})
	}
}
