// Command platform-sim runs the simulator of the platform that consignwatch monitors (simulator): it fills a database with
// consignment sales, simulates life in it, publishes events to Kafka, and switches faults on and off on request. For the demo it can run
// a Kafka broker in its own process (pkg/demo/servers/kafka).
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/alecthomas/kingpin/v2"
	"github.com/prometheus/common/promslog"
	"github.com/prometheus/common/promslog/flag"
	"github.com/prometheus/common/version"

	"github.com/consignwatch/consignwatch/pkg/demo/servers/kafka"
	"github.com/consignwatch/consignwatch/pkg/secret"
	"github.com/consignwatch/consignwatch/simulator"
	"github.com/consignwatch/consignwatch/simulator/jobs"
	"github.com/consignwatch/consignwatch/simulator/seed"
)

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

func run(args []string, stdout, stderr io.Writer) int {
	stdout, stderr = secret.Writer(stdout), secret.Writer(stderr) // servers and drivers quote what they were sent
	log.SetOutput(stderr)                                         // package net/http logs there
	app := kingpin.New("platform-sim", "Simulates the monitored platform: fills an empty MySQL or MariaDB database, changes it as visitors and staff would, publishes events to Kafka, and breaks on request.")
	app.HelpFlag.Short('h')
	app.Version(version.Print("platform-sim"))
	app.UsageWriter(stdout)
	app.ErrorWriter(stderr)
	var config simulator.Config
	dsnFile := app.Flag("dsn-file", "File with the database's data source name, for example user:password@tcp(127.0.0.1:3306)/platform.").Required().String()
	control := app.Flag("control-address", "Address of the control interface, on the loopback interface: state, faults, expected samples.").Default("127.0.0.1:9479").String()
	pid := app.Flag("database-pid", "Process ID of the database server, for the fault database-down, which stops (SIGSTOP) and resumes it (SIGCONT).").Int()
	app.Flag("clients", "Number of clients.").Default("5").IntVar(&config.Clients)
	app.Flag("events", "Number of sale events of all clients together.").Default("8").IntVar(&config.Events)
	app.Flag("live-events", "Number of sale events that are live. 0: half of them.").Default("0").IntVar(&config.LiveEvents)
	app.Flag("items", "Number of items of all sale events together.").Default("1000").IntVar(&config.Items)
	app.Flag("seed", "Seed of the platform's data: the same seed makes the same platform.").Default("1").Uint64Var(&config.Seed)
	app.Flag("fresh", "Empty the platform's tables first: whatever is in them is lost. Without it a database with clients is refused.").BoolVar(&config.Fresh)
	app.Flag("flawless", "Nothing fails at random: only faults make something fail.").BoolVar(&config.Flawless)
	app.Flag("nights", "Day and night on the platform: no traffic from 01:00 to 06:00 of its day, a peak in the evening.").BoolVar(&config.Nights)
	app.Flag("noon", "Start the platform's day at noon, not at the present time of day.").BoolVar(&config.Noon)
	app.Flag("speed", "How many days of the platform pass in a day.").Default("60").Float64Var(&config.Speed)
	app.Flag("stream", "Kafka broker, host:port, to which events and jobs are published; may be repeated. Its topics must exist, or be created with --create-topics.").StringsVar(&config.Stream)
	createTopics := app.Flag("create-topics", "Create the topics that the brokers of --stream lack.").Bool()
	var kafkaConfig kafka.Config
	app.Flag("kafka-listen", "Run a Kafka broker in this process and publish to it, for example 127.0.0.1:9092, or port 0 for a free one. GET /state says where it listens.").StringVar(&kafkaConfig.Address)
	app.Flag("kafka-dir", "Folder for the data of the broker of --kafka-listen. Empty: a temporary one.").StringVar(&kafkaConfig.Dir)
	app.Flag("bulk", "For millions of items: keep only totals of past sale events in the simulator's memory.").BoolVar(&config.Bulk)
	var given streamNeeds
	cachePID := infraFlags(app, &config, &given)
	logs := &promslog.Config{Writer: stderr}
	flag.AddFlags(app, logs)
	if _, err := app.Parse(args); err != nil {
		fmt.Fprintf(stderr, "platform-sim: %v\n", err)
		return 1
	}
	config.Logger = promslog.New(logs)
	if *createTopics && len(config.Stream) == 0 {
		fmt.Fprintln(stderr, "platform-sim: --create-topics needs the brokers of --stream")
		return 1
	}
	if len(config.Stream) == 0 && kafkaConfig.Address == "" {
		given.without(&config)
	}
	if *pid > 0 {
		config.DatabaseDown = signals("database", *pid)
	}
	if *cachePID > 0 {
		config.CacheDown = signals("cache", *cachePID)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := withBroker(ctx, config, kafkaConfig, func(config simulator.Config) error {
		if *createTopics {
			if err := simulator.CreateTopics(ctx, config.Stream); err != nil {
				return err
			}
		}
		return simulate(ctx, config, *dsnFile, *control)
	}); err != nil {
		fmt.Fprintf(stderr, "platform-sim: %v\n", err)
		return 1
	}
	return 0
}

// withBroker calls do, with a broker in this process if --kafka-listen is set.
func withBroker(ctx context.Context, config simulator.Config, kafkaConfig kafka.Config, do func(simulator.Config) error) error {
	if kafkaConfig.Address == "" {
		return do(config)
	}
	if len(config.Stream) > 0 {
		return errors.New("either --stream or --kafka-listen")
	}
	kafkaConfig.Topics, kafkaConfig.TopicConfigs = simulator.Topics(), jobs.TopicConfigs()
	broker, err := kafka.Start(ctx, kafkaConfig)
	if err != nil {
		return err
	}
	config.Logger.Info("kafka", "address", broker.Address())
	config.Stream = []string{broker.Address()}
	config.BrokerDown = func(down bool) error {
		if down {
			return broker.Stop()
		}
		return broker.Restart(context.Background())
	}
	return errors.Join(do(config), broker.Close())
}

// simulate fills the database and runs the simulator until the context ends. The control interface is served from the beginning.
func simulate(ctx context.Context, config simulator.Config, dsnFile, control string) error {
	dsn, err := secret.Read(dsnFile)
	if err != nil {
		return err
	}
	config.DSN = dsn.Reveal()
	config.Progress = seed.LogProgress(config.Logger, 5*time.Second)
	p, err := simulator.New(config)
	if err != nil {
		return err
	}
	defer p.Close()
	listener, err := simulator.ListenLoopback(ctx, control)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	served := make(chan error, 1)
	go func() {
		err := p.ServeControl(ctx, listener)
		cancel(err) // without it nobody can switch a fault off
		served <- err
	}()
	config.Logger.Info("control interface", "address", "http://"+listener.Addr().String())
	if err = p.Fill(ctx); err == nil {
		config.Logger.Info("database filled, simulation started")
		err = p.Run(ctx)
	}
	if errors.Is(err, context.Canceled) { // Ctrl-C while it was filled
		err = nil
	}
	cancel(nil)
	return errors.Join(err, <-served, p.Faults().ServersUp())
}
