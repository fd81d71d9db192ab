package exporter

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/alecthomas/kingpin/v2"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/promslog"
	promslogflag "github.com/prometheus/common/promslog/flag"
	"github.com/prometheus/common/version"
	"github.com/prometheus/exporter-toolkit/web/kingpinflag"

	"github.com/consignwatch/consignwatch/pkg/catalog"
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
	Load func(path string, log *slog.Logger) (*Setup, error)
	// Commands adds commands beside the server. Each clause's action runs instead of it, until ctx ends, and prints to
	// stdout; an error that it returns is printed, and the exit code is 1.
	Commands func(ctx context.Context, app *kingpin.Application, stdout io.Writer)
	// Listen opens the addresses of --web.listen-address. It may be nil: net.Listen.
	Listen func(network, address string) (net.Listener, error)
}

// Setup is a loaded configuration.
type Setup struct {
	// Catalog holds what the collectors may expose.
	Catalog *catalog.Catalog
	// Sizes are the limits for clients and sale events.
	Sizes catalog.Sizes
	// Collectors are scheduled until the next reload.
	Collectors []Collector
	// Gatherer is called at each scrape, and learns whether the response was delivered. It may be nil.
	Gatherer TransactionalGatherer
	// Text is the configuration as it is in force, without secrets, for the endpoint /config and the hash.
	Text []byte
	// Close releases what the collectors hold, after they have ended. It may be nil.
	Close func() error
}

// TransactionalGatherer gathers at the moment of a scrape, and must know which responses were delivered. It follows
// client_golang's prometheus.TransactionalGatherer: Gather returns the families and a function done.
type TransactionalGatherer interface {
	// Start begins the work, once the configuration is in force. The old configuration's gatherer has ended.
	Start()
	// Gather returns the families of a scrape, by name, and a function done that is called once, with whether the whole
	// response was handed to the connection.
	Gather(r *http.Request) (families []*dto.MetricFamily, done func(delivered bool))
	// Rejected calls f for each metric and label with the number of values that became "other", and with an
	// empty label for series that were dropped; the numbers never shrink.
	Rejected(f func(metric, label string, n uint64))
	// Drain is called when the exporter is asked to stop, while it still serves: it waits for a last scrape.
	Drain(ctx context.Context)
}

// drainTimeout bounds how long a stop waits for a last scrape.
const drainTimeout = 90 * time.Second

// stopTimeout bounds a graceful stop: running scrapes and collections are waited for that long.
const stopTimeout = 10 * time.Second

// Main runs the exporter with the arguments of the command line, until a signal ends it, and returns the exit code.
func (a App) Main(args []string, stdout, stderr io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	return a.Run(ctx, args, stdout, stderr, nil)
}

