// Command alertmanager-replay prints the notifications that an Alertmanager would send for given alerts, without sending them, and without waiting. It reads
// posts of Prometheus from standard input, one JSON object per line and in order of time, and writes notifications to standard output in the same way.
// `consignwatch replay` runs it.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"testing"
	"time"

	"github.com/alecthomas/kingpin/v2"
	"github.com/prometheus/alertmanager/config"
	"github.com/prometheus/common/version"

	"github.com/consignwatch/consignwatch/tools/alertmanager/notifications"
)

func main() {
	app := kingpin.New("alertmanager-replay", "Print what an Alertmanager would send for the alerts on the standard input. `consignwatch replay` runs it.")
	app.HelpFlag.Short('h')
	app.Version(version.Print("alertmanager-replay"))
	file := app.Flag("config.file", "The configuration of Alertmanager.").Required().String()
	until := app.Flag("until", "End of the replay, as RFC 3339.").Required().String()
	kingpin.MustParse(app.Parse(os.Args[1:]))
	// testing/synctest has virtual time for tests only. So this program is a test binary, with one test and no flags.
	os.Args = os.Args[:1]
	testing.Init()
	flag.Parse()
	out := os.Stdout
	os.Stdout = os.Stderr // package testing prints its progress
	everything := func(string, string) (bool, error) { return true, nil }
	testing.Main(everything, []testing.InternalTest{{Name: "Replay", F: func(t *testing.T) {
		if err := run(t, *file, *until, os.Stdin, out); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}}}, nil, nil)
}

func run(t *testing.T, file, until string, in io.Reader, out io.Writer) error {
	end, err := time.Parse(time.RFC3339, until)
	if err != nil {
		return fmt.Errorf("--until: %w", err)
	}
	c, err := config.LoadFile(file)
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	var posts []notifications.Post
	for decoder := json.NewDecoder(bufio.NewReader(in)); ; {
		var post notifications.Post
		if err := decoder.Decode(&post); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return fmt.Errorf("post %d: %w", len(posts)+1, err)
		}
		posts = append(posts, post)
	}
	sent, err := notifications.Replay(t, c, posts, end)
	if err != nil {
		return err
	}
	buffered := bufio.NewWriter(out)
	encoder := json.NewEncoder(buffered)
	for _, n := range sent {
		if err := encoder.Encode(n); err != nil {
			return err
		}
	}
	return buffered.Flush()
}
