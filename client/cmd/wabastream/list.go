package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/wabastream/wabastream/client"
	wabastreamv1 "github.com/wabastream/wabastream/gen/wabastream/v1"
)

const (
	orderNewest = "newest"
	orderOldest = "oldest"
	// maxPage is the most events that a server puts on one page.
	maxPage = 1000
)

// list is one run of the command.
type list struct {
	console      *console
	connection   connection
	filters      filters
	order        string
	after        string
	since, until string
	limit        uint64
	format       format
	color        color

	// begin and end are what since and until mean; zero is without bound.
	begin, end time.Time
}

func newListCommand(c *console) *cobra.Command {
	l := &list{console: c}
	cmd := &cobra.Command{
		Use:   "list",
		Short: "Print events that the server holds, the newest first",
		Long: `Print events that the server holds: the newest first, or with --order oldest in the
order in which they came. It prints them as tail does, asks for as many pages as it
takes, and ends.

--since and --until are by when the server stored an event. From a time on in the
order in which they came, 'wabastream tail --since TIME --no-follow' reads without
passing over what was before.`,
		Example: `  # The newest ten.
  wabastream list --limit 10

  # What happened to this account today.
  wabastream list --waba 1618074075500491 --since today

  # The last ban, with the callback as the provider sent it.
  wabastream list --type account_update.disabled_update.disable --limit 1 --raw

  # Everything of yesterday, as JSON.
  wabastream list --since yesterday --until today --limit 0 --output json`,
		Args:              noArguments,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := refuseEmpty(cmd.Flags(), "since", "until", "after", "waba", "type", "phone", "min-severity"); err != nil {
				return err
			}
			return l.run(cmd.Context())
		},
	}
	flags := cmd.Flags()
	l.filters.addFlags(cmd)
	flags.StringVar(&l.order, "order", orderNewest, "newest or oldest: which come first")
	flags.StringVar(&l.after, "after", "", "with --order oldest: only what comes after this cursor")
	flags.StringVar(&l.since, "since", "", "only what the server received at this time (RFC 3339) or later, this long ago (30m, 2h, 7d), today or yesterday")
	flags.StringVar(&l.until, "until", "", "only what it received before this time, in the same forms")
	flags.Uint64Var(&l.limit, "limit", 100, "stop after this many events; 0 is no limit")
	l.format.addFlags(cmd)
	l.color.addFlag(cmd)
	l.connection.addFlags(cmd, c)
	complete(cmd, "order", orderNewest, orderOldest)
	complete(cmd, "since", "today", "yesterday")
	complete(cmd, "until", "today", "yesterday")
	completeNothing(cmd, "after", "limit")
	return cmd
}

func (l *list) run(ctx context.Context) error {
	request, err := l.request(time.Now())
	if err != nil {
		return err
	}
	if err := l.format.settle(l.console, eventFields{}); err != nil {
		return err
	}
	if err := l.color.settle(l.console); err != nil {
		return err
	}
	c, err := l.connection.dial(l.console)
	if err != nil {
		return err
	}
	defer c.Close()
	printed, more, err := l.print(ctx, c.API(), request)
	if err != nil || l.format.name != formatTable {
		return err
	}
	switch {
	case printed == 0:
		fmt.Fprintln(l.console.err, "-- no such events are held")
	case more:
		fmt.Fprintf(l.console.err, "-- there are more: --limit %d\n", 10*printed)
	}
	return nil
}

// request checks the flags.
func (l *list) request(now time.Time) (*wabastreamv1.ListEventsRequest, error) {
	filter, err := l.filters.filter()
	if err != nil {
		return nil, err
	}
	request := &wabastreamv1.ListEventsRequest{
		Filters: filter, IncludeRawJson: l.filters.raw, AfterCursor: l.after,
		Order: wabastreamv1.ListOrder_LIST_ORDER_NEWEST_FIRST,
	}
	if err := oneOf("order", l.order, orderNewest, orderOldest); err != nil {
		return nil, err
	}
	switch {
	case l.order == orderOldest:
		request.Order = wabastreamv1.ListOrder_LIST_ORDER_OLDEST_FIRST
	case l.after != "":
		return nil, usagef("--after needs --order oldest")
	}
	for _, bound := range []struct {
		flag, text string
		at         *time.Time
	}{{"since", l.since, &l.begin}, {"until", l.until, &l.end}} {
		if bound.text == "" {
			continue
		}
		if *bound.at, err = parseTime(bound.flag, bound.text, now); err != nil {
			return nil, err
		}
	}
	if l.order == orderOldest && l.since != "" {
		return nil, usagef("--since needs the newest first; 'wabastream tail --since %s --no-follow' begins there and reads on", l.since)
	}
	return request, nil
}

// print prints page after page, and reports whether events are left that were not.
func (l *list) print(ctx context.Context, api wabastreamv1.EventServiceClient, request *wabastreamv1.ListEventsRequest) (printed uint64, more bool, err error) {
	p := eventPrinter{out: l.console.out, format: &l.format, color: l.color == colorAlways, raw: l.filters.raw}
	for {
		request.PageSize = maxPage
		if l.limit > 0 {
			request.PageSize = int32(min(maxPage, l.limit-printed+1)) // one more tells that there are more
		}
		page, err := l.page(ctx, api, request)
		if err != nil {
			return printed, false, err
		}
		for _, event := range page.GetEvents() {
			skip, done := l.outside(event)
			switch {
			case done:
				return printed, false, nil
			case skip:
				continue
			case l.limit > 0 && printed == l.limit:
				return printed, true, nil
			}
			if err := p.print(event); err != nil {
				return printed, false, fmt.Errorf("print event: %w", err)
			}
			printed++
		}
		if request.PageToken = page.GetNextPageToken(); request.PageToken == "" {
			return printed, false, nil
		}
		request.AfterCursor = "" // the token stands for it
	}
}

func (l *list) page(ctx context.Context, api wabastreamv1.EventServiceClient, request *wabastreamv1.ListEventsRequest) (*wabastreamv1.ListEventsResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	page, err := api.ListEvents(ctx, request)
	if err != nil {
		return nil, l.connection.explain("no list", client.ErrorOf(err))
	}
	return page, nil
}

// outside says that an event is not within the bounds, and whether none that follows
// is either: the server's time never goes back along the log.
func (l *list) outside(event *wabastreamv1.Event) (skip, done bool) {
	at := event.GetReceiveTime().AsTime()
	early := !l.begin.IsZero() && at.Before(l.begin)
	late := !l.end.IsZero() && !at.Before(l.end)
	if l.order == orderOldest {
		return early, late
	}
	return late, early
}
