package recording

import (
	"archive/tar"
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/klauspost/compress/zstd"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
)

// Extension is how the name of a file with a recording ends.
const Extension = ".tar.zst"

// blockDuration is how much time a block may hold, in milliseconds: a recording is one block.
const blockDuration = 31 * 24 * 60 * 60 * 1000

// unpackedMost is the most that a recording may be when it is unpacked.
const unpackedMost = 4 << 30

// Write stores a recording in a file: a block of Prometheus' storage, in a tar archive, compressed by zstd. It is written beside the file and renamed.
// Unpacked into the data folder of a Prometheus, that Prometheus shows it.
func (r *Recording) Write(file string) (err error) {
	if len(r.Series) == 0 {
		return errors.New("a recording without series is not written")
	}
	folder, err := os.MkdirTemp("", "consignwatch-recording-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(folder)) }()
	series := make([]storage.Series, 0, len(r.Series))
	for _, s := range r.Series {
		series = append(series, promql.NewStorageSeries(s))
	}
	block, err := tsdb.CreateBlock(series, folder, blockDuration, slog.New(slog.DiscardHandler))
	if err != nil {
		return fmt.Errorf("recording %s: %w", file, err)
	}
	out, err := os.CreateTemp(filepath.Dir(file), filepath.Base(file)+".new-")
	if err != nil {
		return err
	}
	defer os.Remove(out.Name()) // unless it is renamed
	if err := errors.Join(pack(out, block), out.Chmod(0o644), out.Close()); err != nil {
		return fmt.Errorf("recording %s: %w", file, err)
	}
	return os.Rename(out.Name(), file)
}

// pack writes a folder into an archive. Times and owners are left out: the same recording is the same file but for the block's name.
func pack(out io.Writer, folder string) error {
	compressed, err := zstd.NewWriter(out, zstd.WithEncoderLevel(zstd.SpeedBestCompression))
	if err != nil {
		return err
	}
	archive := tar.NewWriter(compressed)
	err = filepath.WalkDir(folder, func(file string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		name, err := filepath.Rel(filepath.Dir(folder), file)
		if err != nil {
			return err
		}
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		if err := archive.WriteHeader(&tar.Header{Name: filepath.ToSlash(name), Mode: 0o644, Size: int64(len(text))}); err != nil {
			return err
		}
		_, err = archive.Write(text)
		return err
	})
	return errors.Join(err, archive.Close(), compressed.Close())
}

// Open reads a recording from a file that Write has written.
func Open(ctx context.Context, file string) (r *Recording, err error) {
	in, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	folder, err := os.MkdirTemp("", "consignwatch-recording-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(folder)) }()
	name, err := unpack(in, folder)
	if err != nil {
		return nil, fmt.Errorf("%s is not a recording: %w", file, err)
	}
	r, err = openBlock(ctx, filepath.Join(folder, name))
	if err != nil {
		return nil, fmt.Errorf("%s is not a recording: %w", file, err)
	}
	return r, nil
}

// unpack writes the files of an archive, all of them in one folder, and returns that folder's name.
func unpack(in io.Reader, into string) (folder string, err error) {
	compressed, err := zstd.NewReader(bufio.NewReader(in))
	if err != nil {
		return "", err
	}
	defer compressed.Close()
	archive := tar.NewReader(io.LimitReader(compressed, unpackedMost))
	for {
		header, err := archive.Next()
		switch {
		case err == io.EOF && folder == "":
			return "", errors.New("the archive is empty")
		case err == io.EOF:
			return folder, nil
		case err != nil:
			return "", err
		}
		name := path.Clean(header.Name)
		top, _, inside := strings.Cut(name, "/")
		if !filepath.IsLocal(name) || !inside || folder != "" && top != folder {
			return "", fmt.Errorf("the archive has a file %q, and should have one folder", header.Name)
		}
		folder = top
		file := filepath.Join(into, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			return "", err
		}
		out, err := os.OpenFile(file, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
		if err != nil {
			return "", err
		}
		_, err = io.Copy(out, archive)
		if err := errors.Join(err, out.Close()); err != nil {
			return "", err
		}
	}
}

func readBlock(ctx context.Context, block *tsdb.Block) (*Recording, error) {
	meta := block.Meta()
	querier, err := tsdb.NewBlockQuerier(block, meta.MinTime, meta.MaxTime)
	if err != nil {
		return nil, err
	}
	defer querier.Close()
	everything := labels.MustNewMatcher(labels.MatchNotEqual, model.MetricNameLabel, "")
	r := &Recording{}
	set := querier.Select(ctx, true, nil, everything)
	for set.Next() {
		at := set.At()
		s := promql.Series{Metric: at.Labels()}
		samples := at.Iterator(nil)
		for kind := samples.Next(); kind != chunkenc.ValNone; kind = samples.Next() {
			if kind != chunkenc.ValFloat {
				return nil, fmt.Errorf("%s is a native histogram, which cannot be read yet", s.Metric)
			}
			t, v := samples.At()
			s.Floats = append(s.Floats, promql.FPoint{T: t, F: v})
		}
		if err := samples.Err(); err != nil {
			return nil, err
		}
		r.Series = append(r.Series, s)
	}
	return r, set.Err()
}
