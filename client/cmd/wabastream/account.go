package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/wabastream/wabastream/client"
	wabastreamv1 "github.com/wabastream/wabastream/gen/wabastream/v1"
)

func newAccountCommand(c *console) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "account",
		Short: "Print how accounts and their phone numbers stand now",
		Long: `Print how accounts and their phone numbers stand now: what the events that the server
received have told of them, also those that it no longer holds.`,
		Example: `  # May this account send?
  wabastream account get 1618074075500491

  # Which may not, and why.
  wabastream account list --blocked

  # What changes from now on.
  wabastream account watch`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newAccountGetCommand(c), newAccountListCommand(c), newAccountWatchCommand(c))
	return cmd
}

// accountGet is one run of the command.
type accountGet struct {
	console    *console
	connection connection
	format     format
}

func newAccountGetCommand(c *console) *cobra.Command {
	g := &accountGet{console: c}
	cmd := &cobra.Command{
		Use:   "get WABA",
		Short: "Print one account with its phone numbers",
		Long: `Print one account with its phone numbers: what stands in the way of sending, if
anything does, and the last ban, review, restriction and the like, each with when that
happened. JSON also names the event that each value came from.`,
		Example: `  wabastream account get 1618074075500491

  # For a script: is anything in the way of sending?
  wabastream account get 1618074075500491 --template '{{.Blocked}}'`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 || args[0] == "" {
				return usagef("%s takes the id of one account", cmd.Name())
			}
			return nil
		},
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE:              func(cmd *cobra.Command, args []string) error { return g.run(cmd.Context(), args[0]) },
	}
	g.format.addFlags(cmd)
	g.connection.addFlags(cmd, c)
	return cmd
}

func (g *accountGet) run(ctx context.Context, waba string) error {
	if err := g.format.settle(g.console, accountFields{}); err != nil {
		return err
	}
	c, err := g.connection.dial(g.console)
	if err != nil {
		return err
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	got, err := c.Accounts().GetAccount(ctx, &wabastreamv1.GetAccountRequest{WabaId: waba})
	if err != nil {
		return g.connection.explain("no account", client.ErrorOf(err))
	}
	return g.format.write(g.console.out, answer{
		table:   func() string { return accountDetail(got) },
		message: got,
		fields:  func() any { return newAccountFields(got.GetAccount()) },
	})
}

func accountDetail(got *wabastreamv1.GetAccountResponse) string {
	a := got.GetAccount()
	rows := [][2]string{{"account", a.GetWabaId()}, {"sending", sendingText(a.GetSendingBlocks())}}
	for _, part := range accountParts(a) {
		rows = append(rows, [2]string{part.name, part.text + since(part.origin)})
	}
	rows = append(rows, [2]string{"changed", localTime(a.GetLastChange().GetReceiveTime())})
	if a.GetRedacted() {
		rows = append(rows, [2]string{"withheld", "(some of it is not granted to you)"})
	}
	var text strings.Builder
	text.WriteString(detail(rows))
	for i, n := range got.GetPhoneNumbers() {
		text.WriteString(numberRows(n, i == 0))
	}
	if got.GetMorePhoneNumbers() {
		text.WriteString("and more numbers\n")
	}
	return text.String()
}

func numberRows(n *wabastreamv1.PhoneNumber, first bool) string {
	text := ""
	if first {
		text = "\n" + numberRow("NUMBER", "STATE", "LIMIT", "QUALITY", "NAME", "SENDING")
	}
	quality := ""
	if n.GetQuality() != nil {
		quality = "good"
		if n.GetQuality().GetFlagged() {
			quality = "low"
		}
	}
	return text + numberRow(n.GetBusinessPhone(), word(n.GetPresence().GetState(), "PHONE_NUMBER_STATE_"),
		n.GetLimit().GetLimitText(), quality, n.GetVerifiedName().GetName(), sendingText(n.GetSendingBlocks()))
}

func numberRow(phone, state, limit, quality, name, sending string) string {
	return strings.Join([]string{pad(phone, 16), pad(state, 8), pad(limit, 16), pad(quality, 7), pad(shorten(name, 32), 24), clean(sending)}, "  ") + "\n"
}

// accountList is one run of the command.
type accountList struct {
	console    *console
	connection connection
	format     format
	wabas      []string
	blocked    bool
	limit      uint64
}

func newAccountListCommand(c *console) *cobra.Command {
	l := &accountList{console: c}
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List accounts, those that changed last first",
		Long: `List accounts, those that changed last first: whether anything stands in the way of
sending, what the last news is, and when it came.`,
		Example: `  wabastream account list --limit 10

  # Which may not send, and why.
  wabastream account list --blocked --limit 0`,
		Args:              noArguments,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := refuseEmpty(cmd.Flags(), "waba"); err != nil {
				return err
			}
			return l.run(cmd.Context())
		},
	}
	flags := cmd.Flags()
	flags.StringSliceVar(&l.wabas, "waba", nil, "only these accounts; repeat it or separate with commas")
	flags.BoolVar(&l.blocked, "blocked", false, "only accounts with something in the way of sending")
	flags.Uint64Var(&l.limit, "limit", 100, "stop after this many accounts; 0 is no limit")
	l.format.addFlags(cmd)
	l.connection.addFlags(cmd, c)
	completeNothing(cmd, "waba", "limit")
	return cmd
}

