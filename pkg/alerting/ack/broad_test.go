package ack

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/consignwatch/consignwatch/pkg/alerting/amclient"
	"github.com/consignwatch/consignwatch/pkg/catalog"
)

func TestSilencesThatHideMoreThanTheyShould(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	equal := func(name, value string) amclient.Matcher {
		return amclient.Matcher{Name: name, Value: value, IsEqual: true}
	}
	regex := func(name, value string) amclient.Matcher {
		return amclient.Matcher{Name: name, Value: value, IsEqual: true, IsRegex: true}
	}
	not := func(name, value string) amclient.Matcher { return amclient.Matcher{Name: name, Value: value} }
	var alerts []amclient.Alert
	for i := range 5 {
		alerts = append(alerts, amclient.Alert{Labels: map[string]string{"alertname": "ShopUnreachable", "client": fmt.Sprintf("client-%d", i), "component": "shopify", "subject": "shop", "priority": "P1"}})
	}
	identity := []amclient.Matcher{equal("alertname", "ShopUnreachable"), equal("client", "client-1"), equal("component", "shopify"), equal("subject", "shop")}
	const hour, week = time.Hour, 7 * 24 * time.Hour
	for what, c := range map[string]struct {
		matchers []amclient.Matcher
		length   time.Duration
		comment  string
		state    string
		want     map[string]int
	}{
		"one client":                     {[]amclient.Matcher{equal("client", "client-1")}, hour, "", amclient.Active, nil},
		"one host":                       {[]amclient.Matcher{equal("alertname", "HostDown"), equal("instance", "db:9100")}, hour, "", amclient.Active, nil},
		"three clients":                  {[]amclient.Matcher{regex("client", "client-[0-2]")}, hour, "", amclient.Active, nil},
		"four clients":                   {[]amclient.Matcher{regex("client", "client-[0-3]")}, hour, "", amclient.Active, map[string]int{catalog.SilenceManyClients: 1}},
		"one subject of all clients":     {[]amclient.Matcher{equal("subject", "shop")}, hour, "", amclient.Active, map[string]int{catalog.SilenceManyClients: 1}},
		"an alert, whatever it is about": {[]amclient.Matcher{equal("alertname", "DiskAlmostFull")}, hour, "", amclient.Active, map[string]int{catalog.SilenceUnrestricted: 1}},
		"a priority":                     {[]amclient.Matcher{equal("priority", "P0")}, hour, "", amclient.Active, map[string]int{catalog.SilenceUnrestricted: 1}},
		"all that depends on something":  {[]amclient.Matcher{regex("depends_on", "(.+,)?database(,.+)?")}, hour, "", amclient.Active, map[string]int{catalog.SilenceUnrestricted: 1}},
		"a client that says nothing":     {[]amclient.Matcher{equal("alertname", "CheckoutFailing"), regex("client", ".+")}, hour, "", amclient.Active, map[string]int{catalog.SilenceUnrestricted: 1}},
		"all clients but one":            {[]amclient.Matcher{not("client", "client-1")}, hour, "", amclient.Active, map[string]int{catalog.SilenceUnrestricted: 1, catalog.SilenceManyClients: 1}},
		"seven days":                     {[]amclient.Matcher{equal("client", "client-1")}, week, "", amclient.Active, nil},
		"longer":                         {[]amclient.Matcher{equal("client", "client-1")}, week + time.Second, "", amclient.Active, map[string]int{catalog.SilenceLong: 1}},
		"an acknowledgement":             {identity, hour, Prefix + " mine", amclient.Active, nil},
		"an acknowledgement for weeks":   {identity, 2 * week, Prefix + " mine", amclient.Active, map[string]int{catalog.SilenceLong: 1}},
		"one that has not begun":         {[]amclient.Matcher{equal("priority", "P0")}, 2 * week, "", amclient.Pending, nil},
		"one that has ended":             {[]amclient.Matcher{equal("priority", "P0")}, 2 * week, "", amclient.Expired, nil},
	} {
		s := &Snapshot{Time: now, Silences: []amclient.Silence{{
			ID: "1", Matchers: c.matchers, StartsAt: now.Add(-time.Minute), EndsAt: now.Add(c.length - time.Minute), Comment: c.comment, Status: amclient.SilenceStatus{State: c.state},
		}}}
		if err := s.assignSilences(alerts); err != nil {
			t.Fatal(err)
		}
		want := c.want
		if want == nil {
			want = map[string]int{}
		}
		if diff := cmp.Diff(want, s.TooBroad()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", what, diff)
		}
	}
}
