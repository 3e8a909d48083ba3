// Command wabastream follows the events of a wabastream server, posts callbacks to
// one to try it out, and has it make backups, or try again callbacks that it could not
// read.
//
// It only ever talks to a server; it never opens a store. What providers and
// servers send is shown without the control characters that could drive the
// terminal. Personal data is shown only where --raw, --bodies or JSON asks for the
// event or callback as it is.
//
// Exit codes: 0 when all went well, also when a signal ended tail; 1 when
// something failed; 2 when the command line is wrong.
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

const (
	exitOK    = 0
	exitError = 1
	exitUsage = 2
)

func main() {
	os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr, os.Getenv))
}

// console is the outside world of a command.
type console struct {
	in       io.Reader
	out, err io.Writer
	env      func(string) string
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

	root := newRootCommand(&console{in: stdin, out: stdout, err: stderr, env: env})
	root.SetArgs(args)
	called, err := root.ExecuteContextC(ctx)
	if err == nil {
		return exitOK
	}
	fmt.Fprintln(stderr, "wabastream:", clean(err.Error()))
	if errors.As(err, new(usageError)) {
		fmt.Fprintf(stderr, "See '%s --help'.\n", called.CommandPath())
		return exitUsage
	}
	return exitError
}
