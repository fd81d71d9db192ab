package main

import (
	"context"
	"io"
	"os"
	"strings"

	"github.com/alecthomas/kingpin/v2"

	"github.com/consignwatch/consignwatch/alertmanager"
	"github.com/consignwatch/consignwatch/pkg/cli"
	"github.com/consignwatch/consignwatch/pkg/dashboards"
	"github.com/consignwatch/consignwatch/pkg/demo"
	"github.com/consignwatch/consignwatch/rules"
)

func addDemo(app *kingpin.Application) (string, cli.Action) {
	command := app.Command("demo", "Run the whole stack on this machine, in a temporary folder and on free ports, until Ctrl-C.").Default()
	config := demo.Config{Rules: rules.Files, Alertmanager: alertmanager.Files}
	var faults []string
	var headless bool
	command.Flag("clients", "Number of clients of the platform.").Default("5").IntVar(&config.Clients)
	command.Flag("events", "Number of sale events of all clients together.").Default("8").IntVar(&config.Events)
	command.Flag("items", "Number of items of all sale events together.").Default("1000").IntVar(&config.Items)
	command.Flag("seed", "Seed of the platform's data: the same seed makes the same platform.").Default("1").Uint64Var(&config.Seed)
	command.Flag("speed", "How many days of the platform pass in a day.").Default("60").Float64Var(&config.Speed)
	command.Flag("nights", "Day and night on the platform: no traffic from 01:00 to 06:00 of its day, a peak in the evening.").BoolVar(&config.Nights)
	command.Flag("noon", "Start the platform's day at noon, not at the present time of day.").BoolVar(&config.Noon)
	command.Flag("time-scale", "How many times faster than the policy says alerts notify and escalate.").Default("1").Float64Var(&config.TimeScale)
	command.Flag("duration", "Stop after this time, counted from when all is up (0: run until Ctrl-C).").Default("0s").DurationVar(&config.Duration)
	command.Flag("fault", "Faults to switch on when all is up, separated by commas; GET /faults of platform-sim lists them.").PlaceHolder("NAME[,NAME]").StringsVar(&faults)
	command.Flag("headless", "Print plain lines: no colours, no progress bar.").BoolVar(&headless)
	command.Flag("state-file", "Write every address, port and process to this file (JSON) when all is up.").PlaceHolder("FILE").StringVar(&config.StateFile)
	command.Flag("notifications-file", "Append each notification to this file, as one line of JSON.").PlaceHolder("FILE").StringVar(&config.NotificationsFile)
	return command.FullCommand(), func(ctx context.Context, stdout io.Writer) error {
		config.Out = stdout
		config.Terminal = !headless && isTerminal(os.Stdout)
		for _, list := range faults {
			for name := range strings.SplitSeq(list, ",") {
				if name = strings.TrimSpace(name); name != "" {
					config.Faults = append(config.Faults, name)
				}
			}
		}
		var err error
		if config.Dashboards, err = dashboards.Files(); err != nil {
			return err
		}
		return demo.Run(ctx, config)
	}
}

// isTerminal reports whether to print colours: the file is a terminal, and the
// environment does not disable colours (see no-color.org).
func isTerminal(file *os.File) bool {
	info, err := file.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0 && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
}
