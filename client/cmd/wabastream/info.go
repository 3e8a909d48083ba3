package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/wabastream/wabastream/client"
	wabastreamv1 "github.com/wabastream/wabastream/gen/wabastream/v1"
)

// info is one run of the command "log".
type info struct {
	console    *console
	connection connection
	format     format
}

func newLogCommand(c *console) *cobra.Command {
	l := &info{console: c}
	cmd := &cobra.Command{
		Use:   "log",
		Short: "Print what the server holds",
		Long: `Print what the server's log holds: how many events, from when to when, how large it
is, when each source posted last, and the types of which retention has removed more
than of the others.`,
		Example: `  wabastream log

  # For a script: how many events there are.
  wabastream log --template '{{.Events}}'

  # Wait at the newest event that there is now.
  wabastream tail --from "cursor:$(wabastream log --template '{{.Head}}')"`,
		Args:              noArguments,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE:              func(cmd *cobra.Command, _ []string) error { return l.run(cmd.Context()) },
	}
	l.format.addFlags(cmd)
	l.connection.addFlags(cmd, c)
	return cmd
}

func (l *info) run(ctx context.Context) error {
	if err := l.format.settle(l.console, logFields{}); err != nil {
		return err
	}
	c, err := l.connection.dial(l.console)
	if err != nil {
		return err
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	held, err := c.API().GetLogInfo(ctx, &wabastreamv1.GetLogInfoRequest{})
	if err != nil {
		return l.connection.explain("no answer", client.ErrorOf(err))
	}
	return l.format.write(l.console.out, answer{
		table:   func() string { return logTable(held, time.Now()) },
		message: held,
		fields:  func() any { return newLogFields(held) },
	})
}

func logTable(held *wabastreamv1.GetLogInfoResponse, now time.Time) string {
	rows := [][2]string{
		{"log", held.GetLogId()},
		{"holds", fmt.Sprintf("%s events in %s", grouped(held.GetEventCount()), binaryBytes(held.GetSizeBytes()))},
		{"oldest", localTime(held.GetEarliestTime()) + "  after cursor " + held.GetEarliestCursor()},
		{"newest", localTime(held.GetHeadTime()) + "  at cursor " + held.GetHeadCursor()},
		{"server", held.GetServerVersion()},
	}
	for _, source := range held.GetSources() {
		rows = append(rows, [2]string{"source", fmt.Sprintf("%s: last callback %s, %s with a wrong signature", source.GetSource(),
			ago(source.GetLastCallbackTime(), now), grouped(source.GetRejectedSignatures()))})
	}
	for _, trim := range held.GetTypeTrims() {
		rows = append(rows, [2]string{"trimmed", fmt.Sprintf("%s up to cursor %s", trim.GetType(), trim.GetUpToCursor())})
	}
	return detail(rows)
}

// ago says how long before now a time was.
func ago(t *timestamppb.Timestamp, now time.Time) string {
	if t == nil {
		return "none since the server started"
	}
	return fmt.Sprintf("%s (%v ago)", localTime(t), max(0, now.Sub(t.AsTime())).Round(time.Second))
}
