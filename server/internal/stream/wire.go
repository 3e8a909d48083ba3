package stream

import (
	"context"

	wabastreamv1 "github.com/wabastream/wabastream/gen/wabastream/v1"
	"github.com/wabastream/wabastream/server/internal/access"
	"github.com/wabastream/wabastream/server/internal/eventlog"
)

// Cursor returns the text by which clients name a position.
func Cursor(p eventlog.Position) string { return cursorOf(p) }

// ParseCursor reads what Cursor, or a cursor of an event or a frame, is. Any error is
// that the text is none.
func ParseCursor(text string) (eventlog.Position, error) {
	t, err := parseToken(kindCursor, text)
	return t.at, err
}

// Admit counts a stream of another service among the subscriptions that its caller has
// open until leave is called, or refuses it with the status of one too many.
func (s *Service) Admit(ctx context.Context, caller access.Caller) (leave func(), err error) {
	return s.admission.enter(ctx, caller)
}

// Event returns an entry as clients receive it, with its raw JSON if the entry
// has it.
func Event(e *eventlog.Entry) (*wabastreamv1.Event, error) {
	return decodeEvent(appendEvent(nil, e, cursorOf(e.Position)), e.Position.Sequence)
}
