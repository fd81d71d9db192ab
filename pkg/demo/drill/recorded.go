package drill

import (
	"bytes"
	_ "embed"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"

	"github.com/consignwatch/consignwatch/pkg/alerting/routing"
	"github.com/consignwatch/consignwatch/pkg/yamlfile"
)

const (
	// playsFolder has the golden files of the recorded incidents, RECORDING.PLAY.txt.
	playsFolder  = "test/incidents/testdata"
	recordedFile = "pkg/demo/drill/recorded.yml"
)

//go:embed recorded.yml
var recordedText []byte

// recordedAlerts are the alerts that fire in a recording of a fault, as patterns.
type recordedAlerts struct {
	// Every are P0 and P1 alerts that fire in every play of the recording, Some those that fire in some.
	Every []string `yaml:"every"`
	Some  []string `yaml:"some"`
	// Lower are P2 and P3 alerts.
	Lower []string `yaml:"lower"`
}

// recorded has the alerts of recorded.yml by recording. Callers must not change them.
var recorded = sync.OnceValue(func() map[string]recordedAlerts {
	var all map[string]recordedAlerts
	if _, err := yamlfile.Parse(recordedFile, recordedText, &all); err != nil {
		panic(fmt.Sprintf("drill: %v", err)) // it is embedded, and generated
	}
	return all
})

// Batches is the table of faults with the alerts that they fire: those that the table lists, and those that fire in the fault's recording. The faults of one batch
// can be on at the same time.
func Batches() [][]Fault {
	batches := table()
	for _, batch := range batches {
		for i := range batch {
			batch[i].add(recorded()[batch[i].Recording])
		}
	}
	return batches
}

// add adds the alerts of the fault's recording. Alerts that fire in every play of it need not fire beside other faults, so they are not added to those that must.
func (f *Fault) add(alerts recordedAlerts) {
	for _, pattern := range slices.Concat(alerts.Every, alerts.Some) {
		if !covered(pattern, f.MustFire) && !covered(pattern, f.MayFire) {
			f.MayFire = append(f.MayFire, pattern)
		}
	}
	f.lower = alerts.Lower
}

// covered reports whether all alerts that a pattern matches match one of the patterns.
func covered(pattern string, by []string) bool {
	return slices.ContainsFunc(by, func(p string) bool { return Matches(p, pattern) })
}

// Allowed are the alerts of all priorities that may fire besides those that must.
func (f *Fault) Allowed() []string {
	return slices.Concat(f.MayFire, f.lower, LowerSeverity(slices.Concat(f.MustFire, f.MayFire)))
}

// Render renders recorded.yml from the golden files of the recorded incidents below root. It is an error if an alert that a fault must fire does not fire in every
// play of its recording.
func Render(root fs.FS) (map[string][]byte, error) {
	if _, err := fs.Stat(root, playsFolder); err != nil {
		return nil, err // an installation has none
	}
	alerts := map[string]recordedAlerts{}
	for _, f := range slices.Concat(table()...) {
		if f.Recording == "" {
			continue
		}
		plays, err := readPlays(root, f.Recording)
		if err != nil {
			return nil, err
		}
		found := f.generalize(plays)
		for _, pattern := range f.MustFire {
			if !slices.ContainsFunc(found.Every, func(p string) bool { return Matches(pattern, p) || Matches(p, pattern) }) {
				return nil, fmt.Errorf("%s: the fault %s must fire %s, which does not fire in every play of the recording %s", recordedFile, f.Name, pattern, f.Recording)
			}
		}
		alerts[f.Recording] = found
	}
	out := bytes.NewBufferString("# Which alerts fire in the recordings of faults: P0 and P1 in every or in some of the plays, and lower ones. As patterns: @ is the fault's\n" +
		"# client, and a final * anything. Made from " + playsFolder + " by `consignwatch render`. Do not edit it here.\n")
	for _, recording := range slices.Sorted(maps.Keys(alerts)) {
		fmt.Fprintf(out, "\n%s:\n", recording)
		for _, list := range []struct {
			key      string
			patterns []string
		}{{"every", alerts[recording].Every}, {"some", alerts[recording].Some}, {"lower", alerts[recording].Lower}} {
			if len(list.patterns) > 0 {
				fmt.Fprintf(out, "  %s:\n", list.key)
			}
			for _, pattern := range list.patterns {
				fmt.Fprintf(out, "    - %q\n", pattern)
			}
		}
	}
	return map[string][]byte{recordedFile: out.Bytes()}, nil
}

