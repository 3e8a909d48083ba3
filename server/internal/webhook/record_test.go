package webhook

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/timestamppb"

	wabastreamv1 "github.com/wabastream/wabastream/gen/wabastream/v1"
	"github.com/wabastream/wabastream/server/internal/eventlog"
	"github.com/wabastream/wabastream/server/internal/translate"
)

// typedEvent is an event as package translate makes it.
func typedEvent() translate.Event {
	return translate.Event{
		ID:            [20]byte{1, 2, 3},
		Type:          "account_update.account_deleted",
		Severity:      wabastreamv1.Severity_SEVERITY_CRITICAL,
		WABAID:        "1001",
		BusinessPhone: "15550100",
		OccurTime:     time.Unix(1761200607, 0),
		Timed:         true,
		Payload: &wabastreamv1.Event{
			Provider: wabastreamv1.Provider_PROVIDER_NXCLOUD,
			Payload: &wabastreamv1.Event_AccountUpdate{AccountUpdate: &wabastreamv1.AccountUpdate{
				Event:     wabastreamv1.AccountUpdateEvent_ACCOUNT_UPDATE_EVENT_ACCOUNT_DELETED,
				EventText: "ACCOUNT_DELETED",
			}},
		},
		Raw: []byte(testBody),
	}
}

// give makes the handler see these events instead of the callback's.
func (f *fixture) give(events ...translate.Event) {
	f.translate = func(string, []byte) ([]translate.Event, error) { return events, nil }
}

func requirePayload(t *testing.T, want *wabastreamv1.Event, payload []byte) {
	t.Helper()
	got := new(wabastreamv1.Event)
	require.NoError(t, proto.Unmarshal(payload, got))
	require.Empty(t, cmp.Diff(want, got, protocmp.Transform()))
}

func TestRecord(t *testing.T) {
	t.Parallel()
	f := newFixture(t, unsignedSource())
	event := typedEvent()
	f.give(event)
	requireSuccess(t, f.post("{}"))

	require.Len(t, f.log.stored(), 1)
	record := f.log.stored()[0]
	require.Equal(t, eventlog.Header{
		ID:            eventlog.ID{1, 2, 3},
		Source:        "nxcloud",
		WABAID:        "1001",
		WABASource:    eventlog.WABAPayload,
		Type:          "account_update.account_deleted",
		BusinessPhone: "15550100",
		Severity:      eventlog.SeverityCritical,
		OccurTime:     time.Unix(1761200607, 0),
	}, record.Header)
	require.Equal(t, event.Raw, record.Raw)
	requirePayload(t, event.Payload, record.Payload)
}

func TestRecordSeverity(t *testing.T) {
	t.Parallel()
	require.Equal(t, eventlog.SeverityCritical, severity(wabastreamv1.Severity_SEVERITY_CRITICAL))
	require.Equal(t, eventlog.SeverityWarning, severity(wabastreamv1.Severity_SEVERITY_WARNING))
	require.Equal(t, eventlog.SeverityInfo, severity(wabastreamv1.Severity_SEVERITY_INFO))
	require.Equal(t, eventlog.SeverityInfo, severity(wabastreamv1.Severity_SEVERITY_UNSPECIFIED))
}

func TestRecordHorizon(t *testing.T) {
	t.Parallel()
	f := newFixture(t, Source{AllowUnsigned: true, DuplicateHorizon: time.Hour, UntimedDuplicateHorizon: time.Minute})
	timed, untimed := typedEvent(), typedEvent()
	untimed.ID, untimed.Timed = [20]byte{9}, false
	f.give(timed, untimed)
	requireSuccess(t, f.post("{}"))
	require.Equal(t, time.Hour, f.log.stored()[0].Horizon)
	require.Equal(t, time.Minute, f.log.stored()[1].Horizon)
}

type attributorFunc func(source, businessPhone, phoneNumberID string) string

