package routing

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"net/mail"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"

	"github.com/consignwatch/consignwatch/pkg/yamlfile"
)

const root = "../../.."

// shipped are the files of the project that routing reads.
func shipped(t testing.TB) fstest.MapFS {
	t.Helper()
	files := fstest.MapFS{}
	all := os.DirFS(root)
	names, err := fs.Glob(all, alertFiles)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range append(names, SiteFile, InhibitionFile) {
		text, err := fs.ReadFile(all, name)
		if err != nil {
			t.Fatal(err)
		}
		files[name] = &fstest.MapFile{Data: text}
	}
	return files
}

// change replaces a text that must be in a file.
func change(t testing.TB, files fstest.MapFS, name, old, new string) {
	t.Helper()
	text := string(files[name].Data)
	if !strings.Contains(text, old) {
		t.Fatalf("%s has no %q to change", name, old)
	}
	files[name] = &fstest.MapFile{Data: []byte(strings.Replace(text, old, new, 1))}
}

func load(t testing.TB, files fs.FS) *Routing {
	t.Helper()
	r, err := Load(files)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestShippedFilesAreWhatTheInventorySays(t *testing.T) {
	made, err := Render(os.DirFS(root))
	if err != nil {
		t.Fatal(err)
	}
	again, err := Render(os.DirFS(root))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range sortedKeys(made) {
		text, err := os.ReadFile(root + "/" + name)
		if err != nil {
			t.Error(err)
		} else if diff := cmp.Diff(strings.Split(string(made[name]), "\n"), strings.Split(string(text), "\n")); diff != "" {
			t.Errorf("%s is not what `consignwatch render` makes; run it (-want +got):\n%s", name, diff)
		}
		if !slices.Equal(made[name], again[name]) {
			t.Errorf("%s is another one each time", name)
		}
	}
}

// mistakes are changes of the inventory, with the expected error. Those that the JSON schema finds, too, are marked.
func mistakes() []struct {
	old, new, want string
	schema         bool
} {
	return []struct {
		old, new, want string
		schema         bool
	}{
		{"  name: Example Consignment\n", "  nam: Example Consignment\n", `unknown key "nam"`, true},
		{"  name: Example Consignment\n", "  name: ''\n", "platform.name: missing", true},
		{"  time_zone: America/Chicago\n", "  time_zone: Chicago Time\n", `site.yml:9: "Chicago Time" is not a time zone`, true},
		{"  time_zone: America/Chicago\n", "", "platform.time_zone: missing", true},
		{"grafana: http://localhost:3000", "grafana: localhost:3000", `links.grafana: "localhost:3000" is not an address`, true},
		{"grafana: http://localhost:3000", "grafana: http://me:secret@localhost:3000", "without a password", true},
		{"  url_file: secrets/heartbeat_url\n", "", "heartbeat.url_file: missing", true},
		{"  every: 5m\n", "  every: 5s\n", "heartbeat.every: must be between 1m and 1h", false},
		{"smarthost: localhost:25", "smarthost: localhost", `mail.smarthost: "localhost" is not host:port`, true},
		{"  plain: true", "  username: me\n  plain: true", "username and password_file belong together", true},
		{"  technical:\n", "  tecnical:\n", "teams.tecnical: is not one of technical, support, system_admin", true},
		{"    name: Support staff\n", "", "teams.support.name: missing", true},
		{`from: "08:00", to: "18:00"`, `from: "08:00", to: "07:00"`, "teams.technical.hours.to: must be later than from", false},
		{`from: "08:00", to: "18:00"`, `from: "8am", to: "18:00"`, `"8am" is not a time of day`, true},
		{"days: [monday, tuesday, wednesday, thursday, friday]", "days: [mon]", `"mon" is not a day`, true},
		{"      - webhook: {url_file: secrets/emergency_url}", "      - webhok: {url_file: secrets/emergency_url}", "contacts.emergency.channels.0.webhok: a channel here is one of webhook", true},
		{"      - webhook: {url_file: secrets/emergency_url}", "      - webhook: {url: 'http://a'}", "contacts.emergency.channels.0.webhook.url: is a secret: write it into a file", true},
		{"      - webhook: {url_file: secrets/emergency_url}", "      - webhook: {url_file: secrets/emergency_url, ulr: 1}", "unknown key; a channel webhook has url_file", false},
		{"      - webhook: {url_file: secrets/emergency_url}", "      - webhook: {url_file: a, http_config: {basic_auth: {username: a, password: b}}}", "http_config.basic_auth.password: is a secret", false},
		{"      - webhook: {url_file: secrets/emergency_url}", "      - webhook: {url_file: a, http_config: {proxy_url: 'http://a:b@proxy'}}", "has a password in an address", false},
		{"      - webhook: {url_file: secrets/emergency_url}", "      - pagerduty: {routing_key: abc}", "routing_key: is a secret", true},
		{"      - webhook: {url_file: secrets/emergency_url}", "      - telegram: {chat_id: 1}", "telegram: lacks bot_token_file", true},
		{"      - webhook: {url_file: secrets/emergency_url}", "      - email: {to: a@b.example}", "contacts.emergency.channels: is notified of P0 by email alone", false},
		{"    channels:\n      - webhook: {url_file: secrets/emergency_url}\n", "    channels: []\n", "contacts.emergency.channels: missing", true},
		{"  - slug: second-swing-exchange\n", "  - slug: Second Swing\n", `clients.2.slug: "Second Swing" is not the slug of a client`, true},
		{"  - slug: second-swing-exchange\n", "  - slug: little-sprouts-consignment\n", "clients.2.slug: duplicate slug \"little-sprouts-consignment\"", false},
		{"        - email: {to: admin@little-sprouts-consignment.example}", "        - webhook: {url_file: a}", "clients.0.admins.channels.0.webhook: a channel here is one of email, slack: Alertmanager 0.31 writes internal labels", true},
		{"        - email: {to: admin@little-sprouts-consignment.example}", "        - email: {to: a@b.example, html: '{{ .CommonLabels }}'}", "html: cannot be set for a client", false},
		{"        - email: {to: admin@little-sprouts-consignment.example}", "        - email: {to: not an address}", `clients.0.admins.channels.0.email.to: "not an address" is no email address like ann@example.com`, false},
		{"        - email: {to: admin@little-sprouts-consignment.example}", "        - email: {to: 'a@b.example, c'}", `email.to: "a@b.example, c" is no email address`, false},
		{"        - email: {to: admin@little-sprouts-consignment.example}", "        - email: {to: zoë@b.example}", `email.to: "zoë@b.example": Alertmanager cannot send to a name before the @ that is not ASCII`, false},
		{"        - email: {to: admin@little-sprouts-consignment.example}", "        - email: {to: zoe@märkte.example}", `email.to: "zoe@märkte.example": write the domain in ASCII`, false},
		{"      - email: {to: operations@consign.example}", "      - email: {to: operations@consign.example, from: 'a@b.example, c@d.example'}", `contacts.management.channels.1.email.from: "a@b.example, c@d.example" are 2 email addresses: write one`, false},
		{"      - email: {to: operations@consign.example}", "      - email: {to: operations@consign.example, headers: {Reply-To: nobody}}", `email.headers.Reply-To: "nobody" is no email address`, false},
		{"  from: Example Consignment <alerts@consign.example>", "  from: Example Consignment", `mail.from: "Example Consignment" is no email address`, false},
		{"  from: Example Consignment <alerts@consign.example>", "  from: a@b.example, c@d.example", `mail.from: "a@b.example, c@d.example" are 2 email addresses: write one`, false},
		{"length: 3h", "length: 2d", "maintenance.0.length: must be between 1m and 1d", false},
		{"from: 2026-12-05 22:00, to: 2026-12-06 04:00", "from: 2026-12-05 22:00", "maintenance.0.to: must be later than from", true},
		{"from: 2026-12-05 22:00, to: 2026-12-06 04:00", "from: 2026-12-05 22:00, to: 2026-12-16 04:00", "must be within 7 days", false},
		{"from: 2026-12-05 22:00, to: 2026-12-06 04:00", "from: 22:00, to: 2026-12-06 04:00", `is not a time like 2026-12-05 22:00`, true},
		{`start: "23:00", length: 3h`, `start: "23:00", length: 3h, from: 2026-12-05 22:00, to: 2026-12-06 04:00`, "needs either days, start and length (weekly), or from and to (once)", true},
		{"    P3: {group_wait: 10m", "    P4: {group_wait: 10m", "policy.priorities.P4: is not one of P0, P1, P2, P3", true},
		{"P0: {group_wait: 5s", "P0: {group_wait: 5m", "policy.priorities.P0.group_wait: 5m is too long for P0", false},
		{"P0: {group_wait: 5s", "P0: {group_wait: five", `"five" is not a duration`, true},
		{"management: 20m", "management: 5m", "policy.priorities.P0.escalate.management: 5m must be longer than the delay of the level before", false},
		{"secondary: 10m", "secondary: 2m", "secondary: 2m must be longer than the delay of the level before, and than resolve_grace", false},
		{"P3: {group_wait: 10m, group_interval: 1h}", "P3: {group_wait: 10m, group_interval: 1h, escalate: {secondary: 1d}}", "P3 does not escalate", false},
		{"P1: {group_wait: 1m, group_interval: 1m", "P1: {group_wait: 1m, hours: true, group_interval: 1m", "P1 cannot wait for office hours", false},
		{"  resolve_grace: 2m ", "  # resolve_grace: 2m ", "policy.resolve_grace: missing", true},
		{"ack_timeout: 30m", "ack_timeout: 6m", "policy.priorities.P0.ack_timeout: 6m is too short: the team is notified 5m before the end, so at least 10m", false},
		{"ack_timeout: 30m", "ack_timeout: soon", `"soon" is not a duration`, true},
		{"ack_timeout: 30m", "ack_timout: 30m", `unknown key "ack_timout"`, true},
	}
}

func TestMistakesInTheInventoryAreNamedWithTheirPlace(t *testing.T) {
	for _, m := range mistakes() {
		files := shipped(t)
		change(t, files, SiteFile, m.old, m.new)
		if _, err := Load(files); err == nil || !strings.Contains(err.Error(), m.want) || !strings.Contains(err.Error(), SiteFile+":") {
			t.Errorf("%q: %v\nwant an error with %s", m.new, err, m.want)
		}
	}
}

// Alertmanager would encode what is not ASCII as a whole, the address with the name.
func TestNamesOfAddressesAreEncoded(t *testing.T) {
	files := shipped(t)
	change(t, files, SiteFile, "  from: Example Consignment <alerts@consign.example>", `  from: "Große Märkte <alerts@consign.example>"`)
	change(t, files, SiteFile, "to: admin@little-sprouts-consignment.example", `to: "Zoë Müller <zoe@b.example>, plain@b.example, \"Doe, Jane\" <jane@b.example>"`)
	change(t, files, SiteFile, "      - email: {to: operations@consign.example}", `      - email: {to: '{{ template "é" . }}', headers: {Reply-To: "René <rene@b.example>", X-Place: "Genève"}}`)
	made, err := Render(files)
	if err != nil {
		t.Fatal(err)
	}
	var config struct {
		Global struct {
			From string `yaml:"smtp_from"`
		}
		Receivers []struct {
			Name  string
			Email []struct {
				To      string
				Headers map[string]string
			} `yaml:"email_configs"`
		}
	}
	if err := yaml.Unmarshal(made[ConfigFile], &config); err != nil {
		t.Fatal(err)
	}
	from, err := mail.ParseAddress(config.Global.From)
	if err != nil || !ascii(config.Global.From) || *from != (mail.Address{Name: "Große Märkte", Address: "alerts@consign.example"}) {
		t.Errorf("from: %q is %v, %v", config.Global.From, from, err)
	}
	found := 0
	for _, r := range config.Receivers {
		for _, e := range r.Email {
			switch {
			case r.Name == "client-little-sprouts-consignment":
				to, err := mail.ParseAddressList(e.To)
				want := []*mail.Address{{Name: "Zoë Müller", Address: "zoe@b.example"}, {Address: "plain@b.example"}, {Name: "Doe, Jane", Address: "jane@b.example"}}
				if diff := cmp.Diff(want, to); err != nil || !ascii(e.To) || diff != "" {
					t.Errorf("to: %q: %v\n%s", e.To, err, diff)
				}
				found++
			case strings.HasPrefix(e.To, "{{"):
				if e.To != `{{ template "é" . }}` || e.Headers["X-Place"] != "Genève" || !ascii(e.Headers["Reply-To"]) {
					t.Errorf("to: %q, headers %q", e.To, e.Headers)
				}
				if reply, err := mail.ParseAddress(e.Headers["Reply-To"]); err != nil || reply.Name != "René" {
					t.Errorf("Reply-To: %q is %v, %v", e.Headers["Reply-To"], reply, err)
				}
				found++
			}
		}
	}
	if found < 2 {
		t.Errorf("%d of the channels were found:\n%s", found, made[ConfigFile])
	}
}

func TestTheSchemaSeesWhatAnEditorCanSee(t *testing.T) {
	schema, err := jsonschema.NewCompiler().Compile(root + "/alertmanager/site.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	validate := func(text []byte) error {
		var doc any
		if err := yaml.Unmarshal(text, &doc); err != nil {
			t.Fatal(err)
		}
		asJSON, err := json.Marshal(doc)
		if err != nil {
			t.Fatal(err)
		}
		v, err := jsonschema.UnmarshalJSON(strings.NewReader(string(asJSON)))
		if err != nil {
			t.Fatal(err)
		}
		return schema.Validate(v)
	}
	if err := validate(shipped(t)[SiteFile].Data); err != nil {
		t.Errorf("the schema refuses the shipped inventory: %v", err)
	}
	for _, m := range mistakes() {
		files := shipped(t)
		change(t, files, SiteFile, m.old, m.new)
		if err := validate(files[SiteFile].Data); m.schema && err == nil {
			t.Errorf("the schema accepts %q", m.new)
		}
	}
	// The schema has every key that the program reads.
	text, err := os.ReadFile(root + "/alertmanager/site.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	seen := map[reflect.Type]bool{}
	var walk func(reflect.Type)
	walk = func(typ reflect.Type) {
		for typ.Kind() == reflect.Pointer || typ.Kind() == reflect.Slice || typ.Kind() == reflect.Map {
			typ = typ.Elem()
		}
		if typ.Kind() != reflect.Struct || seen[typ] || typ == reflect.TypeFor[yamlfile.File]() {
			return
		}
		seen[typ] = true
		for i := range typ.NumField() {
			f := typ.Field(i)
			if key := strings.TrimSuffix(f.Tag.Get("yaml"), ",inline"); key != "" && !strings.Contains(string(text), `"`+key+`"`) {
				t.Errorf("the schema does not know %s of %s", key, typ)
			}
			if f.Tag.Get("yaml") != "" {
				walk(f.Type)
			}
		}
	}
	walk(reflect.TypeFor[Site]())
}

func TestMistakesInTheInhibition(t *testing.T) {
	for _, m := range []struct{ old, new, want string }{
		{"  exclude: [IncidentUnresolved]", "  exclude: [IncidentUnsolved]", `severity_inhibition.exclude.0: there is no alert "IncidentUnsolved"`},
		{"    alerts: [SloBudgetBurningFast, SloBudgetBurning,", "    alerts: [SloBudgetBurningFast, Nothing,", `severity_order.0.alerts.1: there is no alert "Nothing"`},
		{"  - name: slo\n", "  - name: slo\n    alerts: [ApiSlow]\n  - name: slo\n", `severity_order.1.name: missing or duplicate name "slo"`},
		{"hold: 6m", "hold: 1h", "hold: must be between 1m and 15m"},
		{"hold: 6m", "holds: 6m", `unknown key "holds"`},
		{"hold: 6m", "hold: 6m\ncauses: []", `unknown key "causes"`},
	} {
		files := shipped(t)
		change(t, files, InhibitionFile, m.old, m.new)
		if _, err := Load(files); err == nil || !strings.Contains(err.Error(), m.want) || !strings.Contains(err.Error(), InhibitionFile+":") {
			t.Errorf("%q: %v\nwant an error with %s", m.new, err, m.want)
		}
	}
}

// ruleFile is a file with one rule. Its line is 4.
func ruleFile(name string, labels ...string) *fstest.MapFile {
	return &fstest.MapFile{Data: []byte("groups:\n  - name: ours\n    rules:\n      - alert: " + name + "\n        expr: vector(1)\n        for: 3m\n        labels:\n          " + strings.Join(labels, "\n          ") + "\n")}
}

func TestMistakesInCausesAndDependencies(t *testing.T) {
	const file = "rules/alerts/ours.yml"
	platform, client := "client: _platform", "category: downtime"
	for _, m := range []struct {
		labels []string
		want   string // empty: none
	}{
		{[]string{platform, "priority: P1", "depends_on: database,broker"}, ""},
		{[]string{platform, "priority: P1", "depends_on: '{{ $labels.service }}'"}, ""}, // storage is no cause
		{[]string{platform, "priority: P1", "cause: reports:nightly-run", "depends_on: database"}, ""},
		{[]string{client, "depends_on: shop,database"}, ""},
		{[]string{platform, "priority: P1", "depends_on: databse"}, `the label depends_on: no alert has the cause "databse"; there are api, api_latency, broker,`},
		{[]string{platform, "priority: P1", "depends_on: 'database,'"}, `the label depends_on: no alert has the cause ""`},
		{[]string{platform, "priority: P1", "depends_on: database, broker"}, `the label depends_on: no alert has the cause " broker"`}, // it would match nothing
		{[]string{platform, "priority: P1", `depends_on: '{{ if eq $labels.slo "a" }}database{{ else }}disc{{ end }}'`}, `no alert has the cause "disc"`},
		{[]string{platform, "priority: P1", "depends_on: '{{ $labels.route }}'"}, "the label depends_on: the values of {{$labels.route}} are not known"},
		{[]string{platform, "priority: P1", "depends_on: '{{ $value }}'"}, "the label depends_on: the values of {{$value}} are not known"},
		{[]string{platform, "priority: P1", "depends_on: '{{ range $labels }}a{{ end }}'"}, "cannot be checked: write names, {{ $labels.NAME }}, or {{ if … }}"},
		{[]string{platform, "priority: P1", "depends_on: '{{ if }}'"}, "the label depends_on: template: label"},
		{[]string{platform, "priority: P1", "cause: Disc"}, `the label cause: "Disc" is no name like database or exporter:business-exporter`},
		{[]string{platform, "priority: P1", "cause: 'disc,cpu'"}, `the label cause: "disc,cpu" is no name`},
		{[]string{platform, "priority: P1", "cause: database", "depends_on: database"}, `the label depends_on: it is "database" itself`},
		{[]string{platform, "priority: P1", "depends_on: shop"}, `the label depends_on: "shop" is what fails for one client, and the alert is about the platform`},
		{[]string{platform, "priority: none", "depends_on: database"}, "the label depends_on: what is about security, or notifies nobody, is never inhibited"},
		{[]string{platform, "priority: P1", "category: security", "depends_on: database"}, "is never inhibited"},
		{[]string{client, "team: client_admin", "cause: sale"}, "the label cause: an alert for client admins inhibits nothing"},
		{[]string{platform, "priority: P1", "depends_on: slow"}, "as P1 it would need a group wait of 57m0s for SlowToFire to fire first (at most 3m0s): give it a longer `for`"},
	} {
		files := shipped(t)
		files[file] = ruleFile("OurOwn", m.labels...)
		files["rules/alerts/slow.yml"].Data = append(files["rules/alerts/slow.yml"].Data, "\n      - {alert: SlowToFire, for: 30m, labels: {client: _platform, priority: P0, team: technical, cause: slow}}\n"...)
		_, err := Load(files)
		switch {
		case m.want == "" && err != nil:
			t.Errorf("%q: %v", m.labels, err)
		case m.want != "" && (err == nil || !strings.Contains(err.Error(), file+":4: OurOwn: ") || !strings.Contains(err.Error(), m.want)):
			t.Errorf("%q: %v\nwant an error with %s:4: OurOwn: … %s", m.labels, err, file, m.want)
		}
	}
}

// An alert that is added is inhibited, and inhibits, without a change of another file: so do its escalation, its hold and its group wait.
func TestAnAlertThatIsAddedNeedsNoOtherFile(t *testing.T) {
	files := shipped(t)
	files["rules/alerts/ours.yml"] = ruleFile("SearchDown", "client: _platform", "priority: P0", "team: technical", "cause: search", "depends_on: database")
	files["rules/alerts/more.yml"] = ruleFile("SearchSlow", "client: _platform", "priority: P1", "team: technical", "depends_on: search,cache")
	before, err := Render(shipped(t))
	if err != nil {
		t.Fatal(err)
	}
	after, err := Render(files)
	if err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string][]string{
		ConfigFile: {"  - name: search\n    source_matchers:\n      - cause=\"search\"\n      - client=\"_platform\"\n", "      - depends_on=~\"(.+,)?search(,.+)?\"\n", "SearchSlow"},
		ClockFile:  {`ALERTS{alertstate="firing",escalation="",depends_on=~"(.+,)?search(,.+)?",`},
	} {
		for _, text := range want {
			if strings.Contains(string(before[file]), text) || !strings.Contains(string(after[file]), text) {
				t.Errorf("%s is the same, or lacks %q", file, text)
			}
		}
	}
	if !bytes.Equal(before[EscalationFile], after[EscalationFile]) {
		t.Errorf("%s has changed", EscalationFile)
	}
}

func TestASymptomWaitsTwiceAsLongAsItsCauseTakesToFire(t *testing.T) {
	r := load(t, shipped(t))
	pairs, causes := 0, r.causes()
	for _, a := range r.Alerts {
		for _, symptom := range a.rules {
			for _, d := range symptom.dependsOn {
				c := causes[d.name]
				if c == nil {
					continue
				}
				for _, source := range slices.Concat(c.platform, c.client) {
					for _, p := range symptom.priorities {
						if p < source.priorities[0] {
							continue // it is more urgent than its cause, and not inhibited
						}
						pairs++
						if waits := symptom.wait + r.Wait(a.Name, p); waits < 2*source.wait {
							t.Errorf("%s as %s notifies after %s, %s takes %s to fire", a.Name, p, waits, source.alert, source.wait)
						}
					}
				}
			}
		}
	}
	if pairs < 80 {
		t.Errorf("only %d pairs", pairs)
	}
	// Each group wait is a route of its own, also the longest one of P0.
	files, err := r.Files()
	if err != nil {
		t.Fatal(err)
	}
	if want := "- matchers: [alertname=~\"ValidTokensRefused\"]\n              group_wait: 1m30s\n"; !strings.Contains(string(files[ConfigFile]), want) {
		t.Errorf("%s has no %q", ConfigFile, want)
	}
}

func TestWindowsAreTheirPartsOfDays(t *testing.T) {
	zone, err := time.LoadLocation("Europe/Paris")
	if err != nil {
		t.Fatal(err)
	}
	part := func(days, from, to string) timeRange {
		return timeRange{Weekdays: []string{days}, Times: []timeSpan{{from, to}}, Location: "Europe/Paris"}
	}
	once := func(year, month, day, from, to string) timeRange {
		return timeRange{Years: []string{year}, Months: []string{month}, Days: []string{day}, Times: []timeSpan{{from, to}}, Location: "Europe/Paris"}
	}
	at := func(s string) Moment {
		m, err := time.Parse("2006-01-02 15:04", s)
		if err != nil {
			t.Fatal(err)
		}
		return Moment{m}
	}
	weekly := func(d time.Weekday, start, length time.Duration) Window {
		return Window{Days: []Weekday{Weekday(d)}, Start: Clock(start), Length: yamlfile.Duration(length)}
	}
	for name, c := range map[string]struct {
		window Window
		more   time.Duration
		want   []timeRange
	}{
		"within a day":             {weekly(time.Monday, 2*time.Hour, time.Hour), 0, []timeRange{part("monday", "02:00", "03:00")}},
		"to midnight":              {weekly(time.Monday, 22*time.Hour, 2*time.Hour), 0, []timeRange{part("monday", "22:00", "24:00")}},
		"over midnight and a week": {weekly(time.Saturday, 23*time.Hour, 3*time.Hour), 0, []timeRange{part("saturday", "23:00", "24:00"), part("sunday", "00:00", "02:00")}},
		"longer for a level":       {weekly(time.Monday, 22*time.Hour, 2*time.Hour), 30 * time.Minute, []timeRange{part("monday", "22:00", "24:00"), part("tuesday", "00:00", "00:30")}},
		"longer by a day":          {weekly(time.Monday, 22*time.Hour, time.Hour), day, []timeRange{part("monday", "22:00", "24:00"), part("tuesday", "00:00", "23:00")}},
		"once":                     {Window{From: at("2026-12-31 23:00"), To: at("2027-01-01 01:30")}, 0, []timeRange{once("2026", "12", "31", "23:00", "24:00"), once("2027", "1", "1", "00:00", "01:30")}},
		"once, to midnight":        {Window{From: at("2026-12-31 23:00"), To: at("2027-01-01 00:00")}, 0, []timeRange{once("2026", "12", "31", "23:00", "24:00")}},
	} {
		if diff := cmp.Diff(c.want, c.window.spans(c.more, zone)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestThePolicyInWords(t *testing.T) {
	policy := load(t, shipped(t)).Policy()
	for _, want := range []string{
		`Technical team (team="technical"), office hours Mon, Tue, Wed, Thu, Fri from 08:00 to 18:00, America/Chicago:`,
		"P0  notifies the engineer on call after 5s, at any time, repeated every 1h until acknowledged (webhook, email)",
		"L4  notifies the emergency phone if unacknowledged 30m after it began to fire (webhook)",
		"P2  notifies the engineer on call after 5m, in office hours, repeated every 1d",
		"L2  notifies the second engineer on call if unacknowledged 1d after it began to fire, in office hours, from 2h after they begin",
		"P3  notifies the team's channel after 10m, at any time, not repeated (slack)",
		"second-swing-exchange: the admins of Second Swing (email), Europe/Paris",
		"hand-me-on-childrens-market: support (no admins), America/Chicago",
		"maintenance window every sunday from 23:00 for 3h",
		"Inhibited while the source fires, and for 6m after it resolves:\n  ApiFailing (cause api) inhibits ApiErrorsElevated, CheckoutErrorsElevated,",
		"  DatabaseDown (cause database) inhibits ApiErrorsElevated, ApiFailing,",
		"  ShopAccessRefused (cause shop_access) inhibits CheckoutErrorsElevated, ItemsNotSynced, OrderImportsFailing, SalesBelowExpected, ShopThrottled, SyncFailing, SyncLate, SyncStalled (equal: client)",
		"CacheLatencyHigh, ClientApiLatencyHigh, ClientApiSlow of P1, P2, P3\n",
		"ValidTokensRefused as P0: 1m30s",
	} {
		if !strings.Contains(policy, want) {
			t.Errorf("the policy lacks %q:\n%s", want, policy)
		}
	}
}

// The alert for client admins selects, by labels, the alerts whose outages are recorded.
func TestClientsAreNotifiedOfTheOutagesThatAreRecorded(t *testing.T) {
	files := shipped(t)
	text := string(files["rules/alerts/clients.yml"].Data)
	if want := fmt.Sprintf(`client=%q,priority="P0",category=~%q,alertname!~"Slo.+"`, Platform, strings.Join(outageCategories, "|")); !strings.Contains(text, want) {
		t.Errorf("rules/alerts/clients.yml does not select %s", want)
	}
	files["rules/alerts/ours.yml"] = ruleFile("SearchDown", "client: _platform", "priority: P0", "team: technical", "category: downtime")
	files["rules/alerts/more.yml"] = ruleFile("SearchSlow", "client: _platform", "priority: P1", "team: technical", "category: downtime")
	made, err := Render(files)
	if err != nil {
		t.Fatal(err)
	}
	recorded := string(made[ClientsFile])
	if want := "      - record: platform:outage:info\n        expr: |\n          group(\n            vector(1)\n          )\n        labels: {source_alertname: SearchDown}\n"; !strings.Contains(recorded, want) || strings.Contains(recorded, "SearchSlow") || strings.Contains(recorded, "SloTrafficStopped") {
		t.Errorf("%s is\n%s\nwant\n%s", ClientsFile, recorded, want)
	}
}

func TestAnInventoryWithoutClients(t *testing.T) {
	files := shipped(t)
	text := string(files[SiteFile].Data)
	from, to := strings.Index(text, "clients:\n"), strings.Index(text, "\npolicy:")
	files[SiteFile] = &fstest.MapFile{Data: []byte(text[:from] + "clients: []\n" + text[to:])}
	made, err := Render(files)
	if err != nil {
		t.Fatal(err)
	}
	if got := string(made[ClientsFile]); !strings.Contains(got, "  - name: clients\n    rules: []\n") {
		t.Errorf("%s is\n%s", ClientsFile, got)
	}
}

// The clock of the escalation and ackd have the same time; `consignwatch check` holds keep_firing_for against it.
func TestWhatEndsAnIncidentIsOneTime(t *testing.T) {
	files := shipped(t)
	change(t, files, SiteFile, "resolve_grace: 2m ", "resolve_grace: 3m ")
	made, err := load(t, files).Files()
	if err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string]string{AckPolicyFile: "\nresolve_grace: 3m\n", ClockFile: firingSinceMetric + "[3m]"} {
		if !strings.Contains(string(made[file]), want) {
			t.Errorf("%s lacks %q", file, want)
		}
	}
}

func TestAnAcknowledgementEndsOnlyWhereThePolicySaysSo(t *testing.T) {
	files := shipped(t)
	change(t, files, SiteFile, "ack_timeout: 4h, ", "")
	made, err := load(t, files).Files()
	if err != nil {
		t.Fatal(err)
	}
	if text := string(made[AckPolicyFile]); !strings.HasSuffix(text, "ack_timeout:\n  P0: 30m\n") {
		t.Errorf("%s is\n%s", AckPolicyFile, text)
	}
	if text := string(made[EscalationFile]); !strings.Contains(text, `ALERTS{alertstate="firing",priority=~"P0",team!="client_admin"`) {
		t.Errorf("%s is\n%s", EscalationFile, text)
	}
	change(t, files, SiteFile, "ack_timeout: 30m, ", "")
	if made, err = load(t, files).Files(); err != nil {
		t.Fatal(err)
	}
	if text := string(made[AckPolicyFile]); !strings.HasSuffix(text, "ack_timeout: {}\n") {
		t.Errorf("%s is\n%s", AckPolicyFile, text)
	}
	if strings.Contains(string(made[EscalationFile]), acknowledgementEnding) {
		t.Errorf("%s has an alert that cannot fire", EscalationFile)
	}
}
