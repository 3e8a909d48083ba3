package logtool

import (
	"bytes"
	"errors"
	"io"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	wabastreamv1 "github.com/wabastream/wabastream/gen/wabastream/v1"
)

// FuzzImport: whatever a file holds, reading it ends; and what an import takes of it,
// an export gives again, in either format.
func FuzzImport(f *testing.F) {
	event := &wabastreamv1.ExportedEvent{
		Event: &wabastreamv1.Event{
			Id: "0123456789abcdefghijklmnopqrstuv", Sequence: 7, Type: "a.b", Severity: wabastreamv1.Severity_SEVERITY_WARNING,
			Source: "nxcloud", WabaId: "1", WabaIdSource: wabastreamv1.WabaIdSource_WABA_ID_SOURCE_PAYLOAD, BusinessPhone: "1555",
			OccurTime: &timestamppb.Timestamp{Seconds: 1761200607}, ReceiveTime: &timestamppb.Timestamp{Seconds: 1761200608, Nanos: 9000},
			Payload: &wabastreamv1.Event_Unrecognized{Unrecognized: &wabastreamv1.Unrecognized{Field: "f", Json: `{"x":1}`}}, RawJson: `{"x":1}`,
		},
		DuplicateHorizon: &durationpb.Duration{Seconds: 3600},
	}
	for _, format := range []Format{FormatJSONL, FormatProtobuf} {
		frame, err := format.encode(event)
		require.NoError(f, err)
		f.Add(bytes.Repeat(frame, 2))
		f.Add(frame[:len(frame)-3])
	}
	for _, text := range []string{"", "{", "{\n", "{\n\x00\n", "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", "\x00", "\x80\x00", "{}\n{}\n", beginJSON} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		read := newFrames(bytes.NewReader(file), "")
		if read.detect() != nil {
			return
		}
		for end := int64(0); ; end = read.end {
			frame, err := read.next()
			if err != nil {
				require.True(t, !errors.Is(err, io.EOF) || read.end == int64(len(file)), "what follows byte %d was passed over", read.end)
				return
			}
			require.Greater(t, read.end, end)
			requireSameWhenExported(t, read.format, frame)
		}
	})
}

func requireSameWhenExported(t *testing.T, format Format, frame []byte) {
	t.Helper()
	event, err := format.decode(frame)
	if err != nil {
		return
	}
	entry, err := entryOf(event)
	if err != nil {
		require.True(t, utf8.ValidString(err.Error()), "%q", err)
		return
	}
	out, err := exported(entry)
	if err != nil {
		return // Append checks what it is given, and this is not deliverable
	}
	// JSON has no words for fields of a newer contract.
	binary, err := proto.Marshal(out)
	require.NoError(t, err)
	known := new(wabastreamv1.ExportedEvent)
	require.NoError(t, proto.UnmarshalOptions{DiscardUnknown: true}.Unmarshal(binary, known))
	for again, want := range map[Format]*wabastreamv1.ExportedEvent{FormatJSONL: known, FormatProtobuf: out} {
		text, err := again.encode(out)
		require.NoError(t, err)
		body, err := newFrames(bytes.NewReader(text), again).next()
		require.NoError(t, err)
		decoded, err := again.decode(body)
		require.NoError(t, err)
		require.True(t, proto.Equal(want, decoded), "%v\n%v", want, decoded)
		second, err := entryOf(decoded)
		require.NoError(t, err)
		if proto.Equal(want, out) {
			require.Equal(t, entry, second)
		}
	}
}
