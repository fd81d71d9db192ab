package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/alecthomas/kingpin/v2"

	"github.com/consignwatch/consignwatch/pkg/cli"
	"github.com/consignwatch/consignwatch/pkg/demo/webhookreceiver"
)

// addPager declares a test receiver, for installations that do not page anybody yet.
func addPager(app *kingpin.Application) (string, cli.Action) {
	command := app.Command("pager", "Print each notification that Alertmanager sends, until Ctrl-C: a test receiver. Webhooks at /, Slack at /slack.")
	address := command.Flag("listen", "Address to listen on. It has no authentication.").Default("127.0.0.1:9476").String()
	file := command.Flag("notifications-file", "Append each notification to this file, as one line of JSON.").PlaceHolder("FILE").String()
	return command.FullCommand(), func(ctx context.Context, stdout io.Writer) error {
		var lines io.Writer = io.Discard
		if *file != "" {
			f, err := os.OpenFile(*file, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
			if err != nil {
				return fmt.Errorf("notifications file: %w", err)
			}
			defer f.Close()
			lines = f
		}
		listener, err := new(net.ListenConfig).Listen(ctx, "tcp", *address)
		if err != nil {
			return fmt.Errorf("pager: %w", err)
		}
		receiver := webhookreceiver.NewReceiver(webhookreceiver.Config{Lines: stdout, File: lines, Colour: isTerminal(os.Stdout)})
		return servePager(ctx, listener, receiver)
	}
}

// servePager serves until the context ends. It then waits for the notification that is being written.
func servePager(ctx context.Context, listener net.Listener, receiver *webhookreceiver.Receiver) error {
	mux := http.NewServeMux()
	mux.Handle("/", receiver)
	mux.Handle("POST /slack", receiver.Slack())
	mux.HandleFunc("GET /-/ready", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ready") })
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	stopped := make(chan error, 1)
	go func() {
		<-ctx.Done()
		patience, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		stopped <- server.Shutdown(patience)
	}()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("pager: %w", err)
	}
	return <-stopped
}
