package logtool

import (
	"errors"
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	wabastreamv1 "github.com/wabastream/wabastream/gen/wabastream/v1"
	"github.com/wabastream/wabastream/server/internal/eventlog"
	"github.com/wabastream/wabastream/server/internal/stream"
)

// exported is an entry as a file holds it: everything that the log knows, but for
// the cursor, which names the log.
func exported(e *eventlog.Entry) (*wabastreamv1.ExportedEvent, error) {
	event, err := stream.Event(e)
	if err != nil {
		return nil, err
	}
	event.Cursor = ""
	out := &wabastreamv1.ExportedEvent{Event: event}
	if e.Horizon > 0 {
		out.DuplicateHorizon = durationpb.New(e.Horizon)
	}
	return out, nil
}

// entryOf is the opposite of exported: header and raw JSON apart, and what the log
// does not know as the payload.
func entryOf(in *wabastreamv1.ExportedEvent) (*eventlog.Entry, error) {
	event := in.GetEvent()
	id, err := eventlog.ParseID(event.GetId())
	if err != nil {
		return nil, err
	}
	stored, err := timeOf("receive_time", event.GetReceiveTime())
	if err != nil {
		return nil, err
	}
	occurred, err := timeOf("occur_time", event.GetOccurTime())
	if err != nil {
		return nil, err
	}
	switch {
	case stored.IsZero():
		return nil, errors.New("receive_time is missing")
	case event.GetSeverity() < wabastreamv1.Severity_SEVERITY_INFO || event.GetSeverity() > wabastreamv1.Severity_SEVERITY_CRITICAL:
		return nil, fmt.Errorf("severity %v is not known", event.GetSeverity())
	case event.GetWabaIdSource() < 0 || event.GetWabaIdSource() > wabastreamv1.WabaIdSource_WABA_ID_SOURCE_LEARNED:
		return nil, fmt.Errorf("waba_id_source %v is not known", event.GetWabaIdSource())
	}
	payload, err := payloadOf(event)
	if err != nil {
		return nil, err
	}
	return &eventlog.Entry{
		Record: eventlog.Record{
			Header: eventlog.Header{
				ID: id, Source: event.GetSource(), WABAID: event.GetWabaId(),
				WABASource: eventlog.WABASource(event.GetWabaIdSource()), Type: event.GetType(),
				BusinessPhone: event.GetBusinessPhone(), Severity: eventlog.Severity(event.GetSeverity()),
				OccurTime: occurred,
			},
			Payload: payload, Raw: []byte(event.GetRawJson()),
			Horizon: in.GetDuplicateHorizon().AsDuration(),
		},
		Position:   eventlog.Position{Sequence: eventlog.Sequence(event.GetSequence())},
		AppendTime: stored,
	}, nil
}

// payloadOf encodes the event without what stands in the header of a record.
func payloadOf(event *wabastreamv1.Event) ([]byte, error) {
	rest, ok := proto.Clone(event).(*wabastreamv1.Event)
	if !ok {
		return nil, errors.New("not an event")
	}
	rest.Id, rest.Cursor, rest.Sequence, rest.Type, rest.Source = "", "", 0, "", ""
	rest.WabaId, rest.BusinessPhone, rest.RawJson = "", "", ""
	rest.Severity, rest.WabaIdSource = 0, 0
	rest.OccurTime, rest.ReceiveTime = nil, nil
	return proto.MarshalOptions{Deterministic: true}.Marshal(rest)
}

func timeOf(field string, t *timestamppb.Timestamp) (time.Time, error) {
	if t == nil {
		return time.Time{}, nil
	}
	if err := t.CheckValid(); err != nil {
		return time.Time{}, fmt.Errorf("%s: %w", field, err)
	}
	return t.AsTime(), nil
}
