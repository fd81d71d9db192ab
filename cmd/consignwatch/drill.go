package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/alecthomas/kingpin/v2"

	"github.com/consignwatch/consignwatch/alertmanager"
	"github.com/consignwatch/consignwatch/pkg/alerting/routing"
	"github.com/consignwatch/consignwatch/pkg/cli"
	"github.com/consignwatch/consignwatch/pkg/demo/drill"
	"github.com/consignwatch/consignwatch/pkg/demo/statefile"
	"github.com/consignwatch/consignwatch/rules"
)

// drillCommand has the arguments and flags of the command.
type drillCommand struct {
	names        []string
	list, all    bool
	stateFile    string
	realStack    bool // --alertmanager is set: a stack other than a demo
	alertmanager alertmanagerFlags
	client       string
	synthetic    bool
	awaitAck     time.Duration
	drill.Options
}

func addDrill(app *kingpin.Application) (string, cli.Action) {
	command := app.Command("drill", "Switch on faults in the running demo, and measure when their alerts fire, notify, escalate and resolve; or send a synthetic alert to a real Alertmanager.")
	var d drillCommand
	command.Arg("names", "Names of alerts, or of faults of the demo: a fault drills all alerts that it fires.").StringsVar(&d.names)
	command.Flag("list", "List the P0/P1 alerts, and what triggers each: a fault, or a synthetic alert.").BoolVar(&d.list)
	command.Flag("all", "Drill every P0/P1 alert: faults that do not disturb each other together, synthetic alerts last.").BoolVar(&d.all)
	command.Flag("synthetic", "With --all or --list: only the alerts that no fault fires.").BoolVar(&d.synthetic)
	command.Flag("priority", "Only alerts of this priority.").PlaceHolder("P0|P1").EnumVar(&d.Priority, "P0", "P1")
	command.Flag("state-file", "The file that consignwatch-demo --state-file writes: drill in this demo.").PlaceHolder("FILE").StringVar(&d.stateFile)
	command.Flag("alertmanager", "Address of a real Alertmanager: send it synthetic alerts. They page whoever is on call.").PlaceHolder("URL").IsSetByUser(&d.realStack).StringVar(&d.alertmanager.url)
	command.Flag("http.config.file", "HTTP client configuration (authentication, TLS): the file that amtool and Prometheus read.").PlaceHolder("FILE").StringVar(&d.alertmanager.configFile)
	command.Flag("client", "In a real stack: the client of an alert that is about a client.").PlaceHolder("SLUG").StringVar(&d.client)
	command.Flag("await-ack", "In a real stack: how long to wait until somebody acknowledges the synthetic alert.").Default("0s").DurationVar(&d.awaitAck)
	command.Flag("escalate", "In the demo: acknowledge an alert only when it has escalated to the last level.").BoolVar(&d.Escalate)
	command.Flag("author", "In the demo: who acknowledges.").Default(cmp.Or(userName(), "drill")).StringVar(&d.Author)
	command.Flag("patience", "How long to wait for an alert to fire, and for it to resolve.").Default("15m").DurationVar(&d.Patience)
	return command.FullCommand(), d.run
}

func (d *drillCommand) run(ctx context.Context, stdout io.Writer) error {
	plans, err := d.plans()
	switch {
	case err != nil:
		return err
	case d.list:
		return listDrills(stdout, plans)
	case d.realStack && d.stateFile != "":
		return errors.New("drill: --state-file is for a demo, --alertmanager for a real stack: set one of them")
	case d.realStack:
		return d.inRealStack(ctx, stdout, plans)
	case d.stateFile == "":
		return errors.New("drill: set --state-file of a running demo (consignwatch-demo --state-file FILE), or --alertmanager URL")
	}
	return d.inDemo(ctx, stdout, plans)
}

// shippedBundle has the rules and the routing that are embedded in the program.
func shippedBundle() fs.FS { return folders{"rules": rules.Files, "alertmanager": alertmanager.Files} }

// folders is a file system of folders, each with a file system of its own.
type folders map[string]fs.FS

