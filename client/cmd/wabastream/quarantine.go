package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/wabastream/wabastream/client"
	wabastreamv1 "github.com/wabastream/wabastream/gen/wabastream/v1"
)

func newQuarantineCommand(c *console) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "quarantine",
		Short: "List signed callbacks that could not be read, and try one again",
		Long: `List the callbacks of which the server could make no event although their
signature was right, and have it try one again: after an upgrade that can read them,
for instance. The provider was not told 200, and posts them again for a while; the
server holds each once, and when it holds too many the oldest make room.`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newQuarantineListCommand(c), newQuarantineReinjectCommand(c))
	return cmd
}

// quarantineList is one run of "quarantine list".
type quarantineList struct {
	console    *console
	connection connection
	format     format
	bodies     bool
}

func newQuarantineListCommand(c *console) *cobra.Command {
	l := &quarantineList{console: c}
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the callbacks, the newest first",
		Long: `List the callbacks in the quarantine, the newest first: when each came first, its
source, its size, its id and why no event could be made of it. With --bodies also what
was posted, which may name people; in JSON it is Base64.`,
		Example: `  # What is there, and why.
  wabastream quarantine list

  # What was posted.
  wabastream quarantine list --bodies

  # The bodies as files.
  wabastream quarantine list --bodies --output json |
    while read -r callback; do
      jq -r .body <<<"$callback" | base64 -d > "$(jq -r .quarantineId <<<"$callback")"
    done`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error { return l.run(cmd.Context()) },
	}
	cmd.Flags().BoolVar(&l.bodies, "bodies", false, "show what was posted, too")
	l.format.addFlags(cmd)
	l.connection.addFlags(cmd, l.console)
	return cmd
}

func (l *quarantineList) run(ctx context.Context) error {
	if err := l.format.settle(l.console, quarantinedFields{}); err != nil {
		return err
	}
	c, err := l.connection.dial(l.console)
	if err != nil {
		return err
	}
	defer c.Close()
	held := 0
	for callback, err := range c.Quarantined(ctx, l.bodies) {
		if err != nil {
			return l.connection.explain("no list", err)
		}
		if err := l.print(callback, held == 0); err != nil {
			return err
		}
		held++
	}
	if held == 0 && l.format.name == formatTable {
		_, err = fmt.Fprintln(l.console.out, "The quarantine is empty: every signed callback became events.")
	}
	return err
}

func (l *quarantineList) print(callback *wabastreamv1.QuarantinedCallback, first bool) error {
	return l.format.write(l.console.out, answer{
		table:   func() string { return l.rows(callback, first) },
		message: callback,
		fields:  func() any { return newQuarantinedFields(callback) },
	})
}

// rows is a callback's row, under the head of the table if it is the first.
func (l *quarantineList) rows(callback *wabastreamv1.QuarantinedCallback, first bool) string {
	text := ""
	if first {
		text = quarantineRow("RECEIVED", "SOURCE", "SIZE", "ID", "REASON")
	}
	text += quarantineRow(localTime(callback.GetReceiveTime()), callback.GetSource(), binaryBytes(callback.GetSizeBytes()),
		callback.GetQuarantineId(), callback.GetReason())
	if l.bodies {
		text += "    " + clean(string(callback.GetBody())) + "\n"
	}
	return text
}

func quarantineRow(received, source, size, id, reason string) string {
	return strings.Join([]string{pad(received, len(timeLayout)), pad(source, 12), pad(size, 10), pad(id, 32), clean(reason)}, "  ") + "\n"
}

// quarantineReinject is one run of "quarantine reinject".
type quarantineReinject struct {
	console    *console
	connection connection
	format     format
}

func newQuarantineReinjectCommand(c *console) *cobra.Command {
	r := &quarantineReinject{console: c}
	cmd := &cobra.Command{
		Use:   "reinject ID",
		Short: "Have the server try a callback again",
		Long: `Have the server try the callback ID, as 'wabastream quarantine list' shows it, again
as if it was just posted. When the command ends its events are durable, subscribers
have them as new ones, and it has left the quarantine. What is in the log already is
not stored twice. If the server still cannot read it, it stays where it is.`,
		Example: `  wabastream quarantine reinject 5f70bf18a086007016e948b04aed3b82

  # All of them, after an upgrade.
  wabastream quarantine list --template '{{.ID}}' |
    xargs -n 1 wabastream quarantine reinject`,
		Args:              exactlyOneID,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE:              func(cmd *cobra.Command, args []string) error { return r.run(cmd.Context(), args[0]) },
	}
	r.format.addFlags(cmd)
	r.connection.addFlags(cmd, r.console)
	return cmd
}

func exactlyOneID(cmd *cobra.Command, args []string) error {
	if len(args) != 1 || args[0] == "" {
		return usagef("%s takes the id of one callback: 'wabastream quarantine list' shows them", cmd.Name())
	}
	return nil
}

func (r *quarantineReinject) run(ctx context.Context, id string) error {
	if err := r.format.settle(r.console, reinjectedFields{}); err != nil {
		return err
	}
	c, err := r.connection.dial(r.console)
	if err != nil {
		return err
	}
	defer c.Close()
	made, err := c.ReinjectQuarantined(ctx, id)
	if err != nil {
		return r.connection.explain("not put in again", quarantineHint(err))
	}
	return r.format.write(r.console.out, answer{
		table:   func() string { return reinjectedTable(made) },
		message: made,
		fields:  func() any { return newReinjectedFields(made) },
	})
}

// quarantineHint adds what to do next to errors that have a next step here.
func quarantineHint(err error) error {
	switch {
	case errors.Is(err, &client.Error{Reason: client.ReasonQuarantinedNotFound}):
		return fmt.Errorf("%w; 'wabastream quarantine list' shows what is held", err)
	case errors.Is(err, &client.Error{Reason: client.ReasonCallbackUnreadable}):
		return fmt.Errorf("%w; it stays in the quarantine: try again with a server that can read it, "+
			"or have the provider post it anew ('wabastream quarantine list --bodies' shows it)", err)
	}
	return err
}

func reinjectedTable(made *wabastreamv1.ReinjectQuarantinedResponse) string {
	var b strings.Builder
	fmt.Fprintf(&b, "Put in again: %d new, %d in the log before, %d of types that the source discards.\n",
		made.GetStoredCount(), made.GetDuplicateCount(), made.GetDiscardedCount())
	for _, id := range made.GetEventIds() {
		fmt.Fprintf(&b, "  event %s\n", clean(id))
	}
	return b.String()
}
