package stream

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/encoding"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/timestamppb"

	wabastreamv1 "github.com/wabastream/wabastream/gen/wabastream/v1"
	"github.com/wabastream/wabastream/server/internal/eventlog"
)

func fullEntry(t *testing.T) (eventlog.Entry, *wabastreamv1.Event) {
	t.Helper()
	payload := &wabastreamv1.Event{
		Provider:      wabastreamv1.Provider_PROVIDER_NXCLOUD,
		PhoneNumberId: "77",
		OccurTimeText: "soon",
		Payload:       &wabastreamv1.Event_UserPreference{UserPreference: &wabastreamv1.UserPreference{WaId: "1", ValueText: "stop"}},
	}
	stored, err := proto.Marshal(payload)
	require.NoError(t, err)
	entry := eventlog.Entry{
		Record: eventlog.Record{
			Header: eventlog.Header{
				ID: eventlog.ID{1, 2, 3}, Source: "nxcloud",
				WABAID: "1618", WABASource: eventlog.WABAConfigured,
				Type: "user_preferences.marketing_messages.stop", BusinessPhone: "1555",
				Severity: eventlog.SeverityInfo, OccurTime: time.Unix(1753407219, 0),
			},
			Payload: stored, Raw: []byte(`{"a":1}`),
		},
		Position:   eventlog.Position{Log: eventlog.LogID{4}, Sequence: 300, Fingerprint: 5},
		AppendTime: time.Unix(1753407220, 123000),
	}
	want := proto.CloneOf(payload)
	want.Id, want.Cursor, want.Sequence = entry.ID.String(), cursorOf(entry.Position), 300
	want.Type, want.Severity, want.Source = entry.Type, wabastreamv1.Severity_SEVERITY_INFO, "nxcloud"
	want.WabaId, want.WabaIdSource = "1618", wabastreamv1.WabaIdSource_WABA_ID_SOURCE_CONFIGURED
	want.BusinessPhone, want.RawJson = "1555", `{"a":1}`
	want.OccurTime, want.ReceiveTime = timestamppb.New(entry.OccurTime), timestamppb.New(entry.AppendTime)
	return entry, want
}

func TestEventOnTheWireIsTheContracts(t *testing.T) {
	t.Parallel()
	entry, want := fullEntry(t)
	got, err := Event(&entry)
	require.NoError(t, err)
	require.Empty(t, cmp.Diff(want, got, protocmp.Transform()))
	require.Empty(t, got.ProtoReflect().GetUnknown())
}

func TestEventWithNothingKnown(t *testing.T) {
	t.Parallel()
	entry := eventlog.Entry{
		Record:   eventlog.Record{Header: eventlog.Header{Source: "s", Type: "unrecognized", Severity: eventlog.SeverityInfo}},
		Position: eventlog.Position{Sequence: 1}, AppendTime: time.Unix(1, 0),
	}
	got, err := Event(&entry)
	require.NoError(t, err)
	require.Nil(t, got.GetOccurTime())
	require.Empty(t, got.GetWabaId())
	require.Empty(t, got.GetRawJson())
	require.Equal(t, int64(1), got.GetReceiveTime().GetSeconds())
}

func TestBatchFrameIsASubscribeResponse(t *testing.T) {
	t.Parallel()
	entry, want := fullEntry(t)
	var b batch
	event := appendEvent(nil, &entry, cursorOf(entry.Position))
	b.add(event, entry.Position)
	b.add(event, entry.Position)
	wire, err := codec{encoding.GetCodecV2("proto")}.Marshal(b.frame(cursorOf(entry.Position)))
	require.NoError(t, err)
	got := new(wabastreamv1.SubscribeResponse)
	require.NoError(t, proto.Unmarshal(wire.Materialize(), got))
	require.Empty(t, cmp.Diff(&wabastreamv1.SubscribeResponse{
		Cursor: want.GetCursor(),
		Frame:  &wabastreamv1.SubscribeResponse_Batch{Batch: &wabastreamv1.Batch{Events: []*wabastreamv1.Event{want, want}}},
	}, got, protocmp.Transform()))
}

func TestSeveritiesAndSourcesAgreeWithTheContract(t *testing.T) {
	t.Parallel()
	require.EqualValues(t, wabastreamv1.Severity_SEVERITY_INFO, eventlog.SeverityInfo)
	require.EqualValues(t, wabastreamv1.Severity_SEVERITY_WARNING, eventlog.SeverityWarning)
	require.EqualValues(t, wabastreamv1.Severity_SEVERITY_CRITICAL, eventlog.SeverityCritical)
	require.EqualValues(t, wabastreamv1.WabaIdSource_WABA_ID_SOURCE_UNSPECIFIED, eventlog.WABAUnknown)
	require.EqualValues(t, wabastreamv1.WabaIdSource_WABA_ID_SOURCE_PAYLOAD, eventlog.WABAPayload)
	require.EqualValues(t, wabastreamv1.WabaIdSource_WABA_ID_SOURCE_CONFIGURED, eventlog.WABAConfigured)
	require.EqualValues(t, wabastreamv1.WabaIdSource_WABA_ID_SOURCE_LEARNED, eventlog.WABALearned)
}
