package routing

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/consignwatch/consignwatch/pkg/yamlfile"
)

// TimeZone is a location of the time zone database.
type TimeZone struct{ *time.Location }

// UnmarshalYAML reads a name like Europe/Paris.
func (z *TimeZone) UnmarshalYAML(n *yaml.Node) error {
	l, err := time.LoadLocation(n.Value)
	if err != nil || n.Value == "" || n.Value == "Local" {
		return fmt.Errorf("line %d: %q is not a time zone like Europe/Paris", n.Line, n.Value)
	}
	z.Location = l
	return nil
}

const day = 24 * time.Hour

// Clock is a time of day: 08:00. The end of the day is 24:00.
type Clock time.Duration

// UnmarshalYAML reads 08:00, with or without quotes: YAML 1.2 has no sexagesimal numbers.
func (c *Clock) UnmarshalYAML(n *yaml.Node) error {
	if n.Value == "24:00" {
		*c = Clock(day)
		return nil
	}
	t, err := time.Parse("15:04", n.Value)
	if err != nil || len(n.Value) != 5 {
		return fmt.Errorf("line %d: %q is not a time of day like 08:00", n.Line, n.Value)
	}
	*c = Clock(time.Duration(t.Hour())*time.Hour + time.Duration(t.Minute())*time.Minute)
	return nil
}

func (c Clock) String() string {
	d := time.Duration(c)
	return fmt.Sprintf("%02d:%02d", int(d.Hours()), int(d.Minutes())%60)
}

var weekdays = [...]string{"sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"}

// Weekday is a day of the week in English.
type Weekday time.Weekday

// UnmarshalYAML reads monday.
func (d *Weekday) UnmarshalYAML(n *yaml.Node) error {
	i := slices.Index(weekdays[:], strings.ToLower(n.Value))
	if i < 0 {
		return fmt.Errorf("line %d: %q is not a day like monday", n.Line, n.Value)
	}
	*d = Weekday(i)
	return nil
}

func (d Weekday) String() string { return weekdays[d] }

// Hours are the office hours of a team, or the hours of client admins.
type Hours struct {
	Days     []Weekday `yaml:"days"`
	From     Clock     `yaml:"from"`
	To       Clock     `yaml:"to"`
	TimeZone TimeZone  `yaml:"time_zone"`
}

func (h Hours) check(file *yamlfile.File, key string, zone bool) error {
	var errs []error
	if len(h.Days) == 0 {
		errs = append(errs, file.Errorf(key+".days", "missing: list them, like [monday, tuesday]"))
	}
	if h.To <= h.From {
		errs = append(errs, file.Errorf(key+".to", "must be later than from, on the same day"))
	}
	if !zone && h.TimeZone.Location != nil {
		errs = append(errs, file.Errorf(key+".time_zone", "every client has its own: clients.N.time_zone"))
	}
	return errors.Join(errs...)
}

// startingAfter returns the hours with a later beginning, for contacts that are notified after the head start of the initial contact.
func (h Hours) startingAfter(delay time.Duration) Hours {
	h.From = min(h.From+Clock(delay), h.To-Clock(time.Minute))
	return h
}

func (h Hours) description() string {
	names := make([]string, len(h.Days))
	for i, d := range h.Days {
		names[i] = strings.ToUpper(d.String()[:1]) + d.String()[1:3]
	}
	return fmt.Sprintf("%s from %s to %s", strings.Join(names, ", "), h.From, h.To)
}

// Moment is a date and time of day without a time zone: it is that of the client.
type Moment struct{ time.Time }

// UnmarshalYAML reads 2026-12-05 22:00.
func (m *Moment) UnmarshalYAML(n *yaml.Node) error {
	t, err := time.Parse("2006-01-02 15:04", n.Value)
	if err != nil {
		return fmt.Errorf("line %d: %q is not a time like 2026-12-05 22:00", n.Line, n.Value)
	}
	m.Time = t
	return nil
}