func (f attributorFunc) WABA(source, businessPhone, phoneNumberID string) string {
	return f(source, businessPhone, phoneNumberID)
}

func TestAttribution(t *testing.T) {
	t.Parallel()
	learned := attributorFunc(func(source, businessPhone, phoneNumberID string) string {
		return map[string]string{"nxcloud/1/": "learned-1", "nxcloud/2/": "learned-2", "nxcloud//4": "learned-4"}[source+"/"+businessPhone+"/"+phoneNumberID]
	})
	tests := map[string]struct {
		waba, phone, id string
		attributor      Attributor
		want            string
		found           eventlog.WABASource
	}{
		"the callback names it":          {"7", "1", "", learned, "7", eventlog.WABAPayload},
		"configured goes before learned": {"", "1", "", learned, "configured-1", eventlog.WABAConfigured},
		"learned":                        {"", "2", "", learned, "learned-2", eventlog.WABALearned},
		"nobody knows":                   {"", "3", "", learned, "", eventlog.WABAUnknown},
		"nobody to ask":                  {"", "3", "", nil, "", eventlog.WABAUnknown},
		"learned of the number's id":     {"", "", "4", learned, "learned-4", eventlog.WABALearned},
		"no number":                      {"", "", "", learned, "", eventlog.WABAUnknown},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, Source{AllowUnsigned: true, Numbers: map[string]string{"+1": "configured-1"}})
			f.attributor = tt.attributor
			event := typedEvent()
			event.WABAID, event.BusinessPhone = tt.waba, tt.phone
			event.Payload.PhoneNumberId = tt.id
			f.give(event)
			requireSuccess(t, f.post("{}"))
			require.Equal(t, tt.want, f.log.stored()[0].WABAID)
			require.Equal(t, tt.found, f.log.stored()[0].WABASource)
		})
	}
}

// An event that could not be delivered as it is keeps its header, and its JSON
// takes the place of the typed payload.
func TestUndeliverableBecomesUnrecognized(t *testing.T) {
	t.Parallel()
	const large = eventlog.MaxRecordBytes/2 + 1
	tests := map[string]struct {
		change func(*translate.Event)
		field  string
	}{
		"payload and raw too large": {func(e *translate.Event) {
			e.Payload.GetAccountUpdate().EventText = strings.Repeat("a", large)
			e.Raw = []byte(`"` + strings.Repeat("a", large) + `"`)
		}, "account_update"},
		"timestamp that JSON cannot hold": {func(e *translate.Event) {
			e.Payload.GetAccountUpdate().RestrictionInfo = []*wabastreamv1.RestrictionInfo{{ExpireTime: &timestamppb.Timestamp{Seconds: 1 << 40}}}
		}, "account_update"},
		"text that is not UTF-8": {func(e *translate.Event) {
			e.Payload.GetAccountUpdate().EventText = "\xff"
		}, "account_update"},
		"other texts too large": {func(e *translate.Event) {
			e.Payload.PhoneNumberId = strings.Repeat("1", eventlog.MaxRecordBytes)
			e.Payload.Payload = &wabastreamv1.Event_Unrecognized{Unrecognized: &wabastreamv1.Unrecognized{
				Field: strings.Repeat("f", eventlog.MaxRecordBytes), Json: string(e.Raw),
			}}
			e.Raw = nil
		}, ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, unsignedSource())
			event := typedEvent()
			json := string(event.Raw)
			tt.change(&event)
			if event.Raw != nil {
				json = string(event.Raw)
			}
			f.give(event)
			requireSuccess(t, f.post("{}"))
			record := f.log.stored()[0]
			require.Equal(t, eventlog.ID(event.ID), record.ID)
			require.Equal(t, event.Type, record.Type)
			require.Equal(t, event.WABAID, record.WABAID)
			require.Nil(t, record.Raw)
			requireDeliverable(t, record)
			requirePayload(t, &wabastreamv1.Event{
				Provider: wabastreamv1.Provider_PROVIDER_NXCLOUD,
				Payload:  &wabastreamv1.Event_Unrecognized{Unrecognized: &wabastreamv1.Unrecognized{Field: tt.field, Json: json}},
			}, record.Payload)
		})
	}
}

