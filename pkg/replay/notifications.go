package replay

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"time"
)

// Program is the name of the program that says what Alertmanager sends. It is one of its own, because it is made of the Alertmanager that runs, and
// Prometheus' rules want a later one.
const Program = "alertmanager-replay"

// Notification is what one receiver gets at one time about one group of alerts, through one channel.
type Notification struct {
	Time     time.Time         `json:"time"`
	Receiver string            `json:"receiver"`
	Channel  string            `json:"channel"` // like email[0]: the kind of the integration, and which of the receiver's
	Group    map[string]string `json:"group"`
	Firing   []Alert           `json:"firing"`
	Resolved []Alert           `json:"resolved"`
}

// Notify returns what an Alertmanager with a configuration file sends until a time for what Prometheus posts to it, in order of time. The program is the
// path of Program.
func Notify(ctx context.Context, program, configFile string, posts []Post, until time.Time) ([]Notification, error) {
	var in bytes.Buffer
	encoder := json.NewEncoder(&in)
	for _, p := range posts {
		if err := encoder.Encode(p); err != nil {
			return nil, err
		}
	}
	var out, problems bytes.Buffer
	command := exec.CommandContext(ctx, program, "--config.file", configFile, "--until", until.Format(time.RFC3339Nano))
	command.Stdin, command.Stdout, command.Stderr = &in, &out, &problems
	if err := command.Run(); err != nil {
		return nil, fmt.Errorf("%s: %w: %s", Program, err, strings.TrimSpace(problems.String()))
	}
	var all []Notification
	for decoder := json.NewDecoder(&out); ; {
		var n Notification
		if err := decoder.Decode(&n); errors.Is(err, io.EOF) {
			return all, nil
		} else if err != nil {
			return nil, fmt.Errorf("%s: %w", Program, err)
		}
		all = append(all, n)
	}
}
