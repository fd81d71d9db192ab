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

	"github.com/consignwatch/consignwatch/pkg/exporter"
)

// instance is a running exporter.
type instance struct {
	app     App
	path    string
	log     *slog.Logger
	manager *exporter.Manager

	buffers sync.Pool // of *bytes.Buffer, for scrape responses

	mu    sync.Mutex // held during a reload
	setup *exporter.Setup
}

func (a App) newInstance(path string, log *slog.Logger) (*instance, error) {
	manager, err := exporter.NewManager(log)
	if err != nil {
		return nil, err
	}
	in := &instance{app: a, path: path, log: log, manager: manager}
	return in, in.reload()
}

// reload loads the configuration and puts it in force. When it cannot be loaded, everything stays as it is.
func (in *instance) reload() error {
	in.mu.Lock()
	defer in.mu.Unlock()
	next, err := in.app.Load(in.path, in.log)
	if err == nil {
		err = next.Check()
	}
	if err != nil {
		in.manager.ReloadFailed()
		return err
	}
	if in.setup != nil {
		ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
		if err := in.manager.Stop(ctx); err != nil {
			in.log.Warn("reload: the old collections go on in the background", "err", err)
		}
		cancel()
		closeSetup(in.setup, in.log)
	}
	in.setup = next
	in.manager.Apply(next)
	in.manager.Reloaded(hashOf(next.Text))
	return nil
}

func (in *instance) ready() bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.manager.Ready()
}

// text is the configuration in force.
func (in *instance) text() []byte {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.setup.Text
}

func (in *instance) stop(ctx context.Context) error {
	in.mu.Lock()
	defer in.mu.Unlock()
	err := in.manager.Stop(ctx)
	if in.setup.Close != nil {
		err = errors.Join(err, in.setup.Close())
	}
	return err
}

// drain gives the gatherer time for a last scrape. A second signal ends the process at once, as signals do by default.
func (in *instance) drain() {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.setup.Gatherer == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), drainTimeout)
	defer cancel()
	in.setup.Gatherer.Drain(ctx)
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
		if err := in.reload(); err != nil {
			in.log.Error("reload failed, the old configuration stays in force", "err", err)
			http.Error(w, "The old configuration stays in force:\n"+err.Error(), http.StatusInternalServerError)
			return
		}
		in.log.Info("configuration reloaded", "file", in.path)
		fmt.Fprintln(w, "The configuration was reloaded.")
	}
}
