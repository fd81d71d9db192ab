package web

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/consignwatch/consignwatch/pkg/exporter"
	"github.com/consignwatch/consignwatch/pkg/secret"
)

// instance is a running exporter.
type instance struct {
	app     App
	path    string
	log     *slog.Logger
	manager *exporter.Manager

	buffers sync.Pool // of *bytes.Buffer, for scrape responses

	setup     atomic.Pointer[exporter.Setup] // the one in force
	reloading chan struct{}                  // holds a token during a reload, and for good once the exporter stops
	stopping  chan struct{}                  // closed when the exporter is asked to stop
}

func (a App) newInstance(path string, log *slog.Logger) (*instance, error) {
	manager, err := exporter.NewManager(log)
	if err != nil {
		return nil, err
	}
	in := &instance{app: a, path: path, log: log, manager: manager, reloading: make(chan struct{}, 1), stopping: make(chan struct{})}
	return in, in.reload()
}

// load reads a configuration that can be put in force.
func (a App) load(path string, log *slog.Logger) (*exporter.Setup, error) {
	s, err := a.Load(path, log)
	if err != nil {
		return nil, err
	}
	if err := s.Check(); err != nil {
		closeSetup(s, log)
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return s, nil
}

var errStopping = errors.New("the exporter is stopping")

// reload loads the configuration and puts it in force. When it cannot be loaded, everything stays as it is.
func (in *instance) reload() error {
	select {
	case in.reloading <- struct{}{}:
		defer func() { <-in.reloading }()
	case <-in.stopping:
		return errStopping
	}
	next, err := in.app.load(in.path, in.log)
	if err != nil {
		in.manager.ReloadFailed()
		return err
	}
	if old := in.setup.Load(); old != nil {
		ctx, cancel := context.WithTimeout(context.Background(), collectionsTimeout)
		if err := in.manager.Stop(ctx); err != nil {
			in.log.Warn("reload: the old collections go on in the background", "err", err)
		}
		cancel()
		closeSetup(old, in.log)
	}
	in.setup.Store(next)
	select {
	case <-in.stopping: // meanwhile: nothing starts any more, and there is nothing to drain
		next.Gatherer = nil
		return errStopping
	default:
	}
	in.manager.Apply(next)
	in.manager.Reloaded(hashOf(next.Text))
	return nil
}

// drain ends reloads for good, and gives the gatherer time for a last scrape. It does nothing when a reload under way has
// not ended before ctx does.
func (in *instance) drain(ctx context.Context) {
	close(in.stopping)
	select {
	case in.reloading <- struct{}{}:
	default: // a reload is under way
		select {
		case in.reloading <- struct{}{}:
		case <-ctx.Done():
			in.log.Warn("stopping in the middle of a reload, without a last scrape")
			return
		}
	}
	if g := in.setup.Load().Gatherer; g != nil {
		if err := within(ctx, func() error { g.Drain(ctx); return nil }); err != nil {
			in.log.Warn("stopping without a last scrape", "err", err)
		}
	}
}

// stop ends the collections and releases what they hold, or gives up when ctx ends.
func (in *instance) stop(ctx context.Context) error {
	err := in.manager.Stop(ctx)
	setup := in.setup.Load()
	if setup.Close == nil {
		return err
	}
	if closeErr := within(ctx, setup.Close); closeErr != nil {
		err = errors.Join(err, fmt.Errorf("close: %w", closeErr))
	}
	return err
}

// within calls a function, and returns when the function does, or ctx ends.
func within(ctx context.Context, f func() error) error {
	returned := make(chan error, 1)
	go func() { returned <- f() }()
	select {
	case err := <-returned:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func hashOf(text []byte) string {
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:8])
}

func (in *instance) handleReload(w http.ResponseWriter, r *http.Request, enabled bool) {
	switch {
	case !enabled:
		http.Error(w, "Reload by HTTP is off; start with --web.enable-lifecycle, or send SIGHUP.", http.StatusForbidden)
	case r.Method != http.MethodPost && r.Method != http.MethodPut:
		w.Header().Set("Allow", "POST, PUT")
		http.Error(w, "Reload needs POST or PUT.", http.StatusMethodNotAllowed)
	default:
		err := in.reloadAndLog()
		// A reload may take longer than any other response.
		http.NewResponseController(w).SetWriteDeadline(time.Now().Add(requestTimeout))
		if err != nil {
			http.Error(w, "The old configuration stays in force:\n"+secret.Mask(err.Error()), http.StatusInternalServerError)
			return
		}
		fmt.Fprintln(w, "The configuration was reloaded.")
	}
}

func (in *instance) reloadAndLog() error {
	err := in.reload()
	if err != nil {
		in.log.Error("reload failed, the old configuration stays in force", "err", err)
	} else {
		in.log.Info("configuration reloaded", "file", in.path)
	}
	return err
}
