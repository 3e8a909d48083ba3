package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/timestamppb"

	wabastreamv1 "github.com/wabastream/wabastream/gen/wabastream/v1"
)

type eventSeq = iter.Seq2[*wabastreamv1.Event, error]

// eventPrinter prints events. As a table each is a line of aligned columns, and with
// raw a second one.
type eventPrinter struct {
	out        io.Writer
	format     *format
	color, raw bool
}

func (p eventPrinter) print(event *wabastreamv1.Event) error {
	return p.format.write(p.out, answer{
		table:   func() string { return p.row(event) },
		message: event,
		fields:  func() any { return newEventFields(event) },
	})
}

const (
	timeLayout = "2006-01-02 15:04:05"
	// notable is how much later than it happened an event may arrive before the
	// text says when it happened.
	notable = time.Minute
)

func (p eventPrinter) row(event *wabastreamv1.Event) string {
	severity, color := severityText(event.GetSeverity())
	line := strings.Join([]string{
		p.paint(dim, localTime(event.GetReceiveTime())),
		p.paint(color, pad(severity, 8)),
		pad(event.GetType(), 42),
		pad(event.GetWabaId(), 16),
		pad(event.GetBusinessPhone(), 14),
		clean(summary(event)) + p.paint(dim, clean(lateness(event))),
	}, "  ")
	line = strings.TrimRight(line, " ") + "\n"
	if raw := rawJSON(event); p.raw && raw != "" {
		line += "    " + clean(compact(raw)) + "\n"
	}
	return line
}

// color is what --color says: when a table is coloured.
type color string

const (
	colorAuto   color = "auto"
	colorAlways color = "always"
	colorNever  color = "never"
)

func (c *color) addFlag(cmd *cobra.Command) {
	cmd.Flags().StringVar((*string)(c), "color", string(colorAuto), "auto, always or never; auto is only on a terminal, and never when NO_COLOR is set")
	complete(cmd, "color", string(colorAuto), string(colorAlways), string(colorNever))
}

// settle turns auto into one of the others.
func (c *color) settle(con *console) error {
	if err := oneOf("color", string(*c), string(colorAuto), string(colorAlways), string(colorNever)); err != nil {
		return err
	}
	switch {
	case *c != colorAuto:
	case isTerminal(con.out) && con.env("NO_COLOR") == "" && con.env("TERM") != "dumb":
		*c = colorAlways
	default:
		*c = colorNever
	}
	return nil
}

// Colours are the terminal's own, so that they suit its theme.
const (
	dim    = "\x1b[2m"
	red    = "\x1b[1;31m"
	yellow = "\x1b[33m"
	green  = "\x1b[32m"
	reset  = "\x1b[0m"
)

func (p eventPrinter) paint(color, text string) string {
	if !p.color || text == "" {
		return text
	}
	return color + text + reset
}

func severityText(severity wabastreamv1.Severity) (text, color string) {
	switch severity {
	case wabastreamv1.Severity_SEVERITY_INFO:
		return "info", green
	case wabastreamv1.Severity_SEVERITY_WARNING:
		return "warning", yellow
	case wabastreamv1.Severity_SEVERITY_CRITICAL:
		return "critical", red
	default:
		return "unknown", dim
	}
}

// pad cleans a column's text and fills it up with spaces; nothing is a dash.
func pad(text string, width int) string {
	if text == "" {
		text = "-"
	}
	return fmt.Sprintf("%-*s", width, clean(text))
}

func localTime(t *timestamppb.Timestamp) string {
	if t == nil {
		return pad("", len(timeLayout))
	}
	return t.AsTime().Local().Format(timeLayout)
}

// lateness says when the event happened, unless that was just before it arrived.
func lateness(event *wabastreamv1.Event) string {
	if text := event.GetOccurTimeText(); text != "" {
		return fmt.Sprintf(" (happened %q)", shorten(text, 40))
	}
	if event.GetOccurTime() == nil {
		return ""
	}
	if late := event.GetReceiveTime().AsTime().Sub(event.GetOccurTime().AsTime()); late.Abs() < notable {
		return ""
	}
	return fmt.Sprintf(" (happened %s)", localTime(event.GetOccurTime()))
}

func rawJSON(event *wabastreamv1.Event) string {
	if event.GetUnrecognized() != nil {
		return event.GetUnrecognized().GetJson()
	}
	return event.GetRawJson()
}

// compact puts JSON on one line. What is not JSON stays as it is.
func compact(text string) string {
	var b bytes.Buffer
	if err := json.Compact(&b, []byte(text)); err != nil {
		return text
	}
	return b.String()
}
