package guarantees

import wabastreamv1 "github.com/wabastream/wabastream/gen/wabastream/v1"

// Resumable checks that every cursor and every event id that a client was given is
// a place to go on from: no stream that asks for it is refused, but for what
// retention removed, its first frame stands at the very same place, and its first
// event is the next one that matches. It counts streams that resumed.
func Resumable(h *History) (checked int, err error) {
	f := &findings{name: "resumable"}
	l := newLedger(h)
	given := givenOut(h)
	for i := range h.Streams {
		s := &h.Streams[i]
		if place, known := l.resumed(s, given); known {
			f.checked++
			l.checkResumed(f, s, place)
		}
	}
	return f.result()
}

// givenOut is every cursor that some client received as a place to go on from.
func givenOut(h *History) map[string]bool {
	given := make(map[string]bool)
	for i := range h.Streams {
		for j := range h.Streams[i].Frames {
			frame := &h.Streams[i].Frames[j]
			given[frame.Cursor] = true
			for k := range frame.Events {
				given[frame.Events[k].Cursor] = true
			}
		}
	}
	return given
}

// resumed returns where the stream was to go on, if it was to and that is a place
// that a client was given.
func (l *ledger) resumed(s *Stream, given map[string]bool) (place, bool) {
	switch start := s.Request.GetStart().(type) {
	case *wabastreamv1.SubscribeRequest_AfterCursor:
		p, err := placeOf(start.AfterCursor)
		return p, err == nil && given[start.AfterCursor]
	case *wabastreamv1.SubscribeRequest_AfterEventId:
		e := l.withID(start.AfterEventId)
		if e == nil {
			return place{}, false
		}
		return place{sequence: e.Sequence}, true
	default:
		return place{}, false
	}
}

func (l *ledger) checkResumed(f *findings, s *Stream, from place) {
	lost := l.trimmedAfter(from.sequence, s.Request)
	if len(s.Frames) == 0 {
		if l.refusalIsWrong(s, lost) {
			f.breakAt(s.String(), "going on after %d was refused with %s", from.sequence, s.End.Reason)
		}
		return
	}
	if first := &s.Frames[0]; first.Kind == KindReady {
		at, err := placeOf(first.Cursor)
		if err != nil || at.sequence != from.sequence {
			f.breakAt(s.at(0), "it was to go on after %d and stands at %d", from.sequence, at.sequence)
		}
		if !first.Ready.GetResumed() && !lost {
			f.breakAt(s.at(0), "it says that something after %d is missing, and nothing was removed", from.sequence)
		}
	}
	first := firstEvent(s)
	l.due(s, func(frame int, r *Receipt, why string) {
		if first == nil || r.Sequence < first.Sequence {
			f.breakAt(s.at(frame), "after %d the next that matches is %v, and it did not come: %s", from.sequence, r, why)
		}
	})
}

// refusalIsWrong reports whether a stream without a frame was refused for no good
// reason. An event's id is forgotten with the event.
func (l *ledger) refusalIsWrong(s *Stream, lost bool) bool {
	switch s.End.Reason {
	case reasonExpired:
		return !lost
	case "EVENT_NOT_FOUND":
		e := l.withID(s.Request.GetAfterEventId())
		return e == nil || !l.removed(e)
	default:
		return !excusable(s.End.Reason)
	}
}

func firstEvent(s *Stream) *Receipt {
	for i := range s.Frames {
		if len(s.Frames[i].Events) > 0 {
			return &s.Frames[i].Events[0]
		}
	}
	return nil
}
