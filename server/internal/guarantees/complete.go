package guarantees

import (
	"slices"

	wabastreamv1 "github.com/wabastream/wabastream/gen/wabastream/v1"
)

// Complete checks that every event that matches arrived, from the start of its
// stream up to the cursor of the last frame, before the first cursor that passes
// it. What may be missing was removed on purpose, and was told before by a gap on
// the same stream, or the client had asked for what is still held. And nothing is
// told that did not happen: no gap and no CURSOR_EXPIRED without a removal, no
// orderly end before the stop. It counts events that were due.
func Complete(h *History) (checked int, err error) {
	f := &findings{name: "complete"}
	l := newLedger(h)
	for i := range h.Streams {
		s := &h.Streams[i]
		f.checked += l.due(s, func(frame int, r *Receipt, why string) {
			f.breakAt(s.at(frame), "%v matches and was passed over: %s", r, why)
		})
		l.checkStart(f, s)
		l.checkGaps(f, s)
		l.checkEnd(f, s)
	}
	return f.result()
}

// start returns the place after which a stream owes everything; false when it never
// began.
func (l *ledger) start(s *Stream) (place, bool) {
	if len(s.Frames) == 0 {
		return place{}, false
	}
	switch start := s.Request.GetStart().(type) {
	case *wabastreamv1.SubscribeRequest_AfterCursor:
		p, err := placeOf(start.AfterCursor)
		return p, err == nil
	case *wabastreamv1.SubscribeRequest_AfterEventId:
		e := l.withID(start.AfterEventId)
		if e == nil {
			return place{}, false
		}
		return place{sequence: e.Sequence}, true
	}
	if s.Frames[0].Kind == KindPage {
		return place{held: true}, true // a listing from the start
	}
	p, err := placeOf(s.Frames[0].Cursor)
	return p, err == nil
}

// due goes through what the stream owed, calls missing for each event that did not
// come, with the frame whose cursor passes it, and returns how many were owed.
func (l *ledger) due(s *Stream, missing func(frame int, r *Receipt, why string)) (due int) {
	before, began := l.start(s)
	if !began {
		return 0
	}
	received := make(map[uint64]bool)
	var gaps []told
	for i := range s.Frames {
		frame := &s.Frames[i]
		for j := range frame.Events {
			received[frame.Events[j].Sequence] = true
		}
		if frame.Gap != nil {
			gaps = append(gaps, toldBy(frame.Gap))
		}
		p, err := placeOf(frame.Cursor)
		if err != nil || p.sequence < before.sequence {
			continue // Ordered tells of that
		}
		passed := l.between(before.sequence, p.sequence)
		for j := range passed {
			e := &passed[j]
			if !selects(s.Request, e) {
				continue
			}
			due++
			if received[e.Sequence] {
				continue
			}
			if why := l.blame(e, before.held, gaps); why != "" {
				missing(i, e, why)
			}
		}
		before = p
	}
	return due
}

// blame says what is wrong with an event's not being there; empty when it may be
// missing.
func (l *ledger) blame(e *Receipt, held bool, gaps []told) string {
	switch {
	case !l.removed(e):
		return "it was never removed"
	case !held && !slices.ContainsFunc(gaps, func(g told) bool { return g.of(e) }):
		return "it was removed, and no gap has told of it"
	default:
		return ""
	}
}

// told is what a gap tells of.
type told struct {
	from, to uint64
	types    []string
}

func toldBy(gap *wabastreamv1.Gap) told {
	from, errFrom := placeOf(gap.GetFromCursor())
	to, errTo := placeOf(gap.GetToCursor())
	if errFrom != nil || errTo != nil {
		return told{} // of nothing
	}
	return told{from.sequence, to.sequence, gap.GetTypes()}
}

func (g told) of(e *Receipt) bool {
	return e.Sequence > g.from && e.Sequence <= g.to &&
		(len(g.types) == 0 || slices.ContainsFunc(g.types, func(path string) bool { return isAtOrBelow(e.Type, path) }))
}

