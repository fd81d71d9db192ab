// Package statefile holds the addresses and processes of a running demo, and the file by which others learn them: drills, tests and scripts. It
// starts and stops nothing, and sends no request.
package statefile

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// State has the addresses and processes of a running demo. The state file has it
// as JSON: it is created atomically when all parts are up, and removed when the
// demo ends.
type State struct {
	PID               int       `json:"pid"` // of the demo itself
	Started           time.Time `json:"started"`
	Folder            string    `json:"folder"`
	DSNFile           string    `json:"dsn_file"`           // of the platform's database, with all rights
	NotificationsFile string    `json:"notifications_file"` // one line of JSON per notification
	TimeScale         float64   `json:"time_scale"`         // how much faster than the policy alerts notify and escalate
	Interval          float64   `json:"interval"`           // of scrapes and evaluations, in seconds
	Parts             []Part    `json:"parts"`              // in the order of their start
}

// Part is one part of a running demo.
type Part struct {
	Name    string `json:"name"`
	Address string `json:"address"` // host:port
	Host    string `json:"host"`
	Port    int    `json:"port"`
	URL     string `json:"url,omitempty"` // root, if it speaks HTTP; no slash at the end
	PID     int    `json:"pid"`           // the demo's own for a part that runs inside it
	Folder  string `json:"folder"`        // with its log and its data
}

// Read reads a state file.
func Read(file string) (State, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return State{}, fmt.Errorf("state file: %w", err)
	}
	var s State
	if err := json.Unmarshal(data, &s); err != nil {
		return State{}, fmt.Errorf("state file %s: %w", file, err)
	}
	return s, nil
}

// Part returns the part with the name.
func (s State) Part(name string) (Part, bool) {
	for _, p := range s.Parts {
		if p.Name == name {
			return p, true
		}
	}
	return Part{}, false
}

// Write puts the state into the file in one step: a reader sees all of it or
// none.
func (s State) Write(file string) error {
	data, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return fmt.Errorf("state file: %w", err)
	}
	temporary, err := os.CreateTemp(filepath.Dir(file), ".consignwatch-state-*")
	if err != nil {
		return fmt.Errorf("state file: %w", err)
	}
	_, err = temporary.Write(append(data, '\n'))
	if err = errors.Join(err, temporary.Close()); err == nil {
		err = os.Rename(temporary.Name(), file)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("state file: %w", err), os.Remove(temporary.Name()))
	}
	return nil
}

// Remove removes a state file, if there is one.
func Remove(file string) error {
	if err := os.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("state file: %w", err)
	}
	return nil
}
