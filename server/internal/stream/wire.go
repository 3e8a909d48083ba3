package stream

import (
	wabastreamv1 "github.com/wabastream/wabastream/gen/wabastream/v1"
	"github.com/wabastream/wabastream/server/internal/eventlog"
)

// Cursor returns the text by which clients name a position.
func Cursor(p eventlog.Position) string { return cursorOf(p) }

// Event returns an entry as clients receive it, with its raw JSON if the entry
// has it.
func Event(e *eventlog.Entry) (*wabastreamv1.Event, error) {
	return decodeEvent(appendEvent(nil, e, cursorOf(e.Position)), e.Position.Sequence)
}
