//go:build examples

package behaviour_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"net/url"
	"strings"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"

	wabastreamv1 "github.com/wabastream/wabastream/gen/wabastream/v1"
)

// overHTTP are the kinds of consumers that use the API over HTTP.
func overHTTP() []kind {
	return []kind{
		{name: "curl", address: (*server).url, launch: launchCurl},
		{name: "EventSource", address: (*server).url, launch: launchEventSource, eventSource: true},
		{name: "browser", address: (*server).url, launch: launchPage, gapsEnd: true, keep: func(c *consumer) keeper {
			return pageKeeper("wabastream.cursor " + optionsOf(c, nil).server)
		}},
	}
}

// options are those of the examples, as far as they are for others too.
type options struct {
	server, from, onGap, heartbeat string
	tokenFile, caFile              string
	wabaIDs, types                 []string
}

// optionsOf reads a consumer's command line.
func optionsOf(c *consumer, more []string) options {
	c.t.Helper()
	var o options
	flags := flag.NewFlagSet(c.name, flag.ContinueOnError)
	flags.StringVar(&o.server, "addr", "", "")
	flags.String("checkpoint", "", "") // it has a keeper instead
	flags.StringVar(&o.from, "from", "earliest", "")
	flags.StringVar(&o.onGap, "on-gap", "fail", "")
	flags.StringVar(&o.heartbeat, "heartbeat", "", "")
	flags.StringVar(&o.tokenFile, "token-file", "", "")
	flags.StringVar(&o.caFile, "ca-file", "", "")
	listed := func(to *[]string) func(string) error {
		return func(value string) error { *to = append(*to, value); return nil }
	}
	flags.Func("waba-id", "", listed(&o.wabaIDs))
	flags.Func("type", "", listed(&o.types))
	if err := flags.Parse(append(append([]string{}, c.args...), more...)); err != nil {
		c.t.Fatal(err)
	}
	return o
}

// eventsURL is where server-sent events come from: after the cursor, if there is a
// checkpoint.
func (o options) eventsURL(k keeper) (string, error) {
	cursor, there, err := k.load()
	if err != nil {
		return "", err
	}
	query := url.Values{"waba_id": o.wabaIDs, "type": o.types}
	if there { // also an empty one, which is refused: it must not mean a new start
		query.Set("after_cursor", strings.TrimSpace(cursor))
	} else {
		query.Set("from", o.from)
	}
	return o.server + "/v1/events:sse?" + query.Encode(), nil
}

// message is one of server-sent events.
type message struct {
	Event string `json:"event"` // its name; empty for an event of the log
	ID    string `json:"id"`    // of the last message that had one
	Data  string `json:"data"`
}

// take prints what a message tells, as the examples do, and moves the checkpoint.
func (p *process) take(m message, checkpoint keeper) {
	switch m.Event {
	case "":
		event := new(wabastreamv1.Event)
		if err := protojson.Unmarshal([]byte(m.Data), event); err != nil || event.GetCursor() != m.ID {
			p.line(fmt.Sprintf("an event under the id %s: %v: %s", m.ID, err, m.Data))
			return
		}
		p.line(expectedLine(event))
	case "ready":
		var ready struct{ Resumed bool }
		_ = json.Unmarshal([]byte(m.Data), &ready)
		p.note(map[bool]string{true: "resumed: ", false: "subscribed: "}[ready.Resumed] + m.Data)
	case "gap":
		p.note("gap: events were removed before they could be read: " + m.Data)
	case "error":
		p.note("lost: " + statusOf(m.Data).Err().Error() + " " + reasonOf(m.Data))
	default:
		p.note(m.Event + ": " + m.Data)
	}
	if m.ID == "" {
		return
	}
	if err := checkpoint.store(m.ID + "\n"); err != nil {
		p.note(err.Error())
	}
}

// statusOf reads a google.rpc.Status, or an answer that has one as its error.
func statusOf(text string) *status.Status {
	var wrapped struct{ Error json.RawMessage }
	if json.Unmarshal([]byte(text), &wrapped) == nil && wrapped.Error != nil {
		text = string(wrapped.Error)
	}
	st := new(spb.Status)
	if err := protojson.Unmarshal([]byte(text), st); err != nil {
		return status.Newf(codes.Unknown, "no status: %v: %q", err, text)
	}
	return status.FromProto(st)
}

func reasonOf(text string) string {
	for _, detail := range statusOf(text).Details() {
		if info, ok := detail.(*errdetails.ErrorInfo); ok {
			return info.GetReason()
		}
	}
	return ""
}

// refuse says what the server refuses for good, and returns the exit code of an
// example that says so.
func (p *process) refuse(answer string) int {
	p.note(statusOf(answer).Err().Error() + " " + reasonOf(answer))
	return exitCodeOf(reasonOf(answer))
}

// exitCodeOf is the exit code of an example that is refused for the reason.
func exitCodeOf(reason string) int {
	switch {
	case strings.HasPrefix(reason, "CURSOR_"):
		return exitCursor
	case strings.HasPrefix(reason, "CREDENTIALS_"), strings.HasSuffix(reason, "_NOT_ALLOWED"):
		return exitCredentials
	default:
		return exitFailed
	}
}
