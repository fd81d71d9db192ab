package events

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/consignwatch/consignwatch/exporters/events/internal/aggregate"
	"github.com/consignwatch/consignwatch/exporters/events/internal/cloudevent"
	"github.com/consignwatch/consignwatch/exporters/events/internal/mapping"
	"github.com/consignwatch/consignwatch/pkg/catalog"
)

// explain reads sample events, structured CloudEvents with one on each line, and writes which series each of them would
// increase or set, or why it would not be counted. It returns the number of events that are not counted.
func explain(r io.Reader, w io.Writer, m *mapping.Mapping) (uncounted int, err error) {
	a, err := aggregate.New(m, aggregate.Options{})
	if err != nil {
		return 0, err
	}
	x := explainer{aggregator: a, shard: a.Shard("sample", 0), out: bufio.NewWriter(w), rejected: map[[2]string]uint64{}}
	x.shard.Assign(0, "")
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
	aggregator *aggregate.Aggregator
	shard      *aggregate.Shard
	out        *bufio.Writer
	rejected   map[[2]string]uint64
}

// line counts one event and writes its outcome. It is false when the event was not counted.
func (x *explainer) line(n int, text []byte) bool {
	e := x.shard.Explain(time.Now(), &cloudevent.Record{Value: text, Offset: int64(n)})
	switch e.Outcome {
	case aggregate.Counted:
		fmt.Fprintf(x.out, "line %d: counted: %s\n", n, e.Type)
		for _, c := range e.Changes {
			switch c.Type {
			case catalog.Counter:
				fmt.Fprintf(x.out, "  %s +%v\n", c.Series, c.Value)
			case catalog.Histogram:
				fmt.Fprintf(x.out, "  %s observes %v\n", c.Series, c.Value)
			case catalog.Gauge:
				fmt.Fprintf(x.out, "  %s is %v, of this source\n", c.Series, c.Value)
			}
		}
		x.rejectedLabels()
	case aggregate.Duplicate:
		fmt.Fprintf(x.out, "line %d: duplicate: an earlier event has the same source and id\n", n)
	default:
		fmt.Fprintf(x.out, "line %d: %v: %v\n", n, e.Outcome, e.Problem)
	}
	return e.Outcome == aggregate.Counted
}

// rejectedLabels writes which labels became "other".
func (x *explainer) rejectedLabels() {
	x.aggregator.Rejected(func(metric, label string, n uint64) {
		if key := [2]string{metric, label}; n > x.rejected[key] {
			fmt.Fprintf(x.out, "  note: label %s of %s became \"other\": its value is missing, not in the label's domain, looks like an id, or is over its limit\n", label, metric)
			x.rejected[key] = n
		}
	})
}