func (l *accountList) run(ctx context.Context) error {
	if err := l.format.settle(l.console, accountFields{}); err != nil {
		return err
	}
	c, err := l.connection.dial(l.console)
	if err != nil {
		return err
	}
	defer c.Close()
	request := &wabastreamv1.ListAccountsRequest{WabaIds: l.wabas, OnlySendingBlocked: l.blocked, PageSize: maxPage}
	for printed := uint64(0); ; {
		page, err := l.page(ctx, c, request)
		if err != nil {
			return err
		}
		for _, a := range page.GetAccounts() {
			if l.limit > 0 && printed == l.limit {
				return l.note("there are more: --limit %d", 10*printed)
			}
			if err := l.print(a, printed == 0); err != nil {
				return err
			}
			printed++
		}
		if request.PageToken = page.GetNextPageToken(); request.PageToken == "" {
			if printed == 0 {
				return l.note("no such accounts are known")
			}
			return nil
		}
	}
}

// note tells people something beside the table.
func (l *accountList) note(format string, args ...any) error {
	if l.format.name != formatTable {
		return nil
	}
	_, err := fmt.Fprintf(l.console.err, "-- "+format+"\n", args...)
	return err
}

func (l *accountList) page(ctx context.Context, c *client.Client, request *wabastreamv1.ListAccountsRequest) (*wabastreamv1.ListAccountsResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	page, err := c.Accounts().ListAccounts(ctx, request)
	if err != nil {
		return nil, l.connection.explain("no list", client.ErrorOf(err))
	}
	return page, nil
}

func (l *accountList) print(a *wabastreamv1.Account, first bool) error {
	return l.format.write(l.console.out, answer{
		table:   func() string { return accountRows(a, first) },
		message: a,
		fields:  func() any { return newAccountFields(a) },
	})
}

func accountRows(a *wabastreamv1.Account, first bool) string {
	text := ""
	if first {
		text = accountRow("ACCOUNT", "CHANGED", "SENDING", "WHAT")
	}
	var parts []string
	for _, part := range accountParts(a) {
		parts = append(parts, part.name+" "+part.text)
	}
	return text + accountRow(a.GetWabaId(), localTime(a.GetLastChange().GetReceiveTime()), sendingText(a.GetSendingBlocks()), strings.Join(parts, ", "))
}

func accountRow(waba, changed, sending, what string) string {
	return strings.TrimRight(strings.Join([]string{pad(waba, 16), pad(changed, len(timeLayout)), pad(sending, 30), clean(what)}, "  "), " ") + "\n"
}

// since says when something happened, or came, if the provider does not say.
func since(origin *wabastreamv1.Provenance) string {
	at := origin.GetOccurTime()
	if at == nil {
		at = origin.GetReceiveTime()
	}
	if at == nil {
		return ""
	}
	return "  (" + at.AsTime().Local().Format(time.DateTime) + ")"
}
