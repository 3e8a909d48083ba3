// Command go prints a line for each event of a wabastream server, and stays
// subscribed, through the SDK: package client reconnects, resumes, watches heartbeats
// and keeps the checkpoint, so what is left is to say what to do with an event. README.md
// in the folder above documents options and exit codes.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"slices"
	"syscall"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/wabastream/wabastream/client"
	wabastreamv1 "github.com/wabastream/wabastream/gen/wabastream/v1"
)

const (
	exitOK = iota
	exitFailed
	exitUsage
	exitCursor
	exitCredentials
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// run follows the events until the context ends or the server refuses.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	o, err := parse(args, stderr)
	if err != nil {
		return exitUsage // parse has said why
	}
	logger := slog.New(slog.NewTextHandler(stderr, nil))
	if err := consume(ctx, o, stdout, logger); err != nil && ctx.Err() == nil {
		fmt.Fprintln(stderr, err)
		return exitCode(err)
	}
	return exitOK
}

func consume(ctx context.Context, o *options, stdout io.Writer, logger *slog.Logger) error {
	dial, err := o.dial(logger)
	if err != nil {
		return err
	}
	c, err := client.New(o.addr, dial...)
	if err != nil {
		return err
	}
	defer c.Close()

	handle := []client.HandleOption{
		client.WithCheckpoint(client.NewFileCheckpoint(o.checkpoint)),
		client.WithObserver(func(n client.Notice) {
			if ready := n.Frame.GetReady(); ready != nil {
				logger.InfoContext(ctx, "subscribed", "log", ready.GetLogId(), "resumed", ready.GetResumed())
			}
		}),
	}
	if o.onGap == "continue" {
		handle = append(handle, client.WithGapHandler(func(ctx context.Context, gap *client.GapError) error {
			logger.WarnContext(ctx, "gap", "error", gap)
			return nil
		}))
	}
	return c.Handle(ctx, o.request(), func(_ context.Context, event *wabastreamv1.Event) error {
		_, err := fmt.Fprintln(stdout, line(event))
		return err
	}, handle...)
}

func exitCode(err error) int {
	refused := &client.Error{}
	if !errors.As(err, &refused) {
		return exitFailed
	}
	switch refused.Reason {
	case client.ReasonCursorExpired, client.ReasonCursorLogMismatch, client.ReasonCursorAheadOfLog, client.ReasonCursorMalformed:
		return exitCursor
	}
	switch refused.Code {
	case codes.Unauthenticated, codes.PermissionDenied:
		return exitCredentials
	default:
		return exitFailed
	}
}

// options are the command line.
type options struct {
	addr, from, checkpoint, onGap, tokenFile, caFile string

	heartbeat float64
	wabaIDs   []string
	types     []string
}

func parse(args []string, stderr io.Writer) (*options, error) {
	o := &options{from: "earliest", onGap: "fail"}
	flags := flag.NewFlagSet("consume", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.StringVar(&o.addr, "addr", "127.0.0.1:9090", "the server's gRPC address")
	flags.Func("waba-id", "only this account; may be repeated", appendTo(&o.wabaIDs))
	flags.Func("type", "only this type and those below; may be repeated", appendTo(&o.types))
	flags.Func("from", "earliest or latest (default earliest)", oneOf(&o.from, "earliest", "latest"))
	flags.StringVar(&o.checkpoint, "checkpoint", "wabastream.cursor", "file that keeps the cursor")
	flags.Func("on-gap", "fail or continue (default fail)", oneOf(&o.onGap, "fail", "continue"))
	flags.Float64Var(&o.heartbeat, "heartbeat", 15, "seconds, 1 to 300")
	flags.StringVar(&o.tokenFile, "token-file", "", "file with a bearer token")
	flags.StringVar(&o.caFile, "ca-file", "", "PEM file of the authorities to trust; then TLS is used on loopback too")
	return o, flags.Parse(args)
}

func appendTo(values *[]string) func(string) error {
	return func(value string) error {
		*values = append(*values, value)
		return nil
	}
}

func oneOf(value *string, choices ...string) func(string) error {
	return func(given string) error {
		if !slices.Contains(choices, given) {
			return fmt.Errorf("want one of %q", choices)
		}
		*value = given
		return nil
	}
}

func (o *options) dial(logger *slog.Logger) ([]client.Option, error) {
	dial := []client.Option{client.WithLogger(logger)}
	if o.caFile != "" {
		creds, err := credentials.NewClientTLSFromFile(o.caFile, "")
		if err != nil {
			return nil, fmt.Errorf("read the authorities: %w", err)
		}
		dial = append(dial, client.WithTransportCredentials(creds))
	}
	if o.tokenFile != "" {
		if _, err := o.token(); err != nil {
			return nil, fmt.Errorf("read the token: %w", err)
		}
		dial = append(dial, client.WithTokenSource(func(context.Context) (string, error) { return o.token() }))
	}
	return dial, nil
}

// token reads the token each time: the file may have a fresh one.
func (o *options) token() (string, error) {
	token, err := os.ReadFile(o.tokenFile) //nolint:gosec // the user's own path
	return string(token), err
}

func (o *options) request() *wabastreamv1.SubscribeRequest {
	position := wabastreamv1.StartPosition_START_POSITION_EARLIEST
	if o.from == "latest" {
		position = wabastreamv1.StartPosition_START_POSITION_LATEST
	}
	request := &wabastreamv1.SubscribeRequest{
		ClientLabel:       "example-go",
		HeartbeatInterval: durationpb.New(time.Duration(o.heartbeat * float64(time.Second))),
		Start:             &wabastreamv1.SubscribeRequest_Position{Position: position}, // if there is no checkpoint
	}
	if len(o.wabaIDs)+len(o.types) > 0 {
		request.Filters = []*wabastreamv1.EventFilter{{WabaIds: o.wabaIDs, Types: o.types}}
	}
	return request
}
