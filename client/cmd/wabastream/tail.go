package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/wabastream/wabastream/client"
)

// tail is one run of the command.
type tail struct {
	console    *console
	connection connection
	selection  selection
	limit      uint64
	format     format
	color      color
	wait       bool
}

func newTailCommand(c *console) *cobra.Command {
	t := &tail{console: c}
	cmd := &cobra.Command{
		Use:   "tail",
		Short: "Print events as they happen",
		Long: `Print events as they happen, or those of the past, one a line.

Without flags it prints every event from now on. It stays until it is interrupted,
reconnects by itself when the server restarts or the network fails, and then
continues with the very next event.

A table shows when the server received the event (local time), its severity, type,
account and phone number, and what happened in a few words. JSON shows the whole
event, one object a line, in protobuf's JSON form. Terminals get a table and
everything else gets JSON, unless --output says otherwise; --template prints what
you choose.

State (connected, caught up, trouble) goes to standard error; except with a table
only trouble does. Interrupting tail is its normal end: the exit code is 0.`,
		Example: `  # One account, only what needs somebody's attention.
  wabastream tail --waba 1618074075500491 --min-severity warning

  # Bans and everything about phone numbers' quality, of the last two hours and on.
  wabastream tail --type account_update.disabled_update --type phone_number_quality_update --since 2h

  # Everything the server still holds, as JSON, then stop.
  wabastream tail --from earliest --no-follow --output json

  # How many events of each type there were in the last week.
  wabastream tail --since 7d --no-follow --template '{{.Type}}' | sort | uniq -c

  # Wait for one event and go on with the script.
  wabastream tail --waba 1618074075500491 --type account_review_update --limit 1

  # Go on after the last event that was seen.
  wabastream tail --from cursor:$CURSOR`,
		Args:              noArguments,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := refuseEmpty(cmd.Flags(), "from", "since", "waba", "type", "phone", "min-severity"); err != nil {
				return err
			}
			return t.run(cmd.Context())
		},
	}
	t.addFlags(cmd)
	return cmd
}

func (t *tail) addFlags(cmd *cobra.Command) {
	flags, s := cmd.Flags(), &t.selection
	s.addFlags(cmd)
	flags.StringVar(&s.from, "from", "", "begin after: earliest, latest, cursor:CURSOR or event:ID (default latest; earliest with --no-follow)")
	flags.StringVar(&s.since, "since", "", "begin with what the server received this long ago (30m, 2h, 7d), today, yesterday or at this time (RFC 3339)")
	flags.BoolVar(&s.noFollow, "no-follow", false, "stop at the newest event there is now")
	flags.BoolVar(&s.allowGap, "allow-gap", false, "where events after --from, or some types of them, were removed by retention, say so and go on with what is still held")
	flags.DurationVar(&s.heartbeat, "heartbeat", 0, "longest silence of the server, 1s to 5m; after three the stream is opened anew (default 15s)")
	flags.Uint64Var(&t.limit, "limit", 0, "stop after this many events (default no limit)")
	flags.BoolVar(&t.wait, "wait", false, "keep trying when the server cannot be reached at first")
	t.format.addFlags(cmd)
	t.color.addFlag(cmd)
	t.connection.addFlags(cmd, t.console)

	complete(cmd, "from", "earliest", "latest", "cursor:", "event:")
	complete(cmd, "since", "today", "yesterday")
	completeNothing(cmd, "heartbeat", "limit")
}

func (t *tail) run(ctx context.Context) error {
	if err := t.format.settle(t.console, eventFields{}); err != nil {
		return err
	}
	if err := t.color.settle(t.console); err != nil {
		return err
	}
	request, err := t.selection.request(time.Now())
	if err != nil {
		return err
	}
	c, err := t.connection.dial(t.console)
	if err != nil {
		return err
	}
	defer c.Close()

	ctx, giveUp := context.WithCancel(ctx)
	defer giveUp()
	n := &notes{out: t.console.err, addr: t.connection.addr, chatty: t.format.name == formatTable, explain: t.explain}
	if !t.wait {
		n.giveUp = giveUp
	}
	err = t.print(c.Subscribe(ctx, request, client.WithObserver(n.observe)), n)
	n.resumeHint()
	switch {
	case n.failure != nil:
		return n.failure
	case errors.Is(err, context.Canceled):
		return nil // a signal
	default:
		return t.explain(err)
	}
}

// print prints events until the limit, the end or an error.
func (t *tail) print(events eventSeq, n *notes) error {
	p := eventPrinter{out: t.console.out, format: &t.format, color: t.color == colorAlways, raw: t.selection.raw}
	printed := uint64(0)
	for event, err := range events {
		if gap, ok := errors.AsType[*client.GapError](err); ok {
			n.gap(gap)
			continue
		}
		if err != nil {
			return err
		}
		if err := p.print(event); err != nil {
			return fmt.Errorf("print event: %w", err)
		}
		n.printed(event)
		if printed++; printed == t.limit {
			return nil
		}
	}
	return nil
}

// explain adds what to do about errors that have an answer on the command line.
func (t *tail) explain(err error) error {
	switch {
	case errors.Is(err, &client.Error{Reason: client.ReasonNoTLS}):
		return t.connection.noTLS("stream")
	case errors.Is(err, &client.Error{Reason: client.ReasonCursorExpired}):
		return fmt.Errorf("%w; begin with --from earliest, or add --allow-gap", err)
	default:
		return err
	}
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}
