package drill

import (
	"bytes"
	"errors"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
)

const root = "../../.."

func TestTheRecordedAlertsAreThoseOfTheGoldenFiles(t *testing.T) {
	files, err := Render(os.DirFS(root))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(files[recordedFile]), string(recordedText)); diff != "" {
		t.Errorf("%s is out of date; run consignwatch render (-want +got):\n%s", recordedFile, diff)
	}
}

func TestAFaultMayFireWhatItsRecordingShows(t *testing.T) {
	clients := []string{"a", "b", "c"}
	for fault, want := range map[string]struct{ must, allowed []string }{
		"database-down":         {[]string{"DatabaseDown _platform main"}, []string{"ApiFailing _platform requests", "ClientApiFailing b requests", "SloBudgetBurning _platform api_latency", "ConsignwatchDataStale _platform mysql/main"}},
		"broker-restart":        {[]string{"QueueBrokerDown _platform main"}, []string{"ConsignwatchStreamStopped _platform consign.telemetry", "MailDelayed _platform sent"}},
		"shopify-token-expired": {[]string{"ShopAccessRefused b access"}, []string{"SyncStalled b orders", "SyncLate b orders"}}, // the fault's client is b
	} {
		f := FindFault(fault)
		matched := func(alert string, patterns []string) bool {
			return slices.ContainsFunc(patterns, func(p string) bool { return Matches(f.Pattern(clients, p), alert) })
		}
		for _, alert := range want.must {
			if !matched(alert, f.MustFire) {
				t.Errorf("%s need not fire %s", fault, alert)
			}
		}
		for _, alert := range want.allowed {
			if matched(alert, f.MustFire) || !matched(alert, f.Allowed()) {
				t.Errorf("%s must fire, or may not fire %s", fault, alert)
			}
		}
		if alert := "SyncStalled c orders"; fault == "shopify-token-expired" && matched(alert, f.Allowed()) {
			t.Errorf("%s may fire %s", fault, alert)
		}
	}
}

// What a recording shows is not listed again, but in lists that faults without a recording have, too.
func TestTheTableListsNothingThatARecordingShows(t *testing.T) {
	shared := slices.Concat(outageAlerts(), shopAlerts(), lateOrderAlerts())
	for _, f := range slices.Concat(table()...) {
		alerts := recorded()[f.Recording]
		for _, pattern := range f.MayFire {
			if covered(pattern, slices.Concat(alerts.Every, alerts.Some)) && !slices.Contains(shared, pattern) {
				t.Errorf("%s: %s is in its recording", f.Name, pattern)
			}
		}
	}
}

func TestMistakesInGoldenFilesAreFound(t *testing.T) {
	const sunday = playsFolder + "/database-down.sunday-night.txt"
	good := fstest.MapFS{}
	files, err := fs.Glob(os.DirFS(root), playsFolder+"/*.txt")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		text, err := fs.ReadFile(os.DirFS(root), file)
		if err != nil {
			t.Fatal(err)
		}
		good[file] = &fstest.MapFile{Data: text}
	}
	// replaced is the good files, in one of which each line that has a text is replaced.
	replaced := func(file, old, line string) fstest.MapFS {
		root := maps.Clone(good)
		var text strings.Builder
		for l := range strings.Lines(string(good[file].Data)) {
			if strings.Contains(l, old) {
				l = line
			}
			text.WriteString(l)
		}
		root[file] = &fstest.MapFile{Data: []byte(text.String())}
		return root
	}
	// cut is the good files with one that ends before the notifications.
	cut := func(file string) fstest.MapFS {
		before, _, _ := bytes.Cut(good[file].Data, []byte("\nNotifications"))
		root := maps.Clone(good)
		root[file] = &fstest.MapFile{Data: before}
		return root
	}
	for name, test := range map[string]struct {
		root fs.FS
		want string
	}{
		"an alert that must fire does not": {replaced(sunday, " DatabaseDown _platform", ""), "the fault database-down must fire DatabaseDown _platform main, which does not fire in every play of the recording database-down"},
		"a line that is no alert":          {replaced(sunday, " DatabaseDown _platform", "DatabaseDown fires\n"), sunday + `:6: "DatabaseDown fires" is not when an alert fires, and which`},
		"an alert without a subject":       {replaced(sunday, " DatabaseDown _platform", "03:05:45 - 03:15:15  P0 DatabaseDown _platform database\n"), sunday + ":6: "},
		"no notifications":                 {replaced(sunday, "Notifications", "10:00:00  FIRING:1\n"), `"10:00:00  FIRING:1" is not when an alert fires, and which`},
		"a file that is cut off":           {cut(sunday), "the file ends without the notifications"},
		"no play of a recording":           {fstest.MapFS{sunday: good[sunday]}, playsFolder + ": there is no play of the recording orders-lost"},
	} {
		if _, err := Render(test.root); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %s", name, err, test.want)
		}
	}
	if _, err := Render(fstest.MapFS{}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("an installation, which has no recordings: %v", err)
	}
	other, err := Render(replaced(sunday, " ApiSlow _platform", ""))
	if err != nil || bytes.Equal(other[recordedFile], recordedText) {
		t.Errorf("an alert that fires in a play no more makes no difference (%v)", err)
	}
}

func TestAlertsOfARecordingBecomePatterns(t *testing.T) {
	const header = "x, from Wednesday 2026-03-04 10:00 to 10:24\n\nAlerts that fire\n\n"
	plays := map[string][]firedAlert{}
	for name, lines := range map[string]string{
		"wednesday": `10:00:00 -           none Watchdog _platform alerting heartbeat
10:06:00 - 10:15:15  P0 CheckoutFailing north checkout checkout process=checkout
10:06:00 - 10:15:15  P1 CheckoutFailing south checkout checkout process=checkout
10:07:00 - 10:15:15  P1 ApiSlow _platform api requests
10:07:00 - 10:15:15  P1 ClientApiSlow east api requests
10:08:00 - 10:15:15  P1 MailDelayed _platform mail sent stage=sent
10:09:00 -           P2 DiskFillingSoon _platform host node:9100:/srv
10:09:00 -           P2 SyncLate _platform shopify north
`,
		"held": `10:06:00 -           P0 CheckoutFailing north checkout checkout process=checkout
10:08:00 -           P1 MailDelayed _platform mail delivered stage=delivered
10:09:00 -           none InhibitionSourceRecent CheckoutFailing north checkout checkout
10:17:00 -           P0 EscalationL2 L2 CheckoutFailing north checkout checkout process=checkout
`,
	} {
		var err error
		if plays[name], err = parsePlay(name, header+lines+"\nNotifications\n\n10:00:00  FIRING:1 to heartbeat (webhook[0])\n"); err != nil {
			t.Fatal(err)
		}
	}
	oneClient := Fault{Client: 0, MustFire: []string{"CheckoutFailing @ checkout"}}
	want := recordedAlerts{
		Every: []string{"CheckoutFailing @ checkout", "MailDelayed _platform *"},
		Some:  []string{"ApiSlow _platform requests", "ClientApiSlow *"},
		Lower: []string{"DiskFillingSoon _platform *", "SyncLate _platform *"},
	}
	if diff := cmp.Diff(want, oneClient.generalize(plays)); diff != "" {
		t.Errorf("of a fault of one client (-want +got):\n%s", diff)
	}
	all := Fault{Client: AllClients, MustFire: []string{"CheckoutFailing *"}}
	want.Every[0] = "CheckoutFailing *"
	if diff := cmp.Diff(want, all.generalize(plays)); diff != "" {
		t.Errorf("of a fault of all clients (-want +got):\n%s", diff)
	}
}
