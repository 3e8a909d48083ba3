package guarantees

// Ordered checks that events arrive in log order, and that frames say so: cursors
// never go back, a frame's events are after the cursor before it and not after its
// own, an event's cursor stands at the event, and stamps never decrease along the
// log. It counts events received.
func Ordered(h *History) (checked int, err error) {
	f := &findings{name: "ordered"}
	for i := range h.Streams {
		orderedStream(f, &h.Streams[i])
	}
	l := newLedger(h)
	for i := 1; i < len(l.events); i++ {
		if e, before := &l.events[i], &l.events[i-1]; e.ReceiveTime.Before(before.ReceiveTime) {
			f.breakAt("the log", "%v is stamped %v, and %v before it %v", e, e.ReceiveTime, before, before.ReceiveTime)
		}
	}
	return f.result()
}

func orderedStream(f *findings, s *Stream) {
	last, what := startSequence(s), "the start"
	for i := range s.Frames {
		frame := &s.Frames[i]
		p, err := placeOf(frame.Cursor)
		if err != nil {
			f.breakAt(s.at(i), "its cursor %v", err)
			continue
		}
		for j := range frame.Events {
			e := &frame.Events[j]
			f.checked++
			if e.Sequence <= last {
				f.breakAt(s.at(i), "%v came after %s at %d", e, what, last)
			}
			last, what = e.Sequence, "an event"
			if at, err := placeOf(e.Cursor); err != nil || at.sequence != e.Sequence {
				f.breakAt(s.at(i), "%v has a cursor that does not stand there: %q", e, e.Cursor)
			}
		}
		if p.sequence < last {
			f.breakAt(s.at(i), "its cursor stands at %d, and %s before it at %d", p.sequence, what, last)
		}
		last, what = p.sequence, "a frame's cursor"
	}
}

// startSequence is where the request asks to begin; zero where that is not a
// sequence.
func startSequence(s *Stream) uint64 {
	p, err := placeOf(s.Request.GetAfterCursor())
	if err != nil {
		return 0
	}
	return p.sequence
}