// Run is Main for programs that run an exporter inside: ctx ends it, and listening, when it is not nil, is called with
// the addresses before the first request is answered.
func (a App) Run(ctx context.Context, args []string, stdout, stderr io.Writer, listening func([]net.Addr)) int {
	app := kingpin.New(string(a.Name), a.Description)
	app.HelpFlag.Short('h')
	app.Version(version.Print(string(a.Name)))
	app.UsageWriter(stdout)
	app.ErrorWriter(stderr)
	// With a command beside it, serving is the default command, so that its flags stand alone.
	serve := app.Command("serve", "Collect and serve metrics (the default).").Default()
	o := options{
		config:        serve.Flag("config.file", "Configuration file (YAML).").Required().String(),
		check:         serve.Flag("config.check", "Check the configuration file and exit.").Bool(),
		telemetryPath: serve.Flag("web.telemetry-path", "Path of the metrics endpoint.").Default("/metrics").String(),
		lifecycle:     serve.Flag("web.enable-lifecycle", "Allow a reload of the configuration by POST /-/reload.").Bool(),
		maxRequests:   serve.Flag("web.max-requests", "Scrapes in flight; more are answered with 503. 0: no limit.").Default("40").Int(),
		web:           kingpinflag.AddFlags(serve, fmt.Sprintf(":%d", a.Port)),
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
	defer signal.Stop(reload)
	if err := a.run(ctx, o, reload, listening, log); err != nil {
		log.Error("stopped", "err", err)
		return 1
	}
	return 0
}

func (a App) check(path string, log *slog.Logger, stdout, stderr io.Writer) int {
	s, err := a.Load(path, log)
	if err != nil {
		fmt.Fprintf(stderr, "%s: configuration is not valid:\n%v\n", a.Name, err)
		return 1
	}
	fmt.Fprintf(stdout, "%s: %s is valid, with %d collectors\n", a.Name, path, len(s.Collectors))
	return closeSetup(s, log)
}

func closeSetup(s *Setup, log *slog.Logger) int {
	if s.Close == nil {
		return 0
	}
	if err := s.Close(); err != nil {
		log.Warn("close", "err", err)
	}
	return 0
}

// instance is a running exporter.
type instance struct {
	app        App
	path       string
	log        *slog.Logger
	self       *selfMetrics
	limiter    *cardinalityLimiter
	exposition *exposition

	buffers sync.Pool // of *bytes.Buffer, for scrape responses

	mu        sync.Mutex // held during a reload
	setup     *Setup
	scheduler *scheduler
}

func (a App) newInstance(path string, log *slog.Logger) (*instance, error) {
	self, err := newSelfMetrics(catalog.Shipped())
	if err != nil {
		return nil, err
	}
	in := &instance{app: a, path: path, log: log, self: self, exposition: newExposition(self, log, time.Now)}
	in.limiter = newCardinalityLimiter(catalog.SizesFor(catalog.DefaultClients), self)
	return in, in.reload()
}

// reload loads the configuration and puts it in force. When it cannot be loaded, everything stays as it is.
func (in *instance) reload() error {
	in.mu.Lock()
	defer in.mu.Unlock()
	next, err := in.app.Load(in.path, in.log)
	if err == nil {
		err = checkDuplicateTargets(next.Collectors)
	}
	if err != nil {
		in.self.reloadSuccessful.Set(0)
		return err
	}
	if in.scheduler != nil {
		ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
		if err := in.scheduler.stop(ctx); err != nil {
			in.log.Warn("reload: the old collections go on in the background", "err", err)
		}
		cancel()
		closeSetup(in.setup, in.log)
	}
	in.apply(next)
	in.self.reloadSuccessful.Set(1)
	in.self.reloadTimestamp.Set(float64(time.Now().UnixNano()) / 1e9)
	in.self.setHash(hashOf(next.Text))
	return nil
}

// apply starts the collectors of a configuration. Snapshots of targets that exist before and after stay exposed.
func (in *instance) apply(next *Setup) {
	keys := snapshotKeysOf(next.Collectors)
	retained := map[snapshotKey]bool{}
	for _, k := range keys {
		retained[k] = true
	}
	if in.setup != nil {
		for _, k := range snapshotKeysOf(in.setup.Collectors) {
			if !retained[k] {
				in.self.deleteTarget(k)
			}
		}
	}
	in.exposition.retain(retained)
	in.limiter.resize(next.Sizes)
	in.self.initSeries(next.Catalog, keys)
	in.setup = next
	in.scheduler = &scheduler{catalog: next.Catalog, limiter: in.limiter, exposition: in.exposition, self: in.self, log: in.log}
	in.scheduler.start(next.Collectors)
	in.exposition.setGatherer(next.Gatherer)
	if next.Gatherer != nil {
		next.Gatherer.Start()
	}
}

func checkDuplicateTargets(cs []Collector) error {
	seen := map[snapshotKey]bool{}
	for _, k := range snapshotKeysOf(cs) {
		if seen[k] {
			return fmt.Errorf("collector %s has the target %q twice", k.collector, k.target)
		}
		seen[k] = true
	}
	return nil
}

func (in *instance) ready() bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.scheduler.ready()
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
	err := in.scheduler.stop(ctx)
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
	for {
		select {
		case <-reload:
			if err := in.reload(); err != nil {
				log.Error("reload failed, the old configuration stays in force", "err", err)
			} else {
				log.Info("configuration reloaded", "file", *o.config)
			}
		case err := <-failed:
			return err
		case <-ctx.Done():
			log.Info("stopping")
			in.drain()
			end, cancel := context.WithTimeout(context.Background(), stopTimeout)
			defer cancel()
			return errors.Join(servers.shutdown(end), in.stop(end))
		}
	}
}
