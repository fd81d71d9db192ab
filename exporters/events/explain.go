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

	"github.com/consignwatch/consignwatch/exporters/events/internal/cloudevent"
	"github.com/consignwatch/consignwatch/exporters/events/internal/mapping"
)

// Explain reads sample events, structured CloudEvents with one on each line, and writes which series each of them would
// increase or set, or why it would not be counted. It returns the number of events that are not counted.
func Explain(r io.Reader, w io.Writer, m *mapping.Mapping, o Options) (uncounted int, err error) {
	a, err := NewAggregator(m, o)
	if err != nil {
		return 0, err
	}
	x := explainer{aggregator: a, shard: a.Shard("sample", 0), out: bufio.NewWriter(w), rejected: map[[2]string]uint64{}}
	x.shard.Assign(0)
	x.reset()
	in := bufio.NewReader(r)
	for line := 1; ; line++ {
		text, err := in.ReadBytes('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			return uncounted, fmt.Errorf("line %d: %w", line, err)
		}
		if text = bytes.TrimSpace(text); len(text) > 0 && !x.line(line, text) {
			uncounted++
		}
		if err != nil {
			return uncounted, x.out.Flush()
		}
	}
}

type explainer struct {
	aggregator *Aggregator
	shard      *Shard
	out        *bufio.Writer
	rejected   map[[2]string]uint64
}

// line counts one event and writes its outcome. It is false when the event was not counted.
func (x *explainer) line(n int, text []byte) bool {
	outcome, problem := x.shard.Count(time.Now(), &cloudevent.Record{Value: text, Offset: int64(n)})
	switch outcome {
	case Counted:
		fmt.Fprintf(x.out, "line %d: counted: %s\n", n, x.shard.decoder.Attribute(cloudevent.SlotType))
		x.increments()
		x.gauges()
		x.rejectedLabels()
	case Duplicate:
		fmt.Fprintf(x.out, "line %d: duplicate: an earlier event has the same source and id\n", n)
	default:
		fmt.Fprintf(x.out, "line %d: %v: %v\n", n, outcome, problem)
	}
	x.reset()
	return outcome == Counted
}

// increments writes the series that have changed, in the order of the rules. All values are 0 before each event.
func (x *explainer) increments() {
	s := x.shard
	for _, i := range s.dirty {
		c := &s.states[i]
		m := c.series.metric
		if slices.Contains(s.records[:], c.at) || s.delay == c.at {
			continue
		}
		words := s.current[c.at+1 : c.at+1+m.Words]
		last := words[len(words)-1]
		verb := "+"
		if m.Words > 1 {
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

// rejectedLabels writes which labels became "other".
func (x *explainer) rejectedLabels() {
	x.aggregator.Rejected(func(metric, label string, n uint64) {
		if key := [2]string{metric, label}; n > x.rejected[key] {
			fmt.Fprintf(x.out, "  note: label %s of %s became \"other\": its value is missing, not in the label's domain, or over its limit\n", label, metric)
			x.rejected[key] = n
		}
	})
}

// reset sets all values to 0, so that increments writes those of the next event alone.
func (x *explainer) reset() {
	s := x.shard
	for _, i := range s.dirty {
		c := &s.states[i]
		clear(s.current[c.at+1 : c.at+1+c.series.metric.Words])
		s.current[c.at] &^= dirtyBit
	}
	s.dirty = s.dirty[:0]
	clear(s.gauges)
}

// String writes a series as Prometheus does, with the labels in the order of the declaration.
func (s *series) String() string {
	var labels []string
	for i := range s.metric.Decl.Labels {
		labels = append(labels, fmt.Sprintf("%s=%q", s.metric.Decl.Labels[i].Name, s.values[i]))
	}
	if len(labels) == 0 {
		return s.metric.Decl.Name
	}
	return s.metric.Decl.Name + "{" + strings.Join(labels, ",") + "}"
}
