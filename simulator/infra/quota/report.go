package quota

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// sample is a metric of node_exporter's filesystem collector.
type sample struct {
	name, help string // the help text of node_exporter 1.12.1, word by word: the metric families are merged
	value      int64
}

// labels are those of a mounted file system.
const labels = `device="platform-images",device_error="",fstype="quota",mountpoint="/srv/platform/images"`

func (d *Disk) samples() []sample {
	free := max(d.config.Quota-d.used.Bytes, 0)
	files := d.config.Quota / bytesPerInode
	return []sample{
		{"node_filesystem_avail_bytes", "Filesystem space available to non-root users in bytes.", free},
		{"node_filesystem_device_error", "Whether an error occurred while getting statistics for the given device.", 0},
		{"node_filesystem_files", "Filesystem total file nodes.", files},
		{"node_filesystem_files_free", "Filesystem total free file nodes.", max(files-d.used.Files, 0)},
		{"node_filesystem_free_bytes", "Filesystem free space in bytes.", free},
		{"node_filesystem_readonly", "Filesystem read-only status.", 0},
		{"node_filesystem_size_bytes", "Filesystem size in bytes.", d.config.Quota},
	}
}

// Report measures the folder, and writes the textfile.
func (d *Disk) Report() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.measure(); err != nil {
		return err
	}
	return d.report()
}

// report writes the textfile atomically: node_exporter never reads half of it. The caller holds mu.
func (d *Disk) report() error {
	path := d.config.Textfile
	if path == "" {
		return nil
	}
	var page bytes.Buffer
	for _, s := range d.samples() {
		fmt.Fprintf(&page, "# HELP %[1]s %[2]s\n# TYPE %[1]s gauge\n%[1]s{%[3]s} %[4]d\n", s.name, s.help, labels, s.value)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("disk: textfile: %w", err)
	}
	// The collector takes every file that ends in .prom.
	if err := errors.Join(os.WriteFile(path+".new", page.Bytes(), 0o644), os.Rename(path+".new", path)); err != nil {
		return fmt.Errorf("disk: textfile: %w", err)
	}
	return nil
}

// reportLoop reports until the context ends. It logs the first error of an outage, and its end.
func (d *Disk) reportLoop(ctx context.Context) {
	defer close(d.done)
	ticker := time.NewTicker(reportEvery)
	defer ticker.Stop()
	failing := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		err := d.Report()
		switch {
		case err != nil && !failing:
			d.config.Logger.Warn("platform: the report of the disk fails", "err", err)
		case err == nil && failing:
			d.config.Logger.Info("platform: the report of the disk is written again")
		}
		failing = err != nil
	}
}
