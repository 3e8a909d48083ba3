package main

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wabastream/wabastream/client"
	wabastreamv1 "github.com/wabastream/wabastream/gen/wabastream/v1"
)

// A gap is told also where only trouble is, and printing goes on.
func TestTailTellsWhatIsMissing(t *testing.T) {
	t.Parallel()
	var out, notices strings.Builder
	run := &tail{console: &console{out: &out, err: &notices}, format: format{name: formatJSON}}
	events := func(yield func(*wabastreamv1.Event, error) bool) {
		_ = yield(nil, &client.GapError{From: "c1", To: "c5"}) &&
			yield(nil, &client.GapError{From: "c5", To: "c9", Types: []string{"messages", "statuses"}}) &&
			yield(&wabastreamv1.Event{Sequence: 6, Cursor: "c6"}, nil)
	}
	require.NoError(t, run.print(events, &notes{out: &notices}))
	require.Equal(t, "-- gap: every event between cursor c1 and cursor c5 was removed by retention; going on behind it\n"+
		"-- gap: events of type messages, statuses between cursor c5 and cursor c9 were removed by retention; those of other types follow\n", notices.String())
	require.Contains(t, out.String(), `"c6"`)
}
