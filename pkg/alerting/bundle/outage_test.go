package bundle

import (
	"fmt"
	"strings"
	"testing"
	"testing/fstest"
)

// An alert that inhibits others of the whole platform, or notifies clients, must come from servers and probes without which the platform is down.
func TestAnOutageComesFromWhatIsEssential(t *testing.T) {
	t.Parallel()
	const (
		outage     = "priority: P0, severity: critical, category: downtime"
		milder     = "priority: P1, severity: critical, category: performance_degradation"
		recordings = `
  - name: servers
    rules:
      - {record: 'platform_server:consign_redis_up:max', expr: 'max by (server, essential) (consign_redis_up)'}
      - {record: 'platform:consign_redis_up:min', expr: 'min(platform_server:consign_redis_up:max)'}
      - {record: 'platform:essential_redis_up:min', expr: 'min(platform_server:consign_redis_up:max{essential="true"})'}
`
	)
	for name, c := range map[string]struct {
		expr, labels string
		inhibits     bool
		want         string // the part that may be of any server; empty: it is fine
	}{
		"any database is down":                   {`max by (server) (consign_mysql_up) == 0`, outage, false, `consign_mysql_up`},
		"any database is down, and inhibits":     {`max by (server) (consign_mysql_up) == 0`, milder, true, `consign_mysql_up`},
		"any database is down, and does neither": {`max by (server) (consign_mysql_up) == 0`, milder, false, ""},
		"a primary is down":                      {`max by (server) (consign_mysql_up{role="primary"}) == 0`, outage, true, ""},
		"a replica is down":                      {`max by (server) (consign_mysql_up{role="replica"}) == 0`, outage, true, `consign_mysql_up{role="replica"}`},
		"anything but a replica":                 {`max by (server) (consign_mysql_up{role!="replica"}) == 0`, outage, true, `consign_mysql_up{role!="replica"}`},
		"any cache, through a recording":         {`platform_server:consign_redis_up:max == 0`, outage, false, `platform_server:consign_redis_up:max`},
		"the worst of all caches":                {`platform:consign_redis_up:min == 0`, outage, false, `platform:consign_redis_up:min`},
		"the worst of the essential caches":      {`platform:essential_redis_up:min == 0`, outage, false, ""},
		"an essential cache":                     {`platform_server:consign_redis_up:max{essential="true"} == 0`, outage, false, ""},
		"of an essential server":                 {`max by (server, topic) (consign_queue_offline_partitions) > 0 and on (server) max by (server) (consign_queue_up{essential="true"})`, outage, false, ""},
		"of a server that is not essential":      {`max by (server, topic) (consign_queue_offline_partitions) > 0 unless on (server) max by (server) (consign_queue_up{essential="true"})`, outage, false, `consign_queue_offline_partitions`},
		"one of two is of any server":            {`max by (probe) (consign_probe_up{essential="true"}) == 0 or max by (probe) (consign_probe_up) == 0`, outage, false, `consign_probe_up`},
		"both are essential":                     {`label_replace(max by (probe) (consign_probe_up{essential="true"}), "server", "$1", "probe", "(.+)") == 0 or max by (server) (consign_redis_up{essential="true"}) == 0`, outage, false, ""},
		"nothing of a server":                    {`sum(rate(consign_api_requests_total[5m])) < 1`, outage, true, ""},
		"a server only as an excuse":             {`sum(rate(consign_api_requests_total[5m])) < 1 unless on () min(consign_queue_up) == 0`, outage, true, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			root := goodBundle(t)
			file := "rules/alerts/servers.yml"
			labels := c.labels
			if c.inhibits {
				labels += ", cause: outage"
			}
			root[file] = &fstest.MapFile{Data: fmt.Appendf(nil, "groups:\n  - name: outages\n    rules:\n      - alert: Outage\n        expr: '%s'\n        labels: {client: _platform, team: technical, component: x, subject: y, %s}\n%s", c.expr, labels, recordings)}
			var got []string
			for line := range strings.Lines(problemsOf(root)) {
				if strings.Contains(line, "can do without") {
					got = append(got, strings.TrimSpace(line))
				}
			}
			does := "notifies clients"
			if c.inhibits {
				does = "inhibits alerts of the whole platform"
			}
			want := fmt.Sprintf(`%s:5: Outage: the alert %s, and %s may be of a server that the platform can do without: narrow it by role="primary" or essential="true"`, file, does, c.want)
			switch {
			case c.want == "" && len(got) > 0:
				t.Errorf("found %q", got)
			case c.want != "" && (len(got) != 1 || got[0] != want):
				t.Errorf("found %q\nwant  %q", got, want)
			}
		})
	}
}