// checkStart holds the first frame against what the request chose to begin with.
func (l *ledger) checkStart(f *findings, s *Stream) {
	start, began := l.start(s)
	if !began || s.Frames[0].Kind == KindPage {
		return
	}
	if s.Frames[0].Kind != KindReady {
		f.breakAt(s.at(0), "the first frame is not ready")
		return
	}
	head, _ := placeOf(s.Frames[0].Ready.GetHeadCursor())
	switch asked := s.Request.GetStart().(type) {
	case *wabastreamv1.SubscribeRequest_AfterCursor, *wabastreamv1.SubscribeRequest_AfterEventId:
		return // Resumable sees to that
	case *wabastreamv1.SubscribeRequest_StartTime:
		l.checkNothingBefore(f, s, start.sequence)
		return
	case *wabastreamv1.SubscribeRequest_Position:
		if asked.Position == wabastreamv1.StartPosition_START_POSITION_EARLIEST {
			l.checkNothingBefore(f, s, start.sequence)
			return
		}
	}
	if start.sequence != head.sequence {
		f.breakAt(s.at(0), "it was to begin at the head, %d, and stands at %d", head.sequence, start.sequence)
	}
}

func (l *ledger) checkNothingBefore(f *findings, s *Stream, start uint64) {
	passed := l.between(0, start)
	for i := range passed {
		if e := &passed[i]; selects(s.Request, e) && !l.removed(e) {
			f.breakAt(s.at(0), "it begins after %d, and %v before was never removed", start, e)
		}
	}
}

// checkGaps holds gap frames against what was removed.
func (l *ledger) checkGaps(f *findings, s *Stream) {
	for i := range s.Frames {
		gap := s.Frames[i].Gap
		if gap == nil {
			continue
		}
		g := toldBy(gap)
		if g.to <= g.from {
			f.breakAt(s.at(i), "it tells of nothing, from %d to %d", g.from, g.to)
		}
		if !slices.ContainsFunc(l.trims, func(t Trim) bool { return t.UpTo > g.from && g.concerns(t.Path) }) {
			f.breakAt(s.at(i), "it tells that events after %d are gone, types %q, and none was removed", g.from, g.types)
		}
	}
}

// concerns reports whether a removal by the path is one that the gap may tell of.
func (g told) concerns(path string) bool {
	if len(g.types) == 0 || path == "" {
		return path == ""
	}
	return slices.ContainsFunc(g.types, func(t string) bool { return isAtOrBelow(path, t) || isAtOrBelow(t, path) })
}

// checkEnd holds the end against what was asked for and what was removed.
func (l *ledger) checkEnd(f *findings, s *Stream) {
	last, began := l.last(s)
	if !began {
		return // refused: Resumable sees to that
	}
	stop, bounded := stopOf(s)
	switch {
	case s.End.OK && s.Request.GetStop() == nil && !s.Joined:
		f.breakAt(s.String(), "it ended as if at its stop, and had none")
	case s.End.OK && bounded && last.sequence < stop:
		f.breakAt(s.String(), "it ended as if at its stop %d, and had come to %d", stop, last.sequence)
	case !excusable(s.End.Reason):
		f.breakAt(s.String(), "it ended with %s", s.End.Reason)
	case s.End.Reason == reasonExpired && !l.trimmedAfter(last.sequence, s.Request):
		f.breakAt(s.String(), "it ended with %s at %d, and nothing after that which it may ask for was removed", s.End.Reason, last.sequence)
	}
}

// last returns how far the stream came.
func (l *ledger) last(s *Stream) (place, bool) {
	p, began := l.start(s)
	if began {
		if at, err := placeOf(s.Frames[len(s.Frames)-1].Cursor); err == nil {
			p = at
		}
	}
	return p, began
}

const reasonExpired = "CURSOR_EXPIRED"

// excusable reports whether a stream may end with the reason, through no fault of
// the server: it is going away, has too much to do, or retention was faster.
func excusable(reason string) bool {
	switch reason {
	case "", "DRAINING", "LOG_UNAVAILABLE", "OVERLOADED", "NODE_BEHIND", "STREAM_LIMIT", "MAX_STREAM_AGE", reasonExpired:
		return true
	default:
		return false
	}
}
