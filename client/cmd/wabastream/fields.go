package main

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	wabastreamv1 "github.com/wabastream/wabastream/gen/wabastream/v1"
)

// The fields that templates can name: the structs below are their documentation
// too, by the tag "is". Texts in them are clean: they cannot drive a terminal.

// eventFields are an event's, in the templates of tail, list and get.
type eventFields struct {
	ID       string         `is:"the event's id; be idempotent by it"`
	Cursor   string         `is:"where it stands in the log, for --from"`
	Sequence uint64         `is:"the same as a number"`
	Type     string         `is:"what happened, such as account_update.account_deleted"`
	Severity string         `is:"info, warning or critical"`
	WABA     string         `is:"the account; empty when not known"`
	Phone    string         `is:"the business phone number; empty when not known"`
	Source   string         `is:"the source that the callback came to"`
	Received moment         `is:"when the server stored it"`
	Happened moment         `is:"when the provider says that it happened"`
	Summary  string         `is:"what happened in a few words"`
	Raw      string         `is:"the callback as the provider sent it, with --raw"`
	JSON     string         `is:"the event as --output json prints it"`
	Event    map[string]any `is:"the same taken apart, such as {{.Event.accountUpdate.eventText}}"`
}

func newEventFields(event *wabastreamv1.Event) eventFields {
	text, fields := taken(event)
	severity, _ := severityText(event.GetSeverity())
	return eventFields{
		ID: clean(event.GetId()), Cursor: clean(event.GetCursor()), Sequence: event.GetSequence(),
		Type: clean(event.GetType()), Severity: severity,
		WABA: clean(event.GetWabaId()), Phone: clean(event.GetBusinessPhone()), Source: clean(event.GetSource()),
		Received: momentOf(event.GetReceiveTime()), Happened: momentOf(event.GetOccurTime()),
		Summary: clean(summary(event)), Raw: clean(compact(rawJSON(event))), JSON: text, Event: fields,
	}
}

// logFields are the template's of log.
type logFields struct {
	ID       string         `is:"the log's identity"`
	Events   uint64         `is:"how many events it holds"`
	Bytes    uint64         `is:"its size on the disk"`
	Earliest string         `is:"the cursor before its oldest event"`
	Head     string         `is:"the cursor of its newest event"`
	Oldest   moment         `is:"when the oldest event was stored"`
	Newest   moment         `is:"when the newest event was stored"`
	Server   string         `is:"the server's version"`
	JSON     string         `is:"the answer as --output json prints it"`
	Log      map[string]any `is:"the same taken apart, such as {{range .Log.sources}}{{.source}}{{end}}"`
}

func newLogFields(info *wabastreamv1.GetLogInfoResponse) logFields {
	text, fields := taken(info)
	return logFields{
		ID: clean(info.GetLogId()), Events: info.GetEventCount(), Bytes: info.GetSizeBytes(),
		Earliest: clean(info.GetEarliestCursor()), Head: clean(info.GetHeadCursor()),
		Oldest: momentOf(info.GetEarliestTime()), Newest: momentOf(info.GetHeadTime()),
		Server: clean(info.GetServerVersion()), JSON: text, Log: fields,
	}
}

// backupFields are the template's of backup.
type backupFields struct {
	ID      string `is:"the backup's name"`
	Path    string `is:"its folder on the server's machine"`
	Log     string `is:"the log's identity"`
	Events  uint64 `is:"how many events it holds"`
	Bytes   uint64 `is:"the size of its files"`
	Head    string `is:"the cursor of its newest event"`
	Created moment `is:"when it was complete"`
	JSON    string `is:"the answer as --output json prints it"`
}

func newBackupFields(made *wabastreamv1.Backup) backupFields {
	text, _ := taken(made)
	return backupFields{
		ID: clean(made.GetBackupId()), Path: clean(made.GetPath()), Log: clean(made.GetLogId()),
		Events: made.GetEventCount(), Bytes: made.GetSizeBytes(), Head: clean(made.GetHeadCursor()),
		Created: momentOf(made.GetCreateTime()), JSON: text,
	}
}

// sentFields are the template's of send.
type sentFields struct {
	Name   string `json:"name" is:"the example or file"`
	Status int    `json:"status" is:"the HTTP status of the answer"`
	Answer string `json:"answer" is:"the beginning of its text"`
}

// quarantinedFields are the template's of quarantine list.
type quarantinedFields struct {
	ID       string `is:"the callback's id in the quarantine"`
	Source   string `is:"the source that it was posted to"`
	Received moment `is:"when it came first"`
	Bytes    uint64 `is:"the size of what was posted"`
	Reason   string `is:"why no event could be made of it"`
	Body     string `is:"what was posted, with --bodies"`
	JSON     string `is:"the callback as --output json prints it"`
}

func newQuarantinedFields(callback *wabastreamv1.QuarantinedCallback) quarantinedFields {
	text, _ := taken(callback)
	return quarantinedFields{
		ID: clean(callback.GetQuarantineId()), Source: clean(callback.GetSource()),
		Received: momentOf(callback.GetReceiveTime()), Bytes: callback.GetSizeBytes(),
		Reason: clean(callback.GetReason()), Body: clean(string(callback.GetBody())), JSON: text,
	}
}