func requireDeliverable(t *testing.T, r eventlog.Record) {
	t.Helper()
	require.LessOrEqual(t, len(r.Payload)+len(r.Raw), eventlog.MaxRecordBytes)
	event := new(wabastreamv1.Event)
	require.NoError(t, proto.Unmarshal(r.Payload, event))
	event.RawJson = string(r.Raw)
	_, err := proto.Marshal(event)
	require.NoError(t, err)
	_, err = protojson.Marshal(event)
	require.NoError(t, err)
}

// One callback is one append: where typed payloads beside their JSON are too
// much for it, every event keeps the JSON only.
func TestAppendStaysWithinItsLimit(t *testing.T) {
	t.Parallel()
	f := newFixture(t, unsignedSource())
	raw := []byte(`"` + strings.Repeat("a", 999_998) + `"`)
	events := make([]translate.Event, 9)
	for i := range events {
		events[i] = typedEvent()
		events[i].ID = [20]byte{byte(i)}
		events[i].Raw = raw
		events[i].Payload.GetAccountUpdate().EventText = strings.Repeat("b", 1_000_000)
	}
	f.give(events...)
	requireSuccess(t, f.post("{}"))
	require.Len(t, f.log.stored(), len(events))
	size := 0
	for _, r := range f.log.stored() {
		requireDeliverable(t, r)
		size += len(r.Payload) + len(r.Raw)
	}
	require.LessOrEqual(t, size, eventlog.MaxAppendBytes)
}

// What cannot be made deliverable is refused: it must neither be lost behind a
// 200 nor block the readers of the log.
func TestImpossibleEventIsRefused(t *testing.T) {
	t.Parallel()
	tests := map[string]func(*translate.Event){
		"JSON too large": func(e *translate.Event) { e.Raw = make([]byte, eventlog.MaxRecordBytes+1) },
		"JSON not UTF-8": func(e *translate.Event) {
			e.Payload.GetAccountUpdate().EventText = "\xff"
			e.Raw = []byte("\xff")
		},
		"type too long": func(e *translate.Event) { e.Type = strings.Repeat("a", eventlog.MaxTextBytes+1) },
	}
	for name, change := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, unsignedSource())
			event := typedEvent()
			change(&event)
			f.give(typedEvent(), event)
			requireRefused(t, f.post("{}"), http.StatusInternalServerError, "INTERNAL")
			require.Empty(t, f.log.stored())
			require.Equal(t, 1, f.callbacks(t, outcomeError))
		})
	}
}

// marshal relies on it that no payload has anything that protobuf takes and JSON
// refuses, but the one time it checks. Whoever adds such a field is told here.
func TestOnlyRestrictionsHaveTimes(t *testing.T) {
	t.Parallel()
	var found []string
	seen := make(map[protoreflect.FullName]bool)
	var visit func(m protoreflect.MessageDescriptor)
	visit = func(m protoreflect.MessageDescriptor) {
		if seen[m.FullName()] {
			return
		}
		seen[m.FullName()] = true
		for i := range m.Fields().Len() {
			f := m.Fields().Get(i)
			if f.Message() == nil {
				continue
			}
			if f.Message().ParentFile().Package() == "google.protobuf" {
				found = append(found, string(f.FullName()))
				continue
			}
			visit(f.Message())
		}
	}
	visit((&wabastreamv1.Event{}).ProtoReflect().Descriptor())
	require.ElementsMatch(t, []string{
		"wabastream.v1.Event.occur_time",   // of the header, checked by the translator
		"wabastream.v1.Event.receive_time", // of the header, the log's clock
		"wabastream.v1.RestrictionInfo.expire_time",
	}, found)
}
