package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/wabastream/wabastream/client"
	wabastreamv1 "github.com/wabastream/wabastream/gen/wabastream/v1"
)

// get is one run of the command.
type get struct {
	console    *console
	connection connection
	format     format
	raw        bool
}

func newGetCommand(c *console) *cobra.Command {
	g := &get{console: c}
	cmd := &cobra.Command{
		Use:   "get ID",
		Short: "Print one event",
		Long: `Print the event with an id, as tail and list show it in JSON: the newest, if the same
callback was stored again long after it was first. With --raw also the callback as the
provider sent it.`,
		Example: `  wabastream get mqsnmkv4g5m52bp9cf37ni8d0k06evfq

  # With the provider's JSON.
  wabastream get --raw mqsnmkv4g5m52bp9cf37ni8d0k06evfq

  # Only that.
  wabastream get --raw --template '{{.Raw}}' mqsnmkv4g5m52bp9cf37ni8d0k06evfq`,
		Args:              oneEventID,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE:              func(cmd *cobra.Command, args []string) error { return g.run(cmd.Context(), args[0]) },
	}
	addRawFlag(cmd, &g.raw)
	g.format.addFlags(cmd)
	g.connection.addFlags(cmd, c)
	return cmd
}

func oneEventID(cmd *cobra.Command, args []string) error {
	if len(args) != 1 || args[0] == "" {
		return usagef("%s takes the id of one event: tail and list show it in JSON, or with --template '{{.ID}}'", cmd.Name())
	}
	return nil
}

func (g *get) run(ctx context.Context, id string) error {
	if err := g.format.settle(g.console, eventFields{}); err != nil {
		return err
	}
	c, err := g.connection.dial(g.console)
	if err != nil {
		return err
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	found, err := c.API().GetEvent(ctx, &wabastreamv1.GetEventRequest{Id: id, IncludeRawJson: g.raw})
	if err != nil {
		return g.connection.explain("no event", client.ErrorOf(err))
	}
	event := found.GetEvent()
	return g.format.write(g.console.out, answer{
		table:   func() string { return g.detail(event) },
		message: event,
		fields:  func() any { return newEventFields(event) },
	})
}

func (g *get) detail(event *wabastreamv1.Event) string {
	severity, _ := severityText(event.GetSeverity())
	text := detail([][2]string{
		{"id", event.GetId()},
		{"type", event.GetType()},
		{"severity", severity},
		{"waba", event.GetWabaId()},
		{"phone", event.GetBusinessPhone()},
		{"what", summary(event)},
		{"happened", happened(event)},
		{"received", localTime(event.GetReceiveTime())},
		{"source", event.GetSource()},
		{"sequence", strconv.FormatUint(event.GetSequence(), 10)},
		{"cursor", event.GetCursor()},
	})
	if raw := rawJSON(event); g.raw && raw != "" {
		text += "raw\n" + indented(raw)
	}
	return text
}

// happened is when the provider says so, as it was sent if that is no time.
func happened(event *wabastreamv1.Event) string {
	if text := event.GetOccurTimeText(); text != "" {
		return fmt.Sprintf("sent as %q", shorten(text, 40))
	}
	return localTime(event.GetOccurTime())
}

// indented is JSON on lines of its own, each clean. What is not JSON stays as it is.
func indented(raw string) string {
	var b strings.Builder
	var value json.RawMessage = []byte(raw)
	if text, err := json.MarshalIndent(value, "", "  "); err == nil {
		raw = string(text)
	}
	for line := range strings.Lines(raw) {
		b.WriteString("  " + clean(strings.TrimSuffix(line, "\n")) + "\n")
	}
	return b.String()
}

// detail lays out what there is to say about one thing: a line each.
func detail(rows [][2]string) string {
	var b strings.Builder
	for _, row := range rows {
		b.WriteString(strings.TrimRight(pad(row[0], 12)+"  "+pad(row[1], 0), " ") + "\n")
	}
	return b.String()
}
