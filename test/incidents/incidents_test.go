package incidents

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/consignwatch/consignwatch/pkg/demo/servers/serverstest"
	"github.com/consignwatch/consignwatch/pkg/golden"
	"github.com/consignwatch/consignwatch/pkg/recording"
	"github.com/consignwatch/consignwatch/pkg/replay"
	"github.com/consignwatch/consignwatch/pkg/yamlfile"
	"github.com/consignwatch/consignwatch/test/stack"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
)

const (
	root     = "../.."
	interval = 15 * time.Second // of the recordings' scrapes, and of evaluations
	lead     = 2 * time.Hour    // of the quiet hours before a fault

	// In a recording.
	faultOn  = 5 * time.Minute
	faultOff = 15 * time.Minute
	// held is for how many minutes more the last minute of a fault goes on, in an incident that is held: until the last level of a P0 is notified.
	held = 35

	quietHours = "quiet" // the recording in which nothing goes wrong
)

// addition are labels that series have today and had not when the recordings were made.
type addition struct {
	Why    string            `yaml:"why"`
	Series string            `yaml:"series"` // a selector
	Labels map[string]string `yaml:"labels"`
}

// open reads a recording, or what an incident is made of, and adds the labels that have come since.
func open(t *testing.T, name string) *recording.Recording {
	t.Helper()
	change, isMade := made[name]
	if isMade {
		name = change.of
	}
	r, err := recording.Open(t.Context(), filepath.Join("recordings", name+recording.Extension))
	if err != nil {
		t.Fatal(err)
	}
	var additions []addition
	if _, err := yamlfile.Read("recordings/labels.yml", &additions); err != nil {
		t.Fatal(err)
	}
	selectors := parser.NewParser(parser.Options{})
	for _, a := range additions {
		matchers, err := selectors.ParseMetricSelector(a.Series)
		if err != nil || a.Why == "" || len(a.Labels) == 0 {
			t.Fatalf("recordings/labels.yml: %+v: want a selector (%v), labels, and why", a, err)
		}
		r = r.With(matchers, labels.FromMap(a.Labels))
	}
	if isMade {
		begin, _, _ := r.Bounds()
		r = change.change(r, begin)
	}
	return r
}

// clock is when an incident is played: office hours, or a night when nobody works.
type clock struct {
	name string
	at   func(zone *time.Location) time.Time
}

var (
	wednesday = clock{"wednesday", func(z *time.Location) time.Time { return time.Date(2026, 3, 4, 10, 0, 0, 0, z) }}
	sunday    = clock{"sunday-night", func(z *time.Location) time.Time { return time.Date(2026, 3, 1, 3, 0, 0, 0, z) }}
)

// A play makes much garbage, and lives for seconds.
func TestMain(m *testing.M) {
	debug.SetGCPercent(400)
	os.Exit(m.Run())
}

// settings are rules and a routing, with what they have made of the quiet hours.
type settings struct {
	rules        []string
	alertmanager string // its configuration
	zone         *time.Location
	program      string // that plays Alertmanager
	folder       string // for the histories

	mu     sync.Mutex
	stages map[string]*stage
}

// stage is what all incidents that are played at one time have before them: the quiet hours, evaluated once.
type stage struct {
	once    sync.Once
	quiet   *recording.Recording // shifted, so that its last sample is one interval before the beginning
	history *replay.History
	posts   []replay.Post
	err     error
}

// read reads the settings below a folder that is laid out as the repository is.
func read(t *testing.T, root string) *settings {
	t.Helper()
	s := &settings{
		alertmanager: filepath.Join(root, "alertmanager/alertmanager.yml"), program: stack.Program(t, replay.Program), folder: t.TempDir(), stages: map[string]*stage{},
	}
	for _, pattern := range []string{"rules/recording/*.yml", "rules/alerts/*.yml"} {
		found, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil || len(found) == 0 {
			t.Fatalf("%d files are %s: %v", len(found), pattern, err)
		}
		s.rules = append(s.rules, found...)
	}
	text, err := os.ReadFile(filepath.Join(root, "alertmanager/site.yml"))
	if err != nil {
		t.Fatal(err)
	}
	var site struct {
		Platform struct {
			TimeZone string `yaml:"time_zone"`
		}
	}
	if err := yaml.Unmarshal(text, &site); err != nil {
		t.Fatal(err)
	}
	if s.zone, err = time.LoadLocation(site.Platform.TimeZone); err != nil {
		t.Fatal(err)
	}
	return s
}

