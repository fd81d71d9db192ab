package recording

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/golang/snappy"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/prompb"
	"github.com/prometheus/prometheus/promql"

	"github.com/consignwatch/consignwatch/pkg/secret"
)

// part is how much time one request asks for: a server refuses an answer of more than 50 million samples, unless it is told otherwise.
const part = 5 * time.Minute

// largest is the most that an answer may be, compressed and not.
const largest = 1 << 30

// Fetch asks a Prometheus, or whoever else speaks its remote read protocol (Thanos, Mimir), for all that it scraped from one time to another, both of
// them included. The address is the one that its pages have, with a path if it has one. No data at all are an error.
func Fetch(ctx context.Context, client *http.Client, address string, from, to time.Time) (*Recording, error) {
	base, err := url.Parse(address)
	if err != nil || base.Host == "" || base.Scheme != "http" && base.Scheme != "https" {
		return nil, fmt.Errorf("%q is not an address like http://prometheus:9090", secret.Address(address))
	}
	if !from.Before(to) {
		return nil, fmt.Errorf("the recording would end (%s) before it begins (%s)", to.Format(time.RFC3339), from.Format(time.RFC3339))
	}
	address = base.Redacted()
	var all []promql.Series
	for begin := from; !begin.After(to); begin = begin.Add(part) {
		end := begin.Add(part - time.Millisecond)
		if end.After(to) {
			end = to
		}
		series, err := read(ctx, client, base.JoinPath("api/v1/read").String(), begin, end)
		if err != nil {
			return nil, fmt.Errorf("%s: remote read of %s to %s: %w", address, begin.UTC().Format(time.RFC3339), end.UTC().Format(time.RFC3339), err)
		}
		all = append(all, series...)
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("%s has no samples from %s to %s: is that the Prometheus that scraped, does it keep data for so long, and are the times right?",
			address, from.UTC().Format(time.RFC3339), to.UTC().Format(time.RFC3339))
	}
	return &Recording{Series: sortSeries(all)}, nil
}

func read(ctx context.Context, client *http.Client, address string, from, to time.Time) ([]promql.Series, error) {
	question, err := (&prompb.ReadRequest{
		Queries: []*prompb.Query{{
			StartTimestampMs: from.UnixMilli(), EndTimestampMs: to.UnixMilli(),
			Matchers: []*prompb.LabelMatcher{{Type: prompb.LabelMatcher_RE, Name: model.MetricNameLabel, Value: ".+"}},
		}},
		AcceptedResponseTypes: []prompb.ReadRequest_ResponseType{prompb.ReadRequest_SAMPLES},
	}).Marshal()
	if err != nil {
		return nil, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, address, bytes.NewReader(snappy.Encode(nil, question)))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Content-Type", "application/x-protobuf")
	request.Header.Set("Content-Encoding", "snappy")
	request.Header.Set("X-Prometheus-Remote-Read-Version", "0.1.0")
	response, err := client.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, largest+1))
	if err != nil {
		return nil, err
	}
	if response.StatusCode != http.StatusOK {
		text := strings.TrimSpace(string(body[:min(len(body), 1<<10)]))
		return nil, fmt.Errorf("%s: %s", response.Status, text)
	}
	if size, err := snappy.DecodedLen(body); err == nil && (size > largest || len(body) > largest) {
		return nil, fmt.Errorf("the answer is larger than %d bytes", largest)
	}
	text, err := snappy.Decode(nil, body)
	if err != nil {
		return nil, fmt.Errorf("the answer is not compressed as remote read is (%w): is this a Prometheus?", err)
	}
	var answer prompb.ReadResponse
	if err := answer.Unmarshal(text); err != nil {
		return nil, fmt.Errorf("the answer is not one of remote read: %w", err)
	}
	var all []promql.Series
	builder := labels.NewScratchBuilder(16)
	for _, result := range answer.Results {
		for _, t := range result.Timeseries {
			builder.Reset()
			for _, l := range t.Labels {
				builder.Add(l.Name, l.Value)
			}
			builder.Sort()
			s := promql.Series{Metric: builder.Labels(), Floats: make([]promql.FPoint, 0, len(t.Samples))}
			if !Scraped(s.Metric) {
				continue
			}
			if len(t.Histograms) > 0 {
				return nil, fmt.Errorf("%s is a native histogram, which cannot be recorded yet", s.Metric)
			}
			for _, x := range t.Samples {
				s.Floats = append(s.Floats, promql.FPoint{T: x.Timestamp, F: x.Value})
			}
			all = append(all, s)
		}
	}
	return all, nil
}
