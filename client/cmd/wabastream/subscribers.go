package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	wabastreamv1 "github.com/wabastream/wabastream/gen/wabastream/v1"
)

// subscribers is one run of the command.
type subscribers struct {
	console    *console
	connection connection
	format     format
}

func newSubscribersCommand(c *console) *cobra.Command {
	s := &subscribers{console: c}
	cmd := &cobra.Command{
		Use:   "subscribers",
		Short: "List who is listening, and who has stopped reading",
		Long: `List the streams that are open on the server, those furthest behind first: who it is,
from where, since when, how far behind the newest event, and to what filters. BEHIND
counts events of the log, whether they concern the stream or not. A stream is stalled
when its client has taken nothing of what is sent for some seconds: nothing is lost by
that, it goes on where it was once it reads again.

It needs a consumer that may operate the server, where that asks who calls.`,
		Example: `  # Who is listening now.
  wabastream subscribers

  # Who has stopped reading, and since when.
  wabastream subscribers --output json | jq -r 'select(.stallTime) | .consumer + " " + .stallTime'

  # Again every two seconds.
  watch wabastream subscribers --output table`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error { return s.run(cmd.Context()) },
	}
	s.format.addFlags(cmd)
	s.connection.addFlags(cmd, s.console)
	return cmd
}

func (s *subscribers) run(ctx context.Context) error {
	if err := s.format.settle(s.console, subscriberFields{}); err != nil {
		return err
	}
	c, err := s.connection.dial(s.console)
	if err != nil {
		return err
	}
	defer c.Close()
	listed := 0
	for subscription, err := range c.Subscriptions(ctx) {
		if err != nil {
			return s.connection.explain("no list", err)
		}
		if err := s.print(subscription, listed == 0); err != nil {
			return err
		}
		listed++
	}
	if listed == 0 && s.format.name == formatTable {
		_, err = fmt.Fprintln(s.console.out, "Nobody is listening.")
	}
	return err
}

func (s *subscribers) print(subscription *wabastreamv1.Subscription, first bool) error {
	return s.format.write(s.console.out, answer{
		table:   func() string { return subscriberRows(subscription, first) },
		message: subscription,
		fields:  func() any { return newSubscriberFields(subscription) },
	})
}

// subscriberRows is a stream's row, under the head of the table if it is the first.
func subscriberRows(subscription *wabastreamv1.Subscription, first bool) string {
	text := ""
	if first {
		text = subscriberRow("CONSUMER", "LABEL", "FROM", "SINCE", "BEHIND", "STATE", "FILTERS")
	}
	return text + subscriberRow(subscription.GetConsumer(), subscription.GetClientLabel(), subscription.GetPeerAddress(),
		localTime(subscription.GetBeginTime()), grouped(subscription.GetBehind()), subscriberState(subscription),
		filtersText(subscription.GetFilters()))
}

func subscriberRow(consumer, label, from, since, behind, state, filters string) string {
	return strings.Join([]string{
		pad(consumer, 16), pad(label, 16), pad(from, 21), pad(since, len(timeLayout)), pad(behind, 10),
		pad(state, 8+len(timeLayout)), clean(filters),
	}, "  ") + "\n"
}

func subscriberState(subscription *wabastreamv1.Subscription) string {
	switch {
	case subscription.GetStallTime() != nil:
		return "stalled " + localTime(subscription.GetStallTime())
	case subscription.GetCaughtUp():
		return "live"
	default:
		return "replaying"
	}
}

// filtersText is what filters select, in a few words: any of them, of each all.
func filtersText(filters []*wabastreamv1.EventFilter) string {
	if len(filters) == 0 {
		return "everything"
	}
	each := make([]string, len(filters))
	for i, f := range filters {
		each[i] = filterText(f)
	}
	return strings.Join(each, " or ")
}

// mostShown is how many values of a list are shown.
const mostShown = 3

func filterText(f *wabastreamv1.EventFilter) string {
	var parts []string
	list := func(name string, values []string) {
		if len(values) == 0 {
			return
		}
		text := strings.Join(values[:min(len(values), mostShown)], ",")
		if more := len(values) - mostShown; more > 0 {
			text += fmt.Sprintf(" and %d more", more)
		}
		parts = append(parts, name+" "+text)
	}
	list("WABA", f.GetWabaIds())
	if f.GetIncludeUnattributed() {
		parts = append(parts, "unattributed")
	}
	list("type", f.GetTypes())
	list("phone", f.GetBusinessPhones())
	if f.GetMinSeverity() != wabastreamv1.Severity_SEVERITY_UNSPECIFIED {
		severity, _ := severityText(f.GetMinSeverity())
		parts = append(parts, "from "+severity)
	}
	return strings.Join(parts, ", ")
}
