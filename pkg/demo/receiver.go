package demo

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/consignwatch/consignwatch/pkg/demo/servers"
	"github.com/consignwatch/consignwatch/pkg/demo/webhookreceiver"
)

// receiver is the webhook receiver, a part that runs inside this process.
type receiver struct {
	address string
	server  *http.Server
	done    chan struct{}
	err     error // set before done is closed
}

const heartbeatPath = "/heartbeat"

func startReceiver(_ context.Context, s *stack, _ string) (running, error) {
	file, err := os.OpenFile(s.config.NotificationsFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("notifications file: %w", err)
	}
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return nil, errors.Join(fmt.Errorf("notification receiver: %w", err), file.Close())
	}
	mux := http.NewServeMux()
	mux.Handle("/", webhookreceiver.NewReceiver(webhookreceiver.Config{Lines: s.screen, File: file, Colour: s.config.Terminal}))
	// The stand-in for the external dead man's switch: it accepts the Watchdog and does nothing.
	mux.HandleFunc("POST "+heartbeatPath, func(http.ResponseWriter, *http.Request) {})
	r := &receiver{
		address: listener.Addr().String(),
		done:    make(chan struct{}),
		server: &http.Server{
			Handler:           mux,
			ReadHeaderTimeout: 10 * time.Second,
		},
	}
	go func() {
		defer close(r.done)
		defer file.Close()
		if r.err = r.server.Serve(listener); errors.Is(r.err, http.ErrServerClosed) {
			r.err = servers.ErrStopped
		}
	}()
	return r, nil
}

func (r *receiver) Address() string       { return r.address }
func (r *receiver) PID() int              { return os.Getpid() }
func (r *receiver) Done() <-chan struct{} { return r.done }

func (r *receiver) Err() error {
	select {
	case <-r.done:
		return r.err
	default:
		return nil
	}
}

// Stop waits for a notification that is being written.
func (r *receiver) Stop(ctx context.Context) error {
	if err := r.server.Shutdown(ctx); err != nil {
		return errors.Join(fmt.Errorf("stop the notification receiver: %w", err), r.server.Close())
	}
	<-r.done
	return nil
}
