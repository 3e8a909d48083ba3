package webhook

import (
	"fmt"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	wabastreamv1 "github.com/wabastream/wabastream/gen/wabastream/v1"
	"github.com/wabastream/wabastream/server/internal/eventlog"
	"github.com/wabastream/wabastream/server/internal/translate"
)

// One callback is one append, so its events must never be more than one append
// takes. This does not compile otherwise.
const _ uint = eventlog.MaxAppendRecords - translate.MaxEntries

// records makes what the log stores of one callback's events, in order.
func (h *Handler) records(s *source, events []translate.Event) ([]eventlog.Record, error) {
	records := make([]eventlog.Record, len(events))
	size := 0
	for i := range events {
		r, err := h.record(s, &events[i])
		if err != nil {
			return nil, err
		}
		records[i] = r
		size += len(r.Payload) + len(r.Raw)
	}
	if size <= eventlog.MaxAppendBytes {
		return records, nil
	}
	// Keeping the JSON once instead of beside the typed payload always fits:
	// package translate bounds the JSON of all events of a callback.
	for i := range events {
		var err error
		if records[i].Payload, err = encodeUnrecognized(&events[i]); err != nil {
			return nil, err
		}
		records[i].Raw = nil
	}
	return records, nil
}

func (h *Handler) record(s *source, e *translate.Event) (eventlog.Record, error) {
	if len(e.Type) > eventlog.MaxTextBytes {
		return eventlog.Record{}, fmt.Errorf("event type of %d bytes is over the log's limit", len(e.Type))
	}
	payload, raw, err := encode(e)
	if err != nil {
		return eventlog.Record{}, err
	}
	phone := normalizePhone(e.BusinessPhone)
	waba, found := h.attribute(s, e.WABAID, phone, e.Payload.GetPhoneNumberId())
	return eventlog.Record{
		Header: eventlog.Header{
			ID:            eventlog.ID(e.ID),
			Source:        s.name,
			WABAID:        waba,
			WABASource:    found,
			Type:          e.Type,
			BusinessPhone: phone,
			Severity:      severity(e.Severity),
			OccurTime:     e.OccurTime,
		},
		Payload: payload,
		Raw:     raw,
		Horizon: s.horizonOf(e),
	}, nil
}

// normalizePhone is eventlog's, made cheap for what is digits only: most numbers.
func normalizePhone(number string) string {
	if isDigits(number) {
		return number
	}
	return eventlog.NormalizePhone(number)
}

func (s *source) horizonOf(e *translate.Event) time.Duration {
	if e.Timed {
		return s.horizon
	}
	return s.untimedHorizon
}

// attribute decides, once and for good, which account an event belongs to.
func (h *Handler) attribute(s *source, named, phone, phoneNumberID string) (string, eventlog.WABASource) {
	if named != "" {
		return named, eventlog.WABAPayload
	}
	if phone == "" && phoneNumberID == "" {
		return "", eventlog.WABAUnknown
	}
	if waba, ok := s.numbers[phone]; ok {
		return waba, eventlog.WABAConfigured
	}
	if h.attributor != nil {
		if waba := h.attributor.WABA(s.name, phone, phoneNumberID); waba != "" {
			return waba, eventlog.WABALearned
		}
	}
	return "", eventlog.WABAUnknown
}

func severity(s wabastreamv1.Severity) eventlog.Severity {
	switch s {
	case wabastreamv1.Severity_SEVERITY_CRITICAL:
		return eventlog.SeverityCritical
	case wabastreamv1.Severity_SEVERITY_WARNING:
		return eventlog.SeverityWarning
	default:
		return eventlog.SeverityInfo
	}
}

// encode makes the bytes that every reader can be sent. An event that cannot be
// delivered as it is keeps its header and becomes an unrecognized one: a reader
// that met it in the log could never get past it.
func encode(e *translate.Event) (payload, raw []byte, err error) {
	payload, err = marshal(e.Payload)
	if err == nil && len(payload)+len(e.Raw) <= eventlog.MaxRecordBytes {
		return payload, e.Raw, nil
	}
	payload, err = encodeUnrecognized(e)
	return payload, nil, err
}

func encodeUnrecognized(e *translate.Event) ([]byte, error) {
	payload, err := marshal(asUnrecognized(e))
	if err != nil {
		return nil, fmt.Errorf("encode event of type %s: %w", e.Type, err)
	}
	if len(payload) > eventlog.MaxRecordBytes {
		return nil, fmt.Errorf("encode event of type %s: %d bytes: %w", e.Type, len(payload), eventlog.ErrTooLarge)
	}
	return payload, nil
}

// asUnrecognized keeps the JSON, which holds everything, and of the rest only
// what is sure to be small.
func asUnrecognized(e *translate.Event) *wabastreamv1.Event {
	u := &wabastreamv1.Unrecognized{Json: string(e.Raw)}
	if was := e.Payload.GetUnrecognized(); was != nil {
		u.Json = was.GetJson()
	} else {
		// What has a payload message has a known field, and that is how its
		// type begins.
		u.Field, _, _ = strings.Cut(e.Type, ".")
	}
	return &wabastreamv1.Event{
		Provider: e.Payload.GetProvider(),
		Payload:  &wabastreamv1.Event_Unrecognized{Unrecognized: u},
	}
}

// marshal encodes an event that also marshals to JSON. Protobuf checks the texts;
// what JSON refuses beyond that is a time outside the years 1 to 9999, and the
// one place where a payload has a time is a restriction's end. A test holds this
// against the contract: marshalling to JSON here would cost more than all else.
func marshal(e *wabastreamv1.Event) ([]byte, error) {
	for _, r := range e.GetAccountUpdate().GetRestrictionInfo() {
		if end := r.GetExpireTime(); end != nil {
			if err := end.CheckValid(); err != nil {
				return nil, fmt.Errorf("end of a restriction: %w", err)
			}
		}
	}
	return proto.MarshalOptions{Deterministic: true}.Marshal(e)
}