// Open opens a file in one of the folders.
func (f folders) Open(name string) (fs.File, error) {
	folder, rest, _ := strings.Cut(name, "/")
	fsys, ok := f[folder]
	if !ok {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	return fsys.Open(cmp.Or(rest, "."))
}

// Glob finds files in one of the folders.
func (f folders) Glob(pattern string) ([]string, error) {
	folder, rest, _ := strings.Cut(pattern, "/")
	fsys, ok := f[folder]
	if !ok {
		return nil, nil
	}
	found, err := fs.Glob(fsys, rest)
	for i := range found {
		found[i] = path.Join(folder, found[i])
	}
	return found, err
}

// plans are the selected drills: all of them, unless there are names.
func (d *drillCommand) plans() ([]drill.Plan, error) {
	shipped, err := routing.Load(shippedBundle())
	if err != nil {
		return nil, err
	}
	all := slices.DeleteFunc(drill.Plans(shipped.Alerts), func(p drill.Plan) bool {
		return d.Priority != "" && !slices.Contains(p.Alert.Priorities, d.Priority) || d.synthetic && p.Fault != nil
	})
	if d.synthetic && len(d.names) > 0 {
		return nil, errors.New("drill: --synthetic needs --all or --list: an alert that is named is drilled by its fault if it has one")
	}
	if len(d.names) == 0 {
		if !d.all && !d.list {
			return nil, errors.New("drill: name an alert or a fault, or set --all; --list shows them")
		}
		return all, nil
	}
	var chosen []drill.Plan
	for _, name := range d.names {
		i := slices.IndexFunc(all, func(p drill.Plan) bool { return p.Alert.Name == name })
		fault := drill.FindFault(name)
		switch {
		case i >= 0:
			chosen = append(chosen, all[i])
		case fault != nil && len(fault.MustFire) > 0 && !d.realStack:
			chosen = append(chosen, drill.Plan{Alert: routing.Alert{Name: name}, Fault: fault})
		default:
			return nil, fmt.Errorf("drill: %q is neither a P0/P1 alert nor a fault that fires one; --list shows them", name)
		}
	}
	return chosen, nil
}

func listDrills(stdout io.Writer, plans []drill.Plan) error {
	table := tabwriter.NewWriter(stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "PRIORITY\tALERT\tTRIGGER")
	for _, p := range plans {
		fmt.Fprintf(table, "%s\t%s\t%s\n", strings.Join(p.Alert.Priorities, ","), p.Alert.Name, p.Trigger())
	}
	return table.Flush()
}

// inRealStack drills with synthetic alerts only: it breaks nothing.
func (d *drillCommand) inRealStack(ctx context.Context, stdout io.Writer, plans []drill.Plan) error {
	client, err := d.alertmanager.client()
	if err != nil {
		return err
	}
	known, err := drill.LoadRules(shippedBundle())
	if err != nil {
		return err
	}
	s := drill.Synthetic{Client: client, AckTimeout: d.awaitAck, Patience: d.Patience}
	var records []*drill.Record
	for _, p := range plans {
		if !p.Alert.Platform && d.client == "" {
			return fmt.Errorf("drill: %s is about a client: set --client", p.Alert.Name)
		}
	}
	for _, p := range plans {
		record, err := s.Drill(ctx, known[p.Alert.Name], p.ClientOf(d.client))
		if err != nil {
			return d.alertmanager.explain(err)
		}
		record.Print(stdout)
		records = append(records, record)
	}
	fmt.Fprintln(stdout, "Synthetic alerts reach Alertmanager, not Prometheus: no metric, and no escalation, which is rules' work.")
	return summarize(stdout, records)
}

// resolvePatience is for alerts that drills of other batches keep firing.
const resolvePatience = 30 * time.Minute

// inDemo switches on each fault of the demo once, and sends a synthetic alert for each that no fault fires.
func (d *drillCommand) inDemo(ctx context.Context, stdout io.Writer, plans []drill.Plan) error {
	environment, err := drill.Open(ctx, d.stateFile, func(state statefile.State, clients []string) (*drill.Policy, error) {
		evaluation := time.Duration(state.Interval * float64(time.Second))
		r, err := routing.LoadForDemo(shippedBundle(), routing.DemoOptions{Clients: clients, TimeScale: state.TimeScale, Evaluation: evaluation})
		return &drill.Policy{Routing: r, Evaluation: evaluation}, err
	})
	if err != nil {
		return fmt.Errorf("drill: %w", err)
	}
	known, err := drill.LoadRules(shippedBundle())
	if err != nil {
		return err
	}
	if len(d.names) == 0 {
		suite := drill.Suite{Environment: environment, Options: d.Options, Rules: known, Client: cmp.Or(d.client, environment.Clients[0]), AckTimeout: d.awaitAck, Out: stdout}
		suite.ResolvePatience = resolvePatience
		records, err := suite.Drill(ctx, plans)
		if err != nil {
			return fmt.Errorf("drill: %w", err)
		}
		return summarize(stdout, records)
	}
	var records []*drill.Record
	done := map[string]bool{} // alerts that a drill has fired
	for _, p := range plans {
		if done[p.Alert.Name] {
			continue
		}
		var added []*drill.Record
		if p.Fault != nil {
			added, err = environment.ByFault(ctx, p.Fault, d.Options)
		} else {
			var record *drill.Record
			s := environment.Synthetic(d.awaitAck, d.Patience)
			record, err = s.Drill(ctx, known[p.Alert.Name], p.ClientOf(cmp.Or(d.client, environment.Clients[0])))
			added = []*drill.Record{record}
		}
		added = slices.DeleteFunc(added, func(r *drill.Record) bool { return r == nil })
		if err != nil && ctx.Err() == nil { // the others can still be drilled
			added = append(added, &drill.Record{Alert: p.Alert.Name, Priority: p.Priority(), Trigger: p.Trigger(), Missing: []string{err.Error()}})
			err = nil
		}
		for _, r := range added {
			r.Print(stdout)
			records = append(records, r)
			name, _, _ := strings.Cut(r.Alert, " ")
			done[name] = true
		}
		if err != nil {
			return fmt.Errorf("drill %s: %w", p.Alert.Name, err)
		}
	}
	return summarize(stdout, records)
}

// summarize prints the summary, and returns an error if a drill failed.
func summarize(stdout io.Writer, records []*drill.Record) error {
	if failed := drill.Summary(stdout, records); failed > 0 {
		return fmt.Errorf("drill: %d of %d failed", failed, len(records))
	}
	return nil
}