// before evaluates the quiet hours that end when an incident begins.
func (s *settings) before(t *testing.T, c clock) *stage {
	t.Helper()
	s.mu.Lock()
	if s.stages[c.name] == nil {
		s.stages[c.name] = &stage{}
	}
	st := s.stages[c.name]
	s.mu.Unlock()
	st.once.Do(func() {
		begin := c.at(s.zone)
		quiet := open(t, quietHours)
		_, last, _ := quiet.Bounds()
		st.quiet = quiet.Shift(begin.Add(-interval).Sub(last))
		history := filepath.Join(s.folder, c.name)
		if st.err = os.Mkdir(history, 0o700); st.err == nil {
			st.history, st.posts, st.err = replay.Evaluated(t.Context(), replay.Config{RuleFiles: s.rules, Interval: interval, From: begin.Add(-lead), To: begin.Add(-interval)}, st.quiet, history)
		}
	})
	if st.err != nil {
		t.Fatal(st.err)
	}
	return st
}

// play is one recording at one time.
type play struct {
	recording string
	clock     clock
	held      bool
	// change, if there is one, is made to the recording that begins at a time.
	change func(r *recording.Recording, begin time.Time) *recording.Recording
}

// plays are all that the golden files are of.
func plays(t *testing.T) []play {
	t.Helper()
	files, err := filepath.Glob("recordings/*" + recording.Extension)
	if err != nil || len(files) == 0 {
		t.Fatalf("%d recordings: %v", len(files), err)
	}
	var all []play
	for name := range made {
		all = append(all, play{recording: name, clock: wednesday})
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), recording.Extension)
		all = append(all, play{recording: name, clock: wednesday})
		if name != quietHours {
			all = append(all, play{recording: name, clock: wednesday, held: true})
		}
		if slices.Contains([]string{"database-down", "shopify-down"}, name) {
			all = append(all, play{recording: name, clock: sunday})
		}
	}
	return all
}

// file is the name of the golden file, without its folder.
func (p play) file() string {
	name := p.recording + "." + p.clock.name
	if p.held {
		name += "-held"
	}
	return name + ".txt"
}

// with is what the settings make of an incident, for people to read: which alerts fire, and who is notified of what.
func (p play) with(t *testing.T, s *settings) string {
	t.Helper()
	stage, begin := s.before(t, p.clock), p.clock.at(s.zone)
	from, to, posts := begin.Add(-lead), begin.Add(-interval), stage.posts
	if p.recording != quietHours {
		r := open(t, p.recording)
		first, last, _ := r.Bounds()
		r = r.Shift(begin.Sub(first))
		if p.change != nil {
			r = p.change(r, begin)
		}
		from, to = begin, begin.Add(last.Sub(first))
		if p.held {
			// What came a moment after the fault may be of before it, and a recording begins with its first sample, up to an interval late.
			until := begin.Add(faultOff - 2*interval)
			r, to = r.Hold(begin.Add(faultOn+time.Minute), until, held), until.Add(held*time.Minute)
		}
		_, r = r.Follow(stage.quiet, interval)
		var err error
		posts, err = replay.Evaluate(t.Context(), replay.Config{RuleFiles: s.rules, Interval: interval, From: from, To: to, History: stage.history}, r)
		if err != nil {
			t.Fatal(err)
		}
	}
	sent, err := replay.Notify(t.Context(), s.program, s.alertmanager, posts, to)
	if err != nil {
		t.Fatal(err)
	}
	var text bytes.Buffer
	fmt.Fprintf(&text, "%s, from %s to %s\n\nAlerts that fire\n\n", p.recording, from.Format("Monday 2006-01-02 15:04"), to.Format("15:04"))
	replay.WriteIncidents(&text, replay.Incidents(posts), s.zone)
	fmt.Fprint(&text, "\nNotifications\n\n")
	replay.WriteNotifications(&text, sent, s.zone, false)
	return text.String()
}

func TestIncidentsAlertAndNotifyAsWritten(t *testing.T) {
	serverstest.Inputs(t, filepath.Join(root, "alertmanager/*.yml"), filepath.Join(root, "alertmanager/templates/*")) // the program reads them
	s := read(t, root)
	known := map[string]bool{}
	for _, p := range plays(t) {
		known[p.file()] = true
	}
	files, err := os.ReadDir("testdata")
	if err != nil && !golden.Update() {
		t.Fatal(err)
	}
	for _, file := range files {
		if !known[file.Name()] {
			t.Errorf("testdata/%s is of no recording", file.Name())
		}
	}
	for _, p := range plays(t) {
		t.Run(p.file(), func(t *testing.T) {
			t.Parallel()
			golden.Compare(t, filepath.Join("testdata", p.file()), p.with(t, s))
		})
	}
}
