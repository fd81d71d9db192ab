// Package cli runs a program that consists of subcommands: it parses the command line, ends the chosen one on a signal, masks the secrets in what it
// prints, and makes its error the exit status. It knows none of the subcommands, and declares no flag of its own but help and version.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kingpin/v2"
	"github.com/prometheus/common/version"

	"github.com/consignwatch/consignwatch/pkg/secret"
)

// Action runs a subcommand. Ctrl-C cancels the context.
type Action func(ctx context.Context, stdout io.Writer) error

// Command declares a subcommand with its flags, and returns its name and what it does.
type Command func(*kingpin.Application) (string, Action)

// Main runs the subcommand that the arguments name, and returns the exit status of the program.
func Main(app *kingpin.Application, commands []Command, args []string, stdout, stderr io.Writer) int {
	stdout, stderr = secret.Writer(stdout), secret.Writer(stderr) // servers quote what they were sent
	log.SetOutput(stderr)                                         // package net/http logs there
	app.HelpFlag.Short('h')
	app.Version(version.Print(app.Name))
	app.UsageWriter(stdout)
	app.ErrorWriter(stderr)
	actions := map[string]Action{}
	for _, add := range commands {
		name, act := add(app)
		actions[name] = act
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	// When the reader of our output goes away, a write fails, and the command
	// shuts down instead of being killed.
	signal.Ignore(syscall.SIGPIPE)
	name, err := app.Parse(args)
	if err == nil {
		err = actions[name](ctx, stdout)
	}
	switch {
	case err == nil:
		return 0
	case ctx.Err() != nil && errors.Is(err, context.Canceled):
		fmt.Fprintf(stderr, "%s: interrupted\n", app.Name)
	default:
		fmt.Fprintf(stderr, "%s: %v\n", app.Name, err)
	}
	return 1
}
