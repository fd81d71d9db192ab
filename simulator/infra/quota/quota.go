// Package quota is the folder in which the simulated platform stores images: real files, and a quota that makes the folder full. Mounting
// a file system takes privileges that a container may not have; a folder needs none. The package writes the metrics that node_exporter
// has for a mounted file system to a textfile.
package quota

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"
)

const (
	blockSize       = 4096    // a file takes whole blocks
	bytesPerInode   = 8 << 10 // bytes per inode: the quota's number of inodes
	ballastFileSize = 1 << 20 // bytes
	reportEvery     = 2 * time.Second

	imagesFolder  = "images"
	ballastFolder = "ballast"
)

// Config says where the folder is. Only Dir has no default.
type Config struct {
	Dir string
	// Quota is the limit in bytes; 64 MiB.
	Quota int64
	// Textfile is the file for node_exporter's textfile collector; its name ends in .prom. Empty: none.
	Textfile string
	Logger   *slog.Logger // nil: nothing is logged
}

// ErrFull says that a file does not fit.
var ErrFull = errors.New("no space left in the quota")

// Disk is the folder. Its methods can be called from any goroutine.
type Disk struct {
	config Config
	stop   context.CancelFunc
	done   chan struct{}

	mu   sync.Mutex // one measurement or change at a time
	used Usage
}

// Usage is the used space and inodes of the folder.
type Usage struct{ Bytes, Files int64 }

// Open makes the folder if need be, deletes the ballast of an earlier run, and starts the reports.
func Open(config Config) (*Disk, error) {
	config.Quota = cmp.Or(config.Quota, 64<<20)
	if config.Logger == nil {
		config.Logger = slog.New(slog.DiscardHandler)
	}
	if config.Quota < 1<<20 {
		return nil, fmt.Errorf("disk %s: a quota of %d bytes: at least %d", config.Dir, config.Quota, 1<<20)
	}
	if config.Textfile != "" && filepath.Ext(config.Textfile) != ".prom" {
		return nil, fmt.Errorf("disk %s: textfile %s: node_exporter reads only files that end in .prom", config.Dir, config.Textfile)
	}
	d := &Disk{config: config, done: make(chan struct{})}
	if err := os.MkdirAll(filepath.Join(config.Dir, imagesFolder), 0o755); err != nil {
		return nil, fmt.Errorf("disk: %w", err)
	}
	if err := d.Clear(); err != nil {
		return nil, err
	}
	if err := d.Report(); err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(context.Background())
	d.stop = stop
	go d.reportLoop(ctx)
	return d, nil
}

// Close stops the reports and deletes the textfile, so that nobody reads an outdated one. The images stay.
func (d *Disk) Close() error {
	d.stop()
	<-d.done
	if d.config.Textfile == "" {
		return nil
	}
	if err := os.Remove(d.config.Textfile); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("disk: %w", err)
	}
	return nil
}

// Size returns the quota in bytes.
func (d *Disk) Size() int64 { return d.config.Quota }

// Usage measures the folder.
func (d *Disk) Usage() (Usage, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	err := d.measure()
	return d.used, err
}

// measure counts the files in the folder.
func (d *Disk) measure() error {
	var used Usage
	err := filepath.WalkDir(d.config.Dir, func(_ string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		info, err := entry.Info()
		if errors.Is(err, fs.ErrNotExist) { // deleted meanwhile
			return nil
		}
		if err != nil {
			return err
		}
		used.Files++
		used.Bytes += blocks(info.Size())
		return nil
	})
	if err != nil {
		return fmt.Errorf("disk: %w", err)
	}
	d.used = used
	return nil
}

// blocks returns the space that a file of some size takes.
func blocks(size int64) int64 { return (size + blockSize - 1) / blockSize * blockSize }

// Store stores an image of some size under a name. ErrFull: it does not fit.
func (d *Disk) Store(name string, size int64) error {
	if !filepath.IsLocal(name) || filepath.Base(name) != name {
		return fmt.Errorf("disk: image %q: a plain file name is needed", name)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.write(filepath.Join(d.config.Dir, imagesFolder, name), size)
}

// write writes a file of random bytes, if it fits. The caller holds mu.
func (d *Disk) write(path string, size int64) error {
	if d.used.Bytes+blocks(size) > d.config.Quota {
		return fmt.Errorf("disk: %s: %w", path, ErrFull)
	}
	content := make([]byte, size)
	for i := range content {
		content[i] = byte(rand.Uint32())
	}
	if err := os.WriteFile(path, content, 0o644); err != nil {
		return fmt.Errorf("disk: %w", err)
	}
	d.used.Files++
	d.used.Bytes += blocks(size)
	return nil
}

// Trim deletes the oldest images until no more than a share of the quota is used, or none is left.
func (d *Disk) Trim(share float64) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.measure(); err != nil {
		return err
	}
	limit := int64(share * float64(d.config.Quota))
	if d.used.Bytes <= limit {
		return nil
	}
	entries, err := os.ReadDir(filepath.Join(d.config.Dir, imagesFolder))
	if err != nil {
		return fmt.Errorf("disk: %w", err)
	}
	var images []fs.FileInfo
	for _, entry := range entries {
		if info, err := entry.Info(); err == nil { // else deleted meanwhile
			images = append(images, info)
		}
	}
	slices.SortFunc(images, func(a, b fs.FileInfo) int { return a.ModTime().Compare(b.ModTime()) })
	for _, image := range images {
		if d.used.Bytes <= limit {
			return nil
		}
		if err := os.Remove(filepath.Join(d.config.Dir, imagesFolder, image.Name())); err != nil {
			return fmt.Errorf("disk: %w", err)
		}
		d.used.Bytes -= blocks(image.Size())
		d.used.Files--
	}
	return nil
}

// Fill writes one more file of ballast, and reports whether a share of the quota is used then.
func (d *Disk) Fill(share float64) (full bool, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.measure(); err != nil {
		return false, err
	}
	missing := int64(share*float64(d.config.Quota)) - d.used.Bytes
	if missing < blockSize {
		return true, d.report()
	}
	folder := filepath.Join(d.config.Dir, ballastFolder)
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return false, fmt.Errorf("disk: %w", err)
	}
	size := min(ballastFileSize, missing/blockSize*blockSize)
	if err := d.write(filepath.Join(folder, fmt.Sprintf("%d-%d", time.Now().UnixNano(), size)), size); err != nil {
		return false, err
	}
	return missing-size < blockSize, d.report()
}

// Clear deletes the ballast.
func (d *Disk) Clear() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := os.RemoveAll(filepath.Join(d.config.Dir, ballastFolder)); err != nil {
		return fmt.Errorf("disk: %w", err)
	}
	if err := d.measure(); err != nil {
		return err
	}
	return d.report()
}
