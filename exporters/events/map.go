package events

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// Explain reads sample events, structured CloudEvents with one on each line, and writes what each of them would do to
// which series, or why it would do nothing. It returns how many did not count.
func Explain(r io.Reader, w io.Writer, m *Mapping, o Options) (refused int, err error) {
	l, err := NewLedger(m, o)
	if err != nil {
		return 0, err
	}
	x := explainer{ledger: l, shard: l.Shard("sample", 0), out: bufio.NewWriter(w), rejected: map[[2]string]uint64{}}
	x.shard.Assign(0)
	x.reset()
	in := bufio.NewReader(r)
	for line := 1; ; line++ {
		text, err := in.ReadBytes('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			return refused, fmt.Errorf("line %d: %w", line, err)
		}
		if text = bytes.TrimSpace(text); len(text) > 0 && !x.line(line, text) {
			refused++
		}
		if err != nil {
			return refused, x.out.Flush()
		}
	}
}

type explainer struct {
	ledger   *Ledger
	shard    *Shard
	out      *bufio.Writer
	rejected map[[2]string]uint64
}

// line counts one event and writes what came of it. It is false when the event did not count.
func (x *explainer) line(n int, text []byte) bool {
	outcome, problem := x.shard.Count(time.Now(), &Record{Value: text, Offset: int64(n)})
	switch outcome {
	case Counted:
		d := &x.shard.decoder
		fmt.Fprintf(x.out, "line %d: counted: %s\n", n, d.text(&d.slots[slotType]))
		x.cells()
		x.gauges()
		x.others()
	case Duplicate:
		fmt.Fprintf(x.out, "line %d: duplicate: an earlier event has the same source and id\n", n)
	default:
		fmt.Fprintf(x.out, "line %d: %v: %v\n", n, outcome, problem)
	}
	x.reset()
	return outcome == Counted
}

// cells writes what has changed, in the order of the feeds. All numbers are 0 before each event.
func (x *explainer) cells() {
	s := x.shard
	for _, i := range s.dirty {
		c := &s.cells[i]
		m := c.series.metric
		if slices.Contains(s.records[:], c.at) || s.delay == c.at {
			continue
		}
		words := s.now[c.at+1 : c.at+1+m.words]
		last := words[len(words)-1]
		verb := "+"
		if m.words > 1 {
			verb = "observes "
		}
		fmt.Fprintf(x.out, "  %s %s%v\n", c.series, verb, c.series.number(last))
	}
}

func (x *explainer) gauges() {
	var lines []string
	for k, g := range x.shard.gauges {
		lines = append(lines, fmt.Sprintf("  %s is %v, of this source\n", k.series, g.value))
	}
	slices.Sort(lines)
	x.out.WriteString(strings.Join(lines, ""))
}

// others writes which labels became "other".
func (x *explainer) others() {
	x.ledger.Rejected(func(metric, label string, n uint64) {
		if key := [2]string{metric, label}; n > x.rejected[key] {
			fmt.Fprintf(x.out, "  note: label %s of %s became \"other\": its value is missing, not in the label's domain, or over its limit\n", label, metric)
			x.rejected[key] = n
		}
	})
}

// reset sets all numbers back to 0, so that the next event's stand alone.
func (x *explainer) reset() {
	s := x.shard
	for _, i := range s.dirty {
		c := &s.cells[i]
		clear(s.now[c.at+1 : c.at+1+c.series.metric.words])
		s.now[c.at] &^= dirtyBit
	}
	s.dirty = s.dirty[:0]
	clear(s.gauges)
}

// String writes a series as Prometheus does, with the labels in the order of the declaration.
func (s *series) String() string {
	var labels []string
	for i := range s.metric.decl.Labels {
		labels = append(labels, fmt.Sprintf("%s=%q", s.metric.decl.Labels[i].Name, s.values[i]))
	}
	if len(labels) == 0 {
		return s.metric.decl.Name
	}
	return s.metric.decl.Name + "{" + strings.Join(labels, ",") + "}"
}
