package translate_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wabastream/wabastream/server/internal/translate"
)

const source = "nxcloud"

// translateAll translates a body that is JSON.
func translateAll(tb testing.TB, body []byte) []translate.Event {
	tb.Helper()
	events, err := translate.Callback(source, body)
	require.NoError(tb, err)
	require.NotEmpty(tb, events)
	return events
}

// translateOne translates a body that is one event.
func translateOne(tb testing.TB, body string) translate.Event {
	tb.Helper()
	events := translateAll(tb, []byte(body))
	require.Len(tb, events, 1)
	return events[0]
}
