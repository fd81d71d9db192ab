package recording

import (
	"bufio"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"strings"

	"github.com/klauspost/compress/zstd"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/textparse"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/tsdb"
)

// Load reads what was recorded from whatever there is: a file that Write has written; an OpenMetrics dump, as `promtool tsdb dump-openmetrics` makes it,
// compressed by gzip or zstd or not; a block of a Prometheus; or a folder with one of these files. Of a dump, NaN is taken for a stale marker, which is
// what promtool makes of one.
func Load(ctx context.Context, path string) (*Recording, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	switch {
	case !info.IsDir() && strings.HasSuffix(path, Extension):
		return Open(ctx, path)
	case !info.IsDir():
		return openDump(path)
	}
	if _, err := os.Stat(filepath.Join(path, "meta.json")); err == nil {
		return openBlock(ctx, path)
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		return nil, err
	}
	var found []string
	for _, e := range entries {
		if name := e.Name(); !e.IsDir() && (strings.HasSuffix(name, Extension) || dump(name)) {
			found = append(found, name)
		}
	}
	if len(found) != 1 {
		return nil, fmt.Errorf("the folder %s has %d recordings (%s), want one: a file of consignwatch record (*%s), a block of Prometheus, or an OpenMetrics dump (*.om, *.txt, also with .gz or .zst)",
			path, len(found), strings.Join(found, ", "), Extension)
	}
	return Load(ctx, filepath.Join(path, found[0]))
}

func dump(name string) bool {
	name = strings.TrimSuffix(strings.TrimSuffix(name, ".gz"), ".zst")
	return strings.HasSuffix(name, ".om") || strings.HasSuffix(name, ".txt")
}

func openBlock(ctx context.Context, folder string) (r *Recording, err error) {
	block, err := tsdb.OpenBlock(slog.New(slog.DiscardHandler), folder, nil, nil)
	if err != nil {
		return nil, fmt.Errorf("%s is not a block of Prometheus: %w", folder, err)
	}
	defer func() { err = errors.Join(err, block.Close()) }()
	if r, err = readBlock(ctx, block); err != nil {
		return nil, fmt.Errorf("%s: %w", folder, err)
	}
	return r, nil
}

// openDump reads an OpenMetrics dump. What rules have recorded is left out.
func openDump(file string) (*Recording, error) {
	in, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	var text io.Reader = bufio.NewReader(in)
	switch filepath.Ext(file) {
	case ".gz":
		text, err = gzip.NewReader(text)
	case ".zst":
		text, err = zstd.NewReader(text)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	all, err := io.ReadAll(io.LimitReader(text, unpackedMost))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	series, err := parseDump(all)
	if err != nil {
		return nil, fmt.Errorf("%s is neither a file of consignwatch record nor an OpenMetrics dump: %w", file, err)
	}
	if len(series) == 0 {
		return nil, fmt.Errorf("%s has no samples", file)
	}
	return &Recording{Series: sortSeries(series)}, nil
}

func parseDump(text []byte) ([]promql.Series, error) {
	parser := textparse.NewOpenMetricsParser(text, labels.NewSymbolTable())
	places := map[uint64]int{} // in series, by the labels' hash
	var series []promql.Series
	for samples := 0; ; {
		entry, err := parser.Next()
		if errors.Is(err, io.EOF) {
			return series, nil
		}
		if err != nil {
			return nil, fmt.Errorf("after %d samples: %w", samples, err)
		}
		if entry != textparse.EntrySeries {
			continue
		}
		samples++
		var l labels.Labels
		parser.Labels(&l)
		if !Scraped(l) {
			continue
		}
		line, at, v := parser.Series()
		if at == nil {
			return nil, fmt.Errorf("%s has no timestamp", line)
		}
		if math.IsNaN(v) {
			v = math.Float64frombits(value.StaleNaN)
		}
		place, known := places[l.Hash()]
		if !known {
			place = len(series)
			places[l.Hash()] = place
			series = append(series, promql.Series{Metric: l})
		}
		series[place].Floats = append(series[place].Floats, promql.FPoint{T: *at, F: v})
	}
}
