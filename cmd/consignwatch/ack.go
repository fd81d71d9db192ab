package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/user"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/alecthomas/kingpin/v2"
	commonconfig "github.com/prometheus/common/config"
	"github.com/prometheus/common/model"

	"github.com/consignwatch/consignwatch/pkg/alerting/ack"
	"github.com/consignwatch/consignwatch/pkg/alerting/ack/daemon"
	"github.com/consignwatch/consignwatch/pkg/alerting/amclient"
	"github.com/consignwatch/consignwatch/pkg/cli"
	"github.com/consignwatch/consignwatch/pkg/httpclient"
)

// alertmanagerFlags are the flags for the connection to Alertmanager.
type alertmanagerFlags struct {
	url        string
	configFile string
}

// add declares the flags.
func (a *alertmanagerFlags) add(command *kingpin.CmdClause) {
	command.Flag("alertmanager", "Address of Alertmanager. Default: http://localhost:9093.").Envar("CONSIGNWATCH_ALERTMANAGER").Default("http://localhost:9093").PlaceHolder("URL").StringVar(&a.url)
	command.Flag("http.config.file", "HTTP client configuration (authentication, TLS): the file that amtool and Prometheus read.").PlaceHolder("FILE").StringVar(&a.configFile)
}

// requestTimeout is the timeout of all requests of one command to Alertmanager.
const requestTimeout = 15 * time.Second

// client returns a client. It does not connect.
func (a *alertmanagerFlags) client() (*amclient.Client, error) {
	http, err := httpClient(a.configFile)
	if err != nil {
		return nil, err
	}
	client, err := amclient.New(a.url, http)
	if err != nil {
		return nil, fmt.Errorf("--alertmanager: %w", err)
	}
	return client, nil
}

// httpClient returns a client with the authentication and TLS of a file of Prometheus' HTTP configuration, or without if there is none.
func httpClient(configFile string) (*http.Client, error) {
	config := commonconfig.DefaultHTTPClientConfig
	if configFile != "" {
		read, _, err := commonconfig.LoadHTTPConfigFile(configFile)
		if err != nil {
			return nil, fmt.Errorf("--http.config.file: %s: %w", configFile, err)
		}
		config = *read
	}
	client, err := httpclient.New(config, "consignwatch")
	if err != nil {
		return nil, fmt.Errorf("--http.config.file: %s: %w", configFile, err)
	}
	return client, nil
}

// explain adds to an error what the user can do about it.
func (a *alertmanagerFlags) explain(err error) error {
	var status *amclient.StatusError
	switch {
	case err == nil, errors.Is(err, ack.ErrNoAlert), errors.Is(err, ack.ErrAmbiguous), errors.Is(err, ack.ErrNotAcknowledged), errors.Is(err, ack.ErrHeartbeat), errors.Is(err, context.Canceled):
		return err
	case errors.As(err, &status), errors.Is(err, amclient.ErrInvalidResponse):
		return fmt.Errorf("%s: %w; is this Alertmanager? (--alertmanager, CONSIGNWATCH_ALERTMANAGER)", a.url, err)
	}
	return fmt.Errorf("no answer from Alertmanager at %s: %w (--alertmanager, CONSIGNWATCH_ALERTMANAGER)", a.url, err)
}

func addAck(app *kingpin.Application) (string, cli.Action) {
	command := app.Command("ack", "Acknowledge alerts: silence them and their escalations until they resolve.")
	var at alertmanagerFlags
	at.add(command)
	matchers := command.Arg("matchers", "Matchers of the alerts, as amtool reads them: NAME, or label=value; also !=, =~ and !~. All of them must match.").Strings()
	list := command.Flag("list", "Acknowledge nothing: list the firing alerts, and who acknowledged them.").Bool()
	all := command.Flag("all", "Without matchers: acknowledge every firing alert.").Bool()
	length := command.Flag("for", "How long the acknowledgement lasts unless ackd renews it. Default: "+model.Duration(ack.DefaultLength).String()+".").Default(model.Duration(ack.DefaultLength).String()).PlaceHolder("DURATION").String()
	until := command.Flag("until", "Until when the acknowledgement lasts, also if the policy (ack_timeout) would end it before: 17:30, or \"2026-12-05 17:30\".").PlaceHolder("TIME").String()
	comment := command.Flag("comment", "Comment, which the others see.").PlaceHolder("TEXT").String()
	author := command.Flag("author", "Who acknowledges. Default: your user name.").Default(userName()).PlaceHolder("NAME").String()
	return command.FullCommand(), func(ctx context.Context, stdout io.Writer) error {
		ctx, cancel := context.WithTimeout(ctx, requestTimeout)
		defer cancel()
		client, selector, err := at.prepare(*matchers)
		if err != nil {
			return err
		}
		if *list {
			snapshot, err := ack.Fetch(ctx, client)
			if err != nil {
				return at.explain(err)
			}
			return printAlerts(stdout, snapshot, selector)
		}
		duration, err := model.ParseDuration(*length)
		switch {
		case err != nil || duration <= 0:
			return fmt.Errorf("--for: %q is not a duration like 15m or 2h", *length)
		case *author == "":
			return errors.New("--author: missing: who acknowledges?")
		}
		acknowledger := ack.Acknowledger{Client: client, Author: *author, Comment: *comment, Length: time.Duration(duration)}
		if *until != "" {
			if acknowledger.Until, err = parseUntil(*until, time.Now()); err != nil {
				return fmt.Errorf("--until: %w", err)
			}
		}
		results, err := acknowledger.Acknowledge(ctx, ack.Selection{Selector: selector, All: *all})
		printResults(stdout, results)
		return at.explain(err)
	}
}

