package events

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/api"
	prometheusv1 "github.com/prometheus/client_golang/api/prometheus/v1"
	"github.com/prometheus/common/model"

	"github.com/consignwatch/consignwatch/pkg/httpclient"
)

// offsetSource queries Prometheus for the offsets that it has ingested: up to these the stream was counted.
type offsetSource struct {
	api      prometheusv1.API
	selector string // the matchers, as PromQL
	offsets  string // queries
	resets   string
}

// queryTimeout bounds one query to Prometheus.
const queryTimeout = 5 * time.Second

func newOffsetSource(p *Prometheus) (*offsetSource, error) {
	client, err := httpclient.New(p.HTTP, "prometheus")
	if err != nil {
		return nil, fmt.Errorf("prometheus.http: %w", err)
	}
	c, err := api.NewClient(api.Config{Address: p.URL, Client: client})
	if err != nil {
		return nil, fmt.Errorf("prometheus.url: %w", err)
	}
	var matchers []string
	for _, name := range slices.Sorted(maps.Keys(p.Matchers)) {
		matchers = append(matchers, fmt.Sprintf("%s=%q", name, p.Matchers[name]))
	}
	selector := strings.Join(matchers, ",")
	return &offsetSource{
		api:      prometheusv1.NewAPI(c),
		selector: selector,
		offsets:  fmt.Sprintf("max by (topic, partition, topic_id) (last_over_time(consignwatch_offset{%s}[%s]))", selector, p.Lookback),
		resets:   fmt.Sprintf("%s{%s}", resetMetric, selector),
	}, nil
}

// resetMetric is by what a process finds out that Prometheus has ingested its first response.
const resetMetric = "consignwatch_counters_reset_timestamp_seconds"

// resetSeconds is the value of resetMetric.
func resetSeconds(reset time.Time) float64 { return float64(reset.UnixMilli()) / 1e3 }

// stored returns the highest offset of each partition and topic id that Prometheus has, over all instances.
func (s *offsetSource) stored(ctx context.Context) (map[partitionID][]storedOffset, error) {
	vector, err := s.query(ctx, s.offsets)
	if err != nil {
		return nil, err
	}
	stored := map[partitionID][]storedOffset{}
	for _, sample := range vector {
		partition, err := strconv.ParseInt(string(sample.Metric["partition"]), 10, 32)
		if err != nil {
			return nil, fmt.Errorf("ask Prometheus for consignwatch_offset: partition %q is not a number", sample.Metric["partition"])
		}
		id := partitionID{string(sample.Metric["topic"]), int32(partition)}
		stored[id] = append(stored[id], storedOffset{string(sample.Metric["topic_id"]), int64(sample.Value)})
	}
	return stored, nil
}

// ingestedReset reports whether Prometheus has ingested a response of the process whose counters were reset at this time.
func (s *offsetSource) ingestedReset(ctx context.Context, reset time.Time) (bool, error) {
	vector, err := s.query(ctx, s.resets)
	return slices.ContainsFunc(vector, func(v *model.Sample) bool { return float64(v.Value) == resetSeconds(reset) }), err
}

// query asks Prometheus. A warning is an error: of a partial answer what is missing would be counted again.
func (s *offsetSource) query(ctx context.Context, query string) (model.Vector, error) {
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	// The zero time lets the server use its own clock.
	value, warnings, _, err := s.api.Query(ctx, query, time.Time{})
	vector, ok := value.(model.Vector)
	switch {
	case err != nil:
	case len(warnings) > 0:
		err = fmt.Errorf("the answer may be incomplete: %s", strings.Join(warnings, "; "))
	case !ok:
		err = fmt.Errorf("the answer is a %s, not a vector", value.Type())
	default:
		return vector, nil
	}
	return nil, fmt.Errorf("ask Prometheus: %s: %w", query, err)
}
