package translate_test

import (
	"bytes"
	"encoding/json"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	wabastreamv1 "github.com/wabastream/wabastream/gen/wabastream/v1"
	"github.com/wabastream/wabastream/server/internal/translate"
)

// requireSound checks what holds for the events of every JSON text.
func requireSound(tb testing.TB, body []byte, events []translate.Event) {
	tb.Helper()
	require.NotEmpty(tb, events)
	require.LessOrEqual(tb, len(events), translate.MaxEntries)
	expanded := 0
	for i := range events {
		expanded += len(requireSoundEvent(tb, &events[i]))
	}
	if len(events) > 1 {
		require.LessOrEqual(tb, expanded, translate.MaxExpandedBytes)
		return
	}
	require.Equal(tb, trimJSON(body), trimJSON(jsonOf(&events[0])))
}

// requireSoundEvent returns the event's JSON.
func requireSoundEvent(tb testing.TB, event *translate.Event) []byte {
	tb.Helper()
	require.Regexp(tb, `^[a-z0-9_]+(\.[a-z0-9_]+){0,3}$`, event.Type)
	require.NotEqual(tb, wabastreamv1.Severity_SEVERITY_UNSPECIFIED, event.Severity)
	for _, text := range []string{
		event.Type, event.WABAID, event.BusinessPhone,
		event.Payload.GetPhoneNumberId(), event.Payload.GetOccurTimeText(),
		event.Payload.GetUnrecognized().GetField(),
	} {
		require.LessOrEqual(tb, len(text), translate.MaxTextBytes)
		require.True(tb, utf8.ValidString(text))
	}
	if event.OccurTime.IsZero() {
		require.Equal(tb, event.Timed, event.Payload.GetOccurTimeText() != "")
	} else {
		require.True(tb, event.Timed)
		require.Empty(tb, event.Payload.GetOccurTimeText())
		require.GreaterOrEqual(tb, event.OccurTime.Year(), 1970)
		require.LessOrEqual(tb, event.OccurTime.Year(), 9999)
	}

	require.NotNil(tb, event.Payload.GetPayload())
	marshalled, err := proto.Marshal(event.Payload)
	require.NoError(tb, err)
	_, err = protojson.Marshal(event.Payload)
	require.NoError(tb, err)
	raw := jsonOf(event)
	if event.Raw != nil {
		require.Nil(tb, event.Payload.GetUnrecognized())
		require.LessOrEqual(tb, len(marshalled), translate.MaxTypedBytes)
	}
	_, err = translate.Callback(source, raw)
	require.NoError(tb, err, "the event's JSON is JSON")
	return raw
}

// jsonOf is an event's JSON, wherever it is.
func jsonOf(event *translate.Event) []byte {
	if event.Raw != nil {
		return event.Raw
	}
	return []byte(event.Payload.GetUnrecognized().GetJson())
}

func trimJSON(text []byte) string { return string(bytes.Trim(text, " \t\r\n")) }

// isJSON judges by the standard library. Nesting beyond 10,000 it does not
// judge.
func isJSON(body []byte) bool { return utf8.Valid(body) && json.Valid(body) }