func addUnack(app *kingpin.Application) (string, cli.Action) {
	command := app.Command("unack", "Unacknowledge alerts: end their acknowledgement, so that they notify and escalate again.")
	var at alertmanagerFlags
	at.add(command)
	matchers := command.Arg("matchers", "Matchers of the alerts, as amtool reads them: NAME, or label=value; also !=, =~ and !~. All of them must match.").Strings()
	all := command.Flag("all", "Without matchers: unacknowledge every acknowledged alert.").Bool()
	return command.FullCommand(), func(ctx context.Context, stdout io.Writer) error {
		ctx, cancel := context.WithTimeout(ctx, requestTimeout)
		defer cancel()
		client, selector, err := at.prepare(*matchers)
		if err != nil {
			return err
		}
		results, err := (&ack.Acknowledger{Client: client}).Unacknowledge(ctx, ack.Selection{Selector: selector, All: *all})
		printResults(stdout, results)
		return at.explain(err)
	}
}

func (a *alertmanagerFlags) prepare(matchers []string) (*amclient.Client, amclient.Selector, error) {
	selector, err := ack.ParseMatchers(matchers...)
	if err != nil {
		return nil, nil, err
	}
	client, err := a.client()
	return client, selector, err
}

// ackd is a daemon built with pkg/exporter, with the flags of all exporters: it parses its own command line.
const ackd = "ackd"

// declareAckd declares the command for the help text. Its flags are parsed by the daemon.
func declareAckd(app *kingpin.Application) {
	app.Command(ackd, "Run the daemon that renews acknowledgements while their alerts fire, and exports them as metrics. Its flags: consignwatch ackd serve --help.")
}

// runAckd runs the daemon until a signal stops it.
func runAckd(args []string, stdout, stderr io.Writer) int {
	return daemon.App().Main(args, stdout, stderr)
}

func userName() string {
	if name := os.Getenv("USER"); name != "" {
		return name
	}
	if u, err := user.Current(); err == nil {
		return u.Username
	}
	return ""
}

// printResults prints one line for each alert.
func printResults(out io.Writer, results []ack.Result) {
	for _, r := range results {
		line := r.Alert.Identity.String() + " " + r.State
		switch r.State {
		case ack.Acknowledged:
			line += fmt.Sprintf(" by %s, at least until %s", r.Silence.CreatedBy, formatTime(r.Silence.EndsAt))
		case ack.AlreadyAcknowledged:
			line += fmt.Sprintf(" by %s at %s", r.Silence.CreatedBy, formatTime(r.Silence.StartsAt))
		}
		fmt.Fprintln(out, line)
	}
}

// parseUntil reads a time in the local time zone: a time of day, which is the next one, or a date and a time.
func parseUntil(text string, now time.Time) (time.Time, error) {
	if t, err := time.ParseInLocation("2006-01-02 15:04", text, now.Location()); err == nil {
		if !t.After(now) {
			return time.Time{}, fmt.Errorf("%s is not in the future", text)
		}
		return t, nil
	}
	clock, err := time.Parse("15:04", text)
	if err != nil {
		return time.Time{}, fmt.Errorf("%q is not a time like 17:30 or \"2026-12-05 17:30\"", text)
	}
	for day := now.Day(); ; day++ {
		if t := time.Date(now.Year(), now.Month(), day, clock.Hour(), clock.Minute(), 0, 0, now.Location()); t.After(now) {
			return t, nil
		}
	}
}

func formatTime(t time.Time) string { return t.Local().Format("2006-01-02 15:04:05") }

// printAlerts prints a table of the firing alerts.
func printAlerts(out io.Writer, snapshot *ack.Snapshot, selector amclient.Selector) error {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "PRIORITY\tALERT\tCLIENT\tSUBJECT\tSINCE\tACKNOWLEDGED BY\tAT\tCOMMENT")
	for _, a := range snapshot.Alerts {
		if a.Heartbeat() || !selector.Matches(a.Labels) {
			continue
		}
		by, at, comment := "nobody", "", ""
		if a.Acknowledged() {
			s := a.Silences[0]
			by, at = s.CreatedBy, formatTime(s.StartsAt)
			comment = strings.TrimSpace(strings.TrimPrefix(s.Comment, ack.Prefix))
			if a.Acknowledgement() == nil {
				comment = strings.TrimSpace("(a silence until " + formatTime(s.EndsAt) + ") " + comment)
			}
		}
		subject := strings.Trim(a.Component+" "+a.Subject, " ")
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", cmp.Or(a.Priority, "-"), a.Alertname, cmp.Or(a.Client, "-"), cmp.Or(subject, "-"), formatTime(a.StartsAt), by, at, comment)
	}
	return table.Flush()
}