// firedAlert is an alert that fires in a play.
type firedAlert struct{ priority, name, client, subject string }

// firedLine matches an alert in a golden file: when it fires, its priority, its name and its other labels.
var firedLine = regexp.MustCompile(`^\d\d:\d\d:\d\d - (?:\d\d:\d\d:\d\d| {8})  (\S+) (\S+) (.+)$`)

// readPlays reads the plays of a recording, by their names: which alerts fire in them, without those about other alerts and those without a priority.
func readPlays(root fs.FS, recording string) (map[string][]firedAlert, error) {
	files, err := fs.Glob(root, path.Join(playsFolder, recording+".*.txt"))
	if err != nil {
		return nil, err
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("%s: there is no play of the recording %s", playsFolder, recording)
	}
	plays := map[string][]firedAlert{}
	for _, file := range files {
		text, err := fs.ReadFile(root, file)
		if err != nil {
			return nil, err
		}
		if plays[file], err = parsePlay(file, string(text)); err != nil {
			return nil, err
		}
	}
	return plays, nil
}

func parsePlay(file, text string) ([]firedAlert, error) {
	var fired []firedAlert
	inList := false
	number := 0
	for line := range strings.Lines(text) {
		number++
		line = strings.TrimSuffix(line, "\n")
		switch {
		case line == "Alerts that fire":
			inList = true
		case line == "Notifications":
			return fired, nil
		case !inList || line == "":
		default:
			match := firedLine.FindStringSubmatch(line)
			var labels []string // client, component, subject and others
			if match != nil {
				labels = strings.Fields(match[3])
			}
			if len(labels) < 3 {
				return nil, fmt.Errorf("%s:%d: %q is not when an alert fires, and which", file, number, line)
			}
			first, _ := utf8.DecodeRuneInString(labels[0])
			other := unicode.IsUpper(first) // an escalation's level, or another alert's name
			if priority := match[1]; strings.HasPrefix(priority, "P") && !other {
				fired = append(fired, firedAlert{priority, match[2], labels[0], labels[2]})
			}
		}
	}
	return nil, fmt.Errorf("%s:%d: the file ends without the notifications", file, number)
}

// generalize makes patterns of the alerts that fire in the plays of the fault's recording. A client is the fault's if the alert that the fault is made for fires for
// it, and any otherwise.
func (f *Fault) generalize(plays map[string][]firedAlert) recordedAlerts {
	own := map[string]bool{}
	clients := []string{}
	subjects := map[string]map[string]bool{} // by the part of the pattern before them
	all := slices.Concat(slices.Collect(maps.Values(plays))...)
	for _, a := range all {
		own[a.client] = own[a.client] || f.Client != AllClients && a.name == alertName(f.MustFire[0])
		clients = append(clients, a.client)
	}
	// prefix is the pattern without the subject.
	prefix := func(a firedAlert) string {
		switch {
		case a.client == routing.Platform:
			return a.name + " " + a.client
		case own[a.client]:
			return a.name + " @"
		}
		return a.name
	}
	for _, a := range all {
		if subjects[prefix(a)] == nil {
			subjects[prefix(a)] = map[string]bool{}
		}
		subjects[prefix(a)][a.subject] = true
	}
	// A subject that says which machine or client it was in the recording is another one elsewhere.
	portable := func(subject string) bool {
		return !strings.Contains(subject, ":") && !slices.ContainsFunc(clients, func(c string) bool { return strings.Contains(subject, c) })
	}
	pattern := func(a firedAlert) string {
		p := prefix(a)
		if p == a.name || len(subjects[p]) > 1 || !portable(a.subject) {
			return p + " *"
		}
		return p + " " + a.subject
	}
	high, count := map[string]bool{}, map[string]int{}
	for _, play := range plays {
		inPlay := map[string]bool{}
		for _, a := range play {
			inPlay[pattern(a)] = true
			high[pattern(a)] = high[pattern(a)] || a.priority <= "P1"
		}
		for p := range inPlay {
			count[p]++
		}
	}
	var found recordedAlerts
	for _, p := range slices.Sorted(maps.Keys(count)) {
		switch {
		case !high[p]:
			found.Lower = append(found.Lower, p)
		case count[p] == len(plays):
			found.Every = append(found.Every, p)
		default:
			found.Some = append(found.Some, p)
		}
	}
	return found
}
