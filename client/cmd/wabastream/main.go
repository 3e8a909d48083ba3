// Command wabastream follows the events of a wabastream server, posts callbacks to
// one to try it out, and has it make backups, or try again callbacks that it could not
// read.
//
// It only ever talks to a server; it never opens a store. What providers and
// servers send is shown without the control characters that could drive the
// terminal. Personal data is shown only where --raw, --bodies or JSON asks for the
// event or callback as it is.
//
// Exit codes are listed by exitCodes.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr, os.Getenv))
}

// console is the outside world of a command.
type console struct {
	in       io.Reader
	out, err io.Writer
	env      func(string) string
	// configDir returns the folder of the user's configuration files.
	configDir func() (string, error)
}

// usageError is a mistake on the command line.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

func usagef(format string, args ...any) error {
	return usageError{fmt.Errorf(format, args...)}
}

// run executes a command line and returns the exit code. The first interrupt or
// termination signal ends the command in good order, the second at once.
func run(args []string, stdin io.Reader, stdout, stderr io.Writer, env func(string) string) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop)

	root := newRootCommand(&console{in: stdin, out: stdout, err: stderr, env: env, configDir: os.UserConfigDir})
	root.SetArgs(args)
	called, err := root.ExecuteContextC(ctx)
	if err == nil {
		return exitOK
	}
	fmt.Fprintln(stderr, "wabastream:", clean(err.Error()))
	if errors.As(err, new(usageError)) {
		fmt.Fprintf(stderr, "See '%s --help'.\n", called.CommandPath())
	}
	return codeOf(err)
}