// reinjectedFields are the template's of quarantine reinject.
type reinjectedFields struct {
	Events     []string `is:"the ids of the callback's events"`
	Stored     uint32   `is:"how many of them are new"`
	Duplicates uint32   `is:"how many were in the log before"`
	Discarded  uint32   `is:"how many are of a type that the source discards"`
	JSON       string   `is:"the answer as --output json prints it"`
}

func newReinjectedFields(answer *wabastreamv1.ReinjectQuarantinedResponse) reinjectedFields {
	text, _ := taken(answer)
	ids := make([]string, len(answer.GetEventIds()))
	for i, id := range answer.GetEventIds() {
		ids[i] = clean(id)
	}
	return reinjectedFields{
		Events: ids, Stored: answer.GetStoredCount(), Duplicates: answer.GetDuplicateCount(),
		Discarded: answer.GetDiscardedCount(), JSON: text,
	}
}

// subscriberFields are the template's of subscribers.
type subscriberFields struct {
	ID       string `is:"tells the stream from others"`
	Consumer string `is:"who it is; empty where the server asks nobody"`
	Label    string `is:"client_label, as the client gave it"`
	From     string `is:"the network address that the call came from"`
	Began    moment `is:"when it began"`
	Cursor   string `is:"everything that concerned it was sent up to here"`
	Sequence uint64 `is:"the same as a number"`
	Behind   uint64 `is:"how much of the log it has still to go through"`
	Live     bool   `is:"it has received everything there was"`
	Stalled  moment `is:"since when its client takes nothing"`
	Filters  string `is:"what it asked for, in a few words"`
	JSON     string `is:"the stream as --output json prints it"`
}

func newSubscriberFields(s *wabastreamv1.Subscription) subscriberFields {
	text, _ := taken(s)
	return subscriberFields{
		ID: clean(s.GetSubscriptionId()), Consumer: clean(s.GetConsumer()), Label: clean(s.GetClientLabel()),
		From: clean(s.GetPeerAddress()), Began: momentOf(s.GetBeginTime()),
		Cursor: clean(s.GetCursor()), Sequence: s.GetSequence(), Behind: s.GetBehind(),
		Live: s.GetCaughtUp(), Stalled: momentOf(s.GetStallTime()), Filters: clean(filtersText(s.GetFilters())), JSON: text,
	}
}

// moment is a time that prints as in RFC 3339, or as nothing.
type moment struct{ time.Time }

// String returns the time in UTC.
func (m moment) String() string {
	if m.IsZero() {
		return ""
	}
	return m.UTC().Format(time.RFC3339)
}

func momentOf(t *timestamppb.Timestamp) moment {
	if t == nil {
		return moment{}
	}
	return moment{t.AsTime()}
}

// taken is a message as JSON, and taken apart.
func taken(message proto.Message) (text string, fields map[string]any) {
	line, err := jsonLine(message)
	if err != nil {
		return "", nil // a text that is not UTF-8: the message did not come over the network
	}
	if err := json.Unmarshal(line, &fields); err != nil {
		return string(line), nil
	}
	for name, value := range fields {
		fields[name] = cleanValue(value)
	}
	return string(line), fields
}

// cleanValue cleans the texts in a value that JSON was taken apart into.
func cleanValue(value any) any {
	switch v := value.(type) {
	case string:
		return clean(v)
	case []any:
		for i := range v {
			v[i] = cleanValue(v[i])
		}
	case map[string]any:
		for name := range v {
			v[name] = cleanValue(v[name])
		}
	}
	return value
}

// newTemplatesTopic tells what templates can name, from the structs themselves.
func newTemplatesTopic() *cobra.Command {
	var b strings.Builder
	b.WriteString(`With --template, or --output template, a command prints each event or answer by a
template of Go's package text/template, and then a line break:

  wabastream tail --template '{{.Received.Local.Format "15:04:05"}} {{.Severity}} {{.WABA}} {{.Summary}}'
  wabastream list --limit 1 --template '{{.Cursor}}'
  wabastream log --template '{{.Events}} events in {{.Bytes}} bytes'

Times print as 2026-01-31T23:59:59Z and have the methods of Go's time.Time.
`)
	for _, t := range []struct {
		commands string
		fields   any
	}{
		{"tail, list and get, of an event", eventFields{}},
		{"log", logFields{}},
		{"account get and account list, of an account", accountFields{}},
		{"account watch, of a change", changeFields{}},
		{"opt-outs, of a person", optOutFields{}},
		{"backup", backupFields{}},
		{"send, of an answer", sentFields{}},
		{"quarantine list, of a callback", quarantinedFields{}},
		{"quarantine reinject", reinjectedFields{}},
		{"subscribers, of a stream", subscriberFields{}},
	} {
		fmt.Fprintf(&b, "\nFields of %s:\n", t.commands)
		for field := range reflect.TypeOf(t.fields).Fields() {
			fmt.Fprintf(&b, "  .%-10s  %s\n", field.Name, field.Tag.Get("is"))
		}
	}
	return &cobra.Command{Use: "templates", Short: "What --template can print", Long: strings.TrimSuffix(b.String(), "\n")}
}
