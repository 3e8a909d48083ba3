// Command wabastreamd accepts a WhatsApp Business provider's callbacks over
// HTTP, keeps them in a durable log, and streams them as typed events over gRPC.
package main

import (
	"context"
	"io"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	os.Exit(run(os.Args[1:], os.Environ(), os.Stdout, os.Stderr))
}

// run is the whole program. The first SIGINT or SIGTERM shuts down in order; a
// second one ends the process at once. It returns the exit code: 0 after an
// orderly shutdown, 1 otherwise.
func run(args, environ []string, stdout, stderr io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop)

	command := newCommand(environ)
	command.SetArgs(args)
	command.SetOut(stdout)
	command.SetErr(stderr)
	if err := command.ExecuteContext(ctx); err != nil {
		command.PrintErrln("wabastreamd:", err)
		return 1
	}
	return 0
}
