package main

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"time"

	"github.com/alecthomas/kingpin/v2"
	"github.com/prometheus/common/model"

	"github.com/consignwatch/consignwatch/pkg/cli"
	"github.com/consignwatch/consignwatch/pkg/recording"
)

func addRecord(app *kingpin.Application) (string, cli.Action) {
	command := app.Command("record", "Record what a Prometheus scraped in a time range, by remote read, for consignwatch replay.")
	address := command.Flag("prometheus", "Address of Prometheus, or of another remote read endpoint. Default: http://localhost:9090.").Envar("CONSIGNWATCH_PROMETHEUS").Default("http://localhost:9090").PlaceHolder("URL").String()
	configFile := command.Flag("http.config.file", "HTTP client configuration (authentication, TLS): the file that amtool and Prometheus read.").PlaceHolder("FILE").String()
	from := command.Flag("from", "Start of the recording: RFC 3339, or how long ago, such as 2h.").Required().PlaceHolder("TIME").String()
	to := command.Flag("to", "End of the recording: RFC 3339, or how long ago. Default: now.").Default("0s").PlaceHolder("TIME").String()
	output := command.Flag("output", "The file to write. Its name must end in "+recording.Extension+".").Short('o').Required().PlaceHolder("FILE").String()
	return command.FullCommand(), func(ctx context.Context, stdout io.Writer) error {
		now := time.Now()
		begin, err := parseTime(*from, now)
		if err != nil {
			return fmt.Errorf("--from: %w", err)
		}
		end, err := parseTime(*to, now)
		if err != nil {
			return fmt.Errorf("--to: %w", err)
		}
		if !strings.HasSuffix(*output, recording.Extension) {
			return fmt.Errorf("--output: the name %s does not end in %s", filepath.Base(*output), recording.Extension)
		}
		client, err := httpClient(*configFile)
		if err != nil {
			return err
		}
		r, err := recording.Fetch(ctx, client, *address, begin, end)
		if err != nil {
			return err
		}
		if err := r.Write(*output); err != nil {
			return err
		}
		first, last, _ := r.Bounds()
		fmt.Fprintf(stdout, "%s: %d series from %s to %s, scraped every %s\n", *output, len(r.Series), first.Format(time.RFC3339), last.Format(time.RFC3339), model.Duration(r.Interval().Round(time.Second)))
		for _, gap := range r.Gaps(4 * r.Interval()) {
			fmt.Fprintf(stdout, "nothing was scraped from %s\n", gap)
		}
		return nil
	}
}

// parseTime reads a time: RFC 3339, or how long ago.
func parseTime(text string, now time.Time) (time.Time, error) {
	if ago, err := model.ParseDuration(text); err == nil {
		return now.Add(-time.Duration(ago)), nil
	}
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return time.Time{}, fmt.Errorf("%q is neither a time like 2026-11-28T14:05:00Z nor a duration like 2h", text)
	}
	return at, nil
}
