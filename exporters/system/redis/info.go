package redis

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/consignwatch/consignwatch/pkg/exporter"
)

// info are the fields of INFO. What is not known is skipped: each version has more of them.
type info map[string]string

// parseInfo reads lines of the form field:value; lines that begin with # name sections.
func parseInfo(text string) info {
	info := info{}
	for line := range strings.Lines(text) {
		if key, value, ok := strings.Cut(strings.TrimRight(line, "\r\n"), ":"); ok && !strings.HasPrefix(line, "#") {
			info[key] = value
		}
	}
	return info
}

// number is a value as a number. Values may be text: those are no numbers.
func (i info) number(key string) (float64, bool) {
	v, err := strconv.ParseFloat(i[key], 64)
	return v, err == nil && !math.IsNaN(v) && !math.IsInf(v, 0)
}

// list reads a value of the form a=1,b=2.
func list(value string) info {
	n := info{}
	for part := range strings.SplitSeq(value, ",") {
		if key, v, ok := strings.Cut(part, "="); ok {
			n[key] = v
		}
	}
	return n
}

// keys are the numbers of keys by database: db0:keys=10,expires=2,avg_ttl=0.
func (i info) keys() map[string]float64 {
	keys := map[string]float64{}
	for field, value := range i {
		db, ok := strings.CutPrefix(field, "db")
		if _, err := strconv.ParseUint(db, 10, 16); !ok || err != nil {
			continue
		}
		if n, ok := list(value).number("keys"); ok {
			keys[db] = n
		}
	}
	return keys
}

// replicationLag is how far the slowest replica that is online is behind its source, which this server is:
// slave0:ip=10.0.0.2,port=6379,state=online,offset=14,lag=0.
func (i info) replicationLag() (bytes float64, ok bool) {
	written, known := i.number("master_repl_offset")
	if !known || i["role"] != "master" {
		return 0, false
	}
	for field, value := range i {
		replica, isReplica := strings.CutPrefix(field, "slave")
		if _, err := strconv.ParseUint(replica, 10, 16); !isReplica || err != nil {
			continue
		}
		l := list(value)
		if offset, known := l.number("offset"); known && l["state"] == "online" {
			bytes, ok = max(bytes, written-offset), true
		}
	}
	return bytes, ok
}

// replicaLink reports whether this server, a replica, is connected to its source. ok is false for a server that is not a replica.
func (i info) replicaLink() (up, ok bool) {
	return i["master_link_status"] == "up", i["role"] == "slave"
}

// commandCount is a line of commandstats: cmdstat_get:calls=21,usec=175,usec_per_call=8.33,rejected_calls=0,failed_calls=0.
// Calls are those that were executed, the failed ones included, the rejected ones not.
type commandCount struct {
	calls, failed, rejected float64
	seconds                 float64
}

// commands are the counts by command, in lower case: some modules have theirs in capitals.
func (i info) commands() (map[string]commandCount, error) {
	commands := map[string]commandCount{}
	for field, value := range i {
		name, ok := strings.CutPrefix(field, "cmdstat_")
		if !ok {
			continue
		}
		l := list(value)
		calls, known := l.number("calls")
		if !known {
			return nil, parseError("INFO: %s has no number of calls: %q", field, value)
		}
		failed, _ := l.number("failed_calls") // from 6.2
		rejected, _ := l.number("rejected_calls")
		usec, _ := l.number("usec")
		name = strings.ToLower(name)
		c := commands[name]
		commands[name] = commandCount{c.calls + calls, c.failed + min(failed, calls), c.rejected + rejected, c.seconds + usec/1e6}
	}
	return commands, nil
}

// commandLatency is how long the calls of a command took.
type commandLatency struct {
	calls  uint64
	ranges []latencyRange
}

// latencyRange is an upper bound, and how many calls took no longer.
type latencyRange struct {
	seconds float64
	count   uint64
}

// parseLatency reads the answer to LATENCY HISTOGRAM: for each command its name and a list of calls and histogram_usec, which
// is a list of upper bounds in microseconds and cumulative counts. A bound whose count is that of the one before is left out.
func parseLatency(answer any) (map[string]commandLatency, error) {
	commands := map[string]commandLatency{}
	err := pairs(answer, func(name string, value any) error {
		var l commandLatency
		err := pairs(value, func(field string, value any) error {
			switch field {
			case "calls":
				n, ok := value.(int64)
				if !ok || n < 0 {
					return parseError("calls are %v", value)
				}
				l.calls = uint64(n)
			case "histogram_usec":
				return l.addRanges(value)
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("command %q: %w", name, err)
		}
		commands[strings.ToLower(name)] = l
		return nil
	})
	return commands, err
}

func (l *commandLatency) addRanges(value any) error {
	numbers, ok := value.([]any)
	if !ok || len(numbers)%2 != 0 {
		return parseError("histogram_usec is no list of pairs")
	}
	for i := 0; i < len(numbers); i += 2 {
		bound, isBound := numbers[i].(int64)
		count, isCount := numbers[i+1].(int64)
		if !isBound || !isCount || bound < 0 || count < 0 {
			return parseError("histogram_usec: the pair %v, %v is no bound and count", numbers[i], numbers[i+1])
		}
		l.ranges = append(l.ranges, latencyRange{float64(bound) / 1e6, uint64(count)})
	}
	return nil
}

// pairs walks a list of alternating names and values.
func pairs(answer any, each func(name string, value any) error) error {
	list, ok := answer.([]any)
	if !ok || len(list)%2 != 0 {
		return parseError("the answer is no list of pairs but %T", answer)
	}
	for i := 0; i < len(list); i += 2 {
		name, ok := list[i].(string)
		if !ok {
			return parseError("a name is a %T", list[i])
		}
		if err := each(name, list[i+1]); err != nil {
			return err
		}
	}
	return nil
}

// sameBound is how far a bound of the server may lie above one of ours that is the same.
const sameBound = 1.001

// histogram finds for each bound what the server counts up to it. The bounds are the server's own, so that nothing is lost:
// the count of one that is left out is that of the one before.
func (l *commandLatency) histogram(bounds []float64) exporter.HistogramValue {
	h := exporter.HistogramValue{Count: l.calls, Buckets: make([]uint64, len(bounds))}
	next, count := 0, uint64(0)
	for i, b := range bounds {
		for next < len(l.ranges) && l.ranges[next].seconds <= b*sameBound {
			count = max(count, l.ranges[next].count)
			next++
		}
		h.Buckets[i] = min(count, h.Count)
	}
	return h
}

func parseError(format string, args ...any) error {
	return exporter.Failure(exporter.ReasonParse, fmt.Errorf(format, args...))
}
