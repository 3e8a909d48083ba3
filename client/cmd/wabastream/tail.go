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
	output     string
	color      string
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

Text shows when the server received the event (local time), its severity, type,
account and phone number, and what happened in a few words. JSON shows the whole
event, one object a line, in protobuf's JSON form. Text is for terminals and JSON
for everything else, unless --output says otherwise.

State (connected, caught up, trouble) goes to standard error; with JSON only
trouble does. Interrupting tail is its normal end: the exit code is 0.`,
		Example: `  # One account, only what needs somebody's attention.
  wabastream tail --waba 1618074075500491 --min-severity warning

  # Bans and everything about phone numbers' quality, of the last two hours and on.
  wabastream tail --type account_update.disabled_update --type phone_number_quality_update --since 2h

  # Everything the server still holds, as JSON, then stop.
  wabastream tail --from earliest --no-follow --output json

  # How many events of each type there were in the last week.
  wabastream tail --since 7d --no-follow | jq -r .type | sort | uniq -c

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
	flags.StringSliceVar(&s.wabas, "waba", nil, "only this account (WABA ID); repeat for several")
	flags.StringSliceVar(&s.types, "type", nil, "only this type and everything below it, such as account_update; repeat for several")
	flags.StringSliceVar(&s.phones, "phone", nil, "only this business phone number; repeat for several")
	flags.StringVar(&s.minSeverity, "min-severity", "", "only events at least this urgent: info, warning or critical")
	flags.BoolVar(&s.unattributed, "unattributed", false, "with --waba: also events whose account is not known; alone: only those")
	flags.StringVar(&s.from, "from", "", "begin after: earliest, latest, cursor:CURSOR or event:ID (default latest; earliest with --no-follow)")
	flags.StringVar(&s.since, "since", "", "begin with what the server received this long ago (30m, 2h, 7d) or at this time (RFC 3339)")
	flags.BoolVar(&s.noFollow, "no-follow", false, "stop at the newest event there is now")
	flags.BoolVar(&s.allowGap, "allow-gap", false, "where events after --from, or some types of them, were removed by retention, say so and go on with what is still held")
	flags.BoolVar(&s.raw, "raw", false, "also show the callback as the provider sent it; it may hold personal data")
	flags.DurationVar(&s.heartbeat, "heartbeat", 0, "longest silence of the server, 1s to 5m; after three the stream is opened anew (default 15s)")
	flags.Uint64Var(&t.limit, "limit", 0, "stop after this many events (default no limit)")
	flags.StringVarP(&t.output, "output", "o", "", "text or json (default text on a terminal, else json)")
	flags.StringVar(&t.color, "color", "auto", "auto, always or never; auto is never when NO_COLOR is set")
	flags.BoolVar(&t.wait, "wait", false, "keep trying when the server cannot be reached at first")
	t.connection.addFlags(flags)

	complete(cmd, "type", knownTypes()...)
	complete(cmd, "min-severity", "info", "warning", "critical")
	complete(cmd, "from", "earliest", "latest", "cursor:", "event:")
	complete(cmd, "output", "text", "json")
	complete(cmd, "color", "auto", "always", "never")
	completeNothing(cmd, "waba", "phone", "since", "heartbeat", "limit", "addr")
}

func (t *tail) run(ctx context.Context) error {
	if err := t.settle(); err != nil {
		return err
	}
	request, err := t.selection.request(time.Now())
	if err != nil {
		return err
	}
	c, err := t.connection.dial(t.console.env)
	if err != nil {
		return err
	}
	defer c.Close()

	ctx, giveUp := context.WithCancel(ctx)
	defer giveUp()
	n := &notes{out: t.console.err, addr: t.connection.addr, chatty: t.output == "text", explain: t.explain}
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

// settle fills in defaults and checks words.
func (t *tail) settle() error {
	terminal := isTerminal(t.console.out)
	if t.output == "" {
		t.output = "json"
		if terminal {
			t.output = "text"
		}
	}
	if err := oneOf("output", t.output, "text", "json"); err != nil {
		return err
	}
	if err := oneOf("color", t.color, "auto", "always", "never"); err != nil {
		return err
	}
	if t.color == "auto" && (!terminal || t.console.env("NO_COLOR") != "" || t.console.env("TERM") == "dumb") {
		t.color = "never"
	}
	return nil
}

func (t *tail) printer() printer {
	if t.output == "json" {
		return jsonPrinter{out: t.console.out}
	}
	return textPrinter{out: t.console.out, color: t.color != "never", raw: t.selection.raw}
}

// print prints events until the limit, the end or an error.
func (t *tail) print(events eventSeq, n *notes) error {
	p, printed := t.printer(), uint64(0)
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
		return fmt.Errorf("no stream from %s: %s", t.connection.addr, t.connection.noTLSHint())
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
