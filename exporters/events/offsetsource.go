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
	commonconfig "github.com/prometheus/common/config"
	"github.com/prometheus/common/model"
)

// partitionID identifies a partition.
type partitionID struct {
	topic     string
	partition int32
}

// offsetSource queries Prometheus for the offsets that it has ingested: up to these the stream was counted.
type offsetSource struct {
	api   prometheusv1.API
	query string
}

// queryTimeout bounds one query to Prometheus.
const queryTimeout = 5 * time.Second

func newOffsetSource(p *Prometheus) (*offsetSource, error) {
	client, err := commonconfig.NewClientFromConfig(p.HTTP, "prometheus")
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
	query := fmt.Sprintf("max by (topic, partition) (last_over_time(consignwatch_offset{%s}[%s]))", strings.Join(matchers, ","), p.Lookback)
	return &offsetSource{api: prometheusv1.NewAPI(c), query: query}, nil
}

// offsets returns the highest offset of each partition that Prometheus has, over all instances. A partition that it has
// never seen is not in it.
func (s *offsetSource) offsets(ctx context.Context) (map[partitionID]int64, error) {
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	// The zero time lets the server use its own clock.
	value, _, _, err := s.api.Query(ctx, s.query, time.Time{})
	if err != nil {
		return nil, fmt.Errorf("ask Prometheus for consignwatch_offset: %w", err)
	}
	vector, ok := value.(model.Vector)
	if !ok {
		return nil, fmt.Errorf("ask Prometheus for consignwatch_offset: the answer is a %s, not a vector", value.Type())
	}
	offsets := make(map[partitionID]int64, len(vector))
	for _, sample := range vector {
		partition, err := strconv.ParseInt(string(sample.Metric["partition"]), 10, 32)
		if err != nil {
			return nil, fmt.Errorf("ask Prometheus for consignwatch_offset: partition %q is not a number", sample.Metric["partition"])
		}
		offsets[partitionID{string(sample.Metric["topic"]), int32(partition)}] = int64(sample.Value)
	}
	return offsets, nil
}
