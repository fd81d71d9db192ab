package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/alecthomas/kingpin/v2"
	"github.com/prometheus/common/model"

	"github.com/consignwatch/consignwatch/pkg/alerting/routing"
	"github.com/consignwatch/consignwatch/pkg/cli"
	"github.com/consignwatch/consignwatch/pkg/executable"
	"github.com/consignwatch/consignwatch/pkg/recording"
	"github.com/consignwatch/consignwatch/pkg/replay"
)

func addReplay(app *kingpin.Application) (string, cli.Action) {
	command := app.Command("replay", "Print the alerts and notifications that your rules and your routing would have produced for recorded samples.")
	recorded := command.Arg("recording", "A file of consignwatch record, an OpenMetrics dump (of promtool tsdb dump-openmetrics), or a folder with one of them.").Required().ExistingFileOrDir()
	root := command.Flag("root", "Folder that has rules/ and alertmanager/.").Default(".").ExistingDir()
	ruleFiles := command.Flag("rules", "Rule file or glob pattern; may be repeated, in the order of evaluation. Default: rules/recording/*.yml and rules/alerts/*.yml of the root.").PlaceHolder("FILE").Strings()
	config := command.Flag("alertmanager.config", "Configuration of Alertmanager. Default: alertmanager/alertmanager.yml of the root.").PlaceHolder("FILE").String()
	interval := command.Flag("interval", "Interval at which rules are evaluated: evaluation_interval of your prometheus.yml.").Default("15s").Duration()
	at := command.Flag("at", "Replay as if the recording had begun at this time (RFC 3339): at night, on a Sunday, in a maintenance window.").PlaceHolder("TIME").String()
	zone := command.Flag("time-zone", "Time zone of the output. Default: that of alertmanager/site.yml of the root.").PlaceHolder("ZONE").String()
	return command.FullCommand(), func(ctx context.Context, stdout io.Writer) error {
		if *interval < time.Second {
			return fmt.Errorf("--interval: %s is less than a second", *interval)
		}
		r, err := recording.Load(ctx, *recorded)
		if err != nil {
			return err
		}
		location, err := timeZone(*zone, *root)
		if err != nil {
			return err
		}
		begin, end, _ := r.Bounds()
		if *at != "" {
			to, err := time.Parse(time.RFC3339, *at)
			if err != nil {
				return fmt.Errorf("--at: %q is not a time like 2026-03-01T03:00:00-06:00", *at)
			}
			r = r.Shift(to.Sub(begin))
			begin, end = to, end.Add(to.Sub(begin))
		}
		if *config == "" {
			*config = filepath.Join(*root, routing.ConfigFile)
		}
		if len(*ruleFiles) == 0 {
			*ruleFiles = []string{filepath.Join(*root, "rules/recording/*.yml"), filepath.Join(*root, "rules/alerts/*.yml")}
		}
		files, err := globFiles(*ruleFiles)
		if err != nil {
			return err
		}
		program, err := executable.Find(replay.Program)
		if err != nil {
			return err
		}
		plan := replay.Config{RuleFiles: files, Interval: *interval, From: begin, To: end}
		if err := replay.Suits(plan, r); err != nil {
			return fmt.Errorf("%s: %w", *recorded, err)
		}
		posts, err := replay.Evaluate(ctx, plan, r)
		if err != nil {
			return err
		}
		sent, err := replay.Notify(ctx, program, *config, posts, end)
		if err != nil {
			return err
		}
		fmt.Fprintf(stdout, "%s, %d series from %s to %s, rules evaluated every %s\n", filepath.Base(*recorded), len(r.Series),
			begin.In(location).Format("Monday 2006-01-02 15:04:05 MST"), end.In(location).Format("15:04:05"), model.Duration(*interval))
		incidents := replay.Incidents(posts)
		fmt.Fprintf(stdout, "\nAlerts that fire\n\n%s", none(len(incidents)))
		replay.WriteIncidents(stdout, incidents, location)
		fmt.Fprintf(stdout, "\nNotifications\n\n%s", none(len(sent)))
		replay.WriteNotifications(stdout, sent, location, true)
		return nil
	}
}

// none returns the line for an empty list, or "".
func none(n int) string {
	if n == 0 {
		return "none\n"
	}
	return ""
}

// globFiles returns the files that match the patterns. A pattern without a match is an error.
func globFiles(patterns []string) ([]string, error) {
	var all []string
	for _, p := range patterns {
		files, err := filepath.Glob(p)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", p, err)
		}
		if len(files) == 0 {
			return nil, fmt.Errorf("no rule file is %s (--root, --rules)", p)
		}
		for _, f := range files {
			if !slices.Contains(all, f) {
				all = append(all, f)
			}
		}
	}
	return all, nil
}

// timeZone returns the named time zone, or that of the site, or the local one.
func timeZone(name, root string) (*time.Location, error) {
	if name == "" {
		r, err := routing.Load(os.DirFS(root))
		if errors.Is(err, fs.ErrNotExist) {
			return time.Local, nil
		}
		if err != nil {
			return nil, err
		}
		name = r.Site.Platform.TimeZone.Location.String()
	}
	zone, err := time.LoadLocation(strings.TrimSpace(name))
	if err != nil {
		return nil, fmt.Errorf("--time-zone: %w", err)
	}
	return zone, nil
}
