// Package web runs an exporter as a program: command line, web server, health, reload of the configuration, and shutdown. It
// knows no metric, and no scrape waits for a target.
package web

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/alecthomas/kingpin/v2"
	"github.com/prometheus/common/promslog"
	promslogflag "github.com/prometheus/common/promslog/flag"
	"github.com/prometheus/common/version"
	"github.com/prometheus/exporter-toolkit/web/kingpinflag"

	"github.com/consignwatch/consignwatch/pkg/catalog"
	"github.com/consignwatch/consignwatch/pkg/exporter"
	"github.com/consignwatch/consignwatch/pkg/secret"
)

// App is an exporter: a name, a port, and a way to make collectors of a configuration.
type App struct {
	// Name is the program's name, and the exporter's in the catalog.
	Name catalog.Exporter
	// Description is a sentence for the help text and the landing page.
	Description string
	// Port is the default port.
	Port int
	// Load reads the configuration file, with all that it names. It must not wait for a target: an exporter starts
	// while everything is down.
	Load func(path string, log *slog.Logger) (*exporter.Setup, error)
	// Commands adds commands beside the server. Each clause's action runs instead of it, until ctx ends, and prints to
	// stdout; an error that it returns is printed, and the exit code is 1.
	Commands func(ctx context.Context, app *kingpin.Application, stdout io.Writer)
	// Drains says that the exporter waits for a last scrape when it is asked to stop: it has a TransactionalGatherer, and
	// the flag --drain-timeout.
	Drains bool
	// Listen opens the addresses of --web.listen-address. It may be nil: net.Listen.
	Listen func(network, address string) (net.Listener, error)
}

// collectionsTimeout bounds how long a reload waits for collections to end.
const collectionsTimeout = 10 * time.Second

// drainTimeout bounds how long a stop waits for a last scrape, and before that for a reload under way.
const drainTimeout = 25 * time.Second

// stopTimeout bounds how long a stop waits, after the last scrape, for requests and collections. Together with
// drainTimeout it is less than the 30 seconds that Kubernetes grants.
const stopTimeout = 4 * time.Second

// Main runs the exporter with the arguments of the command line, until a signal ends it, and returns the exit code. A second
// signal ends the process at once, as signals do by default.
func (a App) Main(args []string, stdout, stderr io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop)
	log.SetOutput(secret.Writer(stderr)) // package net/http logs there
	return a.Run(ctx, args, stdout, stderr, nil)
}

// Run is Main for programs that run an exporter inside: ctx ends it, and listening, when it is not nil, is called with
// the addresses before the first request is answered.
func (a App) Run(ctx context.Context, args []string, stdout, stderr io.Writer, listening func([]net.Addr)) int {
	stdout, stderr = secret.Writer(stdout), secret.Writer(stderr) // servers and drivers quote what they were sent
	app := kingpin.New(string(a.Name), a.Description)
	app.HelpFlag.Short('h')
	app.Version(version.Print(string(a.Name)))
	app.UsageWriter(stdout)
	app.ErrorWriter(stderr)
	// With a command beside it, serving is the default command, so that its flags stand alone.
	serve := app.Command("serve", "Collect and serve metrics: the default command. Its flags: serve --help.").Default()
	o := options{
		config:        serve.Flag("config.file", "Configuration file (YAML).").Required().String(),
		check:         serve.Flag("config.check", "Check the configuration file and exit.").Bool(),
		telemetryPath: serve.Flag("web.telemetry-path", "Path of the metrics endpoint.").Default("/metrics").String(),
		lifecycle:     serve.Flag("web.enable-lifecycle", "Allow a reload of the configuration by POST /-/reload.").Bool(),
		maxRequests:   serve.Flag("web.max-requests", "Maximum number of scrapes in flight. A further one cuts off the oldest whose response is not read; when there is none, it is answered with 503. 0: no limit.").Default("40").Int(),
		drainTimeout:  drainTimeout,
		web:           kingpinflag.AddFlags(serve, fmt.Sprintf(":%d", a.Port)),
	}
	if a.Drains {
		serve.Flag("drain-timeout", "How long SIGTERM waits for a last scrape, at most. Kubernetes kills 30 seconds after SIGTERM, unless terminationGracePeriodSeconds says more: leave 5 seconds for the rest.").Default(drainTimeout.String()).DurationVar(&o.drainTimeout)
	}
	logging := promslog.Config{Writer: stderr}
	promslogflag.AddFlags(app, &logging)
	if a.Commands != nil {
		a.Commands(ctx, app, stdout)
	}
	command, err := app.Parse(args)
	if err != nil {
		fmt.Fprintf(stderr, "%s: %v\n", a.Name, err)
		return 1
	}
	if command != serve.FullCommand() {
		return 0
	}
	log := promslog.New(&logging)
	if *o.check {
		return a.check(*o.config, log, stdout, stderr)
	}
	reload := make(chan os.Signal, 1)
	signal.Notify(reload, syscall.SIGHUP)
	defer close(reload)
	defer signal.Stop(reload)
	if err := a.run(ctx, o, reload, listening, log); err != nil {
		log.Error("stopped", "err", err)
		return 1
	}
	return 0
}

func (a App) check(path string, log *slog.Logger, stdout, stderr io.Writer) int {
	s, err := a.load(path, log)
	if err != nil {
		fmt.Fprintf(stderr, "%s: configuration is not valid:\n%v\n", a.Name, err)
		return 1
	}
	fmt.Fprintf(stdout, "%s: %s is valid, with %d collectors\n", a.Name, path, len(s.Collectors))
	return closeSetup(s, log)
}

func closeSetup(s *exporter.Setup, log *slog.Logger) int {
	if s.Close == nil {
		return 0
	}
	if err := s.Close(); err != nil {
		log.Warn("close", "err", err)
	}
	return 0
}

// run serves until ctx ends.
func (a App) run(ctx context.Context, o options, reload <-chan os.Signal, listening func([]net.Addr), log *slog.Logger) error {
	log.Info("starting", "exporter", a.Name, "version", version.Info())
	in, err := a.newInstance(*o.config, log)
	if err != nil {
		return fmt.Errorf("configuration is not valid:\n%w", err)
	}
	servers, err := listen(o, in)
	if err != nil {
		return errors.Join(err, in.stop(ctx))
	}
	if listening != nil {
		listening(servers.addresses())
	}
	failed := servers.serve()
	go func() {
		for range reload {
			in.reloadAndLog()
		}
	}()
	select {
	case err = <-failed:
		log.Info("stopping, because a listener has failed")
	case <-ctx.Done():
		log.Info("stopping")
	}
	drain, cancel := context.WithTimeout(context.Background(), o.drainTimeout)
	defer cancel()
	in.drain(drain)
	end, cancel := context.WithTimeout(context.Background(), stopTimeout)
	defer cancel()
	var shutdown sync.WaitGroup
	shutdown.Go(func() { servers.shutdown(end) })
	err = errors.Join(err, in.stop(end))
	shutdown.Wait()
	return err
}
