package main

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"

	"github.com/wabastream/wabastream/client"
	wabastreamv1 "github.com/wabastream/wabastream/gen/wabastream/v1"
)

// accountWatch is one run of the command.
type accountWatch struct {
	console    *console
	connection connection
	format     format
	wabas      []string
	after      string
	limit      uint64
	wait       bool
}

func newAccountWatchCommand(c *console) *cobra.Command {
	w := &accountWatch{console: c}
	cmd := &cobra.Command{
		Use:   "watch",
		Short: "Print what changes of accounts and their numbers",
		Long: `Print what changes of accounts and their numbers from now on, a line each: what it is,
and what it was before. It stays until it is interrupted, and goes on by itself when the
server restarts or the network fails. What came too late to change anything is printed
too, and says so.

'wabastream account list' has what is the case now.`,
		Example: `  # One account.
  wabastream account watch --waba 1618074075500491

  # Tell somebody of bans.
  wabastream account watch --template '{{.Direction}} {{.WABA}}' | grep --line-buffered '^banned'

  # Go on after the last change that was seen.
  wabastream account watch --after $CURSOR`,
		Args:              noArguments,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := refuseEmpty(cmd.Flags(), "waba", "after"); err != nil {
				return err
			}
			return w.run(cmd.Context())
		},
	}
	flags := cmd.Flags()
	flags.StringSliceVar(&w.wabas, "waba", nil, "only these accounts; repeat it or separate with commas")
	flags.StringVar(&w.after, "after", "", "begin with what changed after this cursor, of a change or an event (default from now on)")
	flags.Uint64Var(&w.limit, "limit", 0, "stop after this many changes (default no limit)")
	flags.BoolVar(&w.wait, "wait", false, "keep trying when the server cannot be reached at first")
	w.format.addFlags(cmd)
	w.connection.addFlags(cmd, c)
	completeNothing(cmd, "waba", "after", "limit")
	return cmd
}

func (w *accountWatch) run(ctx context.Context) error {
	if err := w.format.settle(w.console, changeFields{}); err != nil {
		return err
	}
	c, err := w.connection.dial(w.console)
	if err != nil {
		return err
	}
	defer c.Close()
	request := &wabastreamv1.WatchAccountsRequest{WabaIds: w.wabas}
	if w.after == "" {
		if w.after, err = w.now(ctx, c); err != nil {
			return err
		}
	}
	request.Start = &wabastreamv1.WatchAccountsRequest_AfterCursor{AfterCursor: w.after}
	err = w.print(c.WatchAccounts(ctx, request))
	if errors.Is(err, context.Canceled) {
		return nil // a signal
	}
	if err != nil {
		return w.connection.explain("no watch", err)
	}
	return nil
}

// now is where the state of accounts is of: what changes after it is news.
func (w *accountWatch) now(ctx context.Context, c *client.Client) (string, error) {
	page, err := c.Accounts().ListAccounts(ctx, &wabastreamv1.ListAccountsRequest{PageSize: 1}, grpc.WaitForReady(w.wait))
	if err != nil {
		return "", w.connection.explain("no watch", client.ErrorOf(err))
	}
	return page.GetCursor(), nil
}

// print prints changes until the limit or an error.
func (w *accountWatch) print(frames iter.Seq2[*wabastreamv1.WatchAccountsResponse, error]) error {
	printed := uint64(0)
	for frame, err := range frames {
		if err != nil {
			return err
		}
		for _, change := range frame.GetChanges().GetChanges() {
			if err := w.format.write(w.console.out, answer{
				table:   func() string { return changeRow(change) },
				message: change,
				fields:  func() any { return newChangeFields(change) },
			}); err != nil {
				return fmt.Errorf("print change: %w", err)
			}
			if printed++; printed == w.limit {
				return nil
			}
		}
	}
	return nil
}

func changeRow(c *wabastreamv1.AccountChange) string {
	return strings.Join([]string{
		localTime(c.GetOrigin().GetReceiveTime()), pad(c.GetWabaId(), 16), pad(c.GetBusinessPhone(), 14), clean(changeText(c)),
	}, "  ") + "\n"
}