// Window is a maintenance window, weekly or once, during which the client's alerts are muted.
type Window struct {
	Days   []Weekday         `yaml:"days"` // each week
	Start  Clock             `yaml:"start"`
	Length yamlfile.Duration `yaml:"length"`
	From   Moment            `yaml:"from"` // once
	To     Moment            `yaml:"to"`
}

func (w *Window) weekly() bool { return len(w.Days) > 0 }

func (w *Window) check(file *yamlfile.File, key string) error {
	once := !w.From.IsZero() || !w.To.IsZero()
	switch {
	case w.weekly() == once:
		return file.Errorf(key, "needs either days, start and length (weekly), or from and to (once)")
	case w.weekly() && (w.Length <= 0 || time.Duration(w.Length) > day):
		return file.Errorf(key+".length", "must be between 1m and 1d: a longer one would mute a client for good")
	case once && !w.To.After(w.From.Time):
		return file.Errorf(key+".to", "must be later than from")
	case once && w.To.Sub(w.From.Time) > 7*day:
		return file.Errorf(key+".to", "must be within 7 days of from: a longer one would mute a client for good")
	}
	return nil
}

func (w *Window) description() string {
	if !w.weekly() {
		return fmt.Sprintf("once, from %s to %s", w.From.Format("2006-01-02 15:04"), w.To.Format("2006-01-02 15:04"))
	}
	names := make([]string, len(w.Days))
	for i, d := range w.Days {
		names[i] = d.String()
	}
	return fmt.Sprintf("every %s from %s for %s", strings.Join(names, ", "), w.Start, w.Length)
}

// timeInterval is an entry of Alertmanager's time_intervals.
type timeInterval struct {
	Name      string      `yaml:"name"`
	Intervals []timeRange `yaml:"time_intervals"`
}

// timeRange is a part of one day, each week or once: an entry of a time interval.
type timeRange struct {
	Years    []string   `yaml:"years,omitempty,flow"`
	Months   []string   `yaml:"months,omitempty,flow"`
	Days     []string   `yaml:"days_of_month,omitempty,flow"`
	Weekdays []string   `yaml:"weekdays,omitempty,flow"`
	Times    []timeSpan `yaml:"times,omitempty"`
	Location string     `yaml:"location"`
}

type timeSpan struct {
	Start string `yaml:"start_time"`
	End   string `yaml:"end_time"`
}

func (h Hours) interval(name string, zone *time.Location) timeInterval {
	var days []string
	for _, d := range h.Days {
		days = append(days, d.String())
	}
	return timeInterval{name, []timeRange{{Weekdays: days, Times: []timeSpan{{h.From.String(), h.To.String()}}, Location: zone.String()}}}
}

// spans splits the window, extended at its end, into parts of days, as Alertmanager's time intervals need it.
func (w *Window) spans(extension time.Duration, zone *time.Location) []timeRange {
	var all []timeRange
	if !w.weekly() {
		for from, to := w.From.Time, w.To.Add(extension); from.Before(to); {
			midnight := from.Truncate(day).Add(day) // a Moment is stored as UTC
			end := midnight
			if to.Before(midnight) {
				end = to
			}
			all = append(all, timeRange{
				Years: []string{from.Format("2006")}, Months: []string{fmt.Sprint(int(from.Month()))}, Days: []string{fmt.Sprint(from.Day())},
				Times: []timeSpan{partOfDay(from.Sub(midnight.Add(-day)), end.Sub(midnight.Add(-day)))}, Location: zone.String(),
			})
			from = end
		}
		return all
	}
	length := min(time.Duration(w.Length)+extension, 7*day)
	for _, first := range w.Days {
		left, start := length, time.Duration(w.Start)
		for d := int(first); left > 0; d++ {
			end := min(start+left, day)
			all = append(all, timeRange{Weekdays: []string{weekdays[d%7]}, Times: []timeSpan{partOfDay(start, end)}, Location: zone.String()})
			left, start = left-(end-start), 0
		}
	}
	return all
}

func partOfDay(start, end time.Duration) timeSpan {
	return timeSpan{Clock(start).String(), Clock(end).String()}
}
