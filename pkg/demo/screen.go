package demo

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"text/tabwriter"
	"time"
)

const (
	clearLine = "\r\x1b[K"
	bold      = "\x1b[1m"
	reset     = "\x1b[0m"
	barWidth  = 20
)

// screen is the output of the demo, on a terminal or in a log. It is safe for
// concurrent use; each write stays together.
type screen struct {
	out      io.Writer
	terminal bool
	steps    int // parts to start
	// onWriteError is called when out cannot be written to.
	onWriteError func(error)

	mu   sync.Mutex
	done int  // parts that are up
	bar  bool // the last line is a progress bar
}

// partStarting shows that a part is being started: as a progress bar on a
// terminal, otherwise as a line.
func (c *screen) partStarting(p part) {
	if !c.terminal {
		c.line("starting %s", p.name)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	filled := barWidth * c.done / c.steps
	fmt.Fprintf(c.out, "%s[%s%s] %d/%d starting %s", clearLine,
		strings.Repeat("#", filled), strings.Repeat(".", barWidth-filled), c.done+1, c.steps, p.name)
	c.bar = true
}

func (c *screen) partStarted(p part, address string, took time.Duration) {
	c.line("%s is up on %s after %.1f s", p.name, address, took.Seconds())
	c.mu.Lock()
	c.done++
	c.mu.Unlock()
}

// line prints one line with the time.
func (c *screen) line(format string, args ...any) {
	fmt.Fprintf(c, "%s  %s\n", time.Now().Format(time.TimeOnly), fmt.Sprintf(format, args...))
}

// clear removes the progress bar.
func (c *screen) clear() { _, _ = c.Write(nil) }

// Write prints whole lines, in place of the progress bar if there is one.
func (c *screen) Write(lines []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	text := lines
	if c.bar {
		text = append([]byte(clearLine), lines...)
		c.bar = false
	}
	if _, err := c.out.Write(text); err != nil {
		c.onWriteError(err)
		return 0, err
	}
	return len(lines), nil
}

// table prints the table of parts with their addresses.
func (c *screen) table(s *stack) {
	var text strings.Builder
	table := tabwriter.NewWriter(&text, 0, 0, 3, ' ', 0)
	fmt.Fprintf(table, "PART\tADDRESS\tWHAT\n")
	for _, p := range s.up {
		address := p.Address()
		if p.path != "" {
			address = "http://" + address + p.path
		}
		fmt.Fprintf(table, "%s\t%s\t%s\n", p.name, address, p.what)
	}
	_ = table.Flush() // writes to a strings.Builder never fail
	head, rest, _ := strings.Cut(text.String(), "\n")
	if c.terminal {
		head = bold + head + reset
	}
	if _, err := s.part(grafanaPart); err != nil && s.config.Dashboards != nil {
		rest += "No Grafana is installed here: docs/dashboards.md says how to see the dashboards in one.\n"
	}
	fmt.Fprintf(c, "\n%s\n%s\nFolder:        %s\nNotifications: %s\nAll is up. Notifications follow as they arrive; Ctrl-C stops everything.\n\n",
		head, rest, s.folder, s.config.NotificationsFile)
}
