package guarantees

import "time"

const (
	// defaultInterval is what the contract promises where no interval is asked for.
	defaultInterval = 15 * time.Second
	// fresh is how long a frame must have been waited for to be surely not from a
	// buffer: only then it says how things stood when it was received.
	fresh = 10 * time.Millisecond
)

// Progressing checks that a client that reads gets a frame every heartbeat interval,
// also one whose filter discards everything, and that the cursor of what a live
// stream sends is at least the head of the interval before. It counts heartbeats
// whose cursors could be held against the head.
func Progressing(h *History) (checked int, err error) {
	f := &findings{name: "progressing"}
	l := newLedger(h)
	for i := range h.Streams {
		if s := &h.Streams[i]; !s.Joined {
			l.checkPace(f, h, s)
		}
	}
	return f.result()
}

func (l *ledger) checkPace(f *findings, h *History, s *Stream) {
	interval := defaultInterval
	if asked := s.Request.GetHeartbeatInterval().AsDuration(); asked > 0 {
		interval = asked
	}
	excuses := append(append([]Span(nil), h.Pauses...), s.Stalls...)
	live := false
	for i := range s.Frames {
		frame := &s.Frames[i]
		if late(frame.Asked, frame.Received, interval+h.Tolerance, excuses) {
			f.breakAt(s.at(i), "it was waited for %v, the interval is %v", frame.Received.Sub(frame.Asked), interval)
		}
		switch frame.Kind {
		case KindReady:
			interval = frame.Ready.GetHeartbeatInterval().AsDuration()
		case KindCaughtUp:
			live = true
		case KindFellBehind:
			live = false
		}
		if !live || frame.Received.Sub(frame.Asked) < fresh {
			continue
		}
		since := backdate(frame.Received, interval+h.Tolerance, excuses)
		if frame.Kind == KindProgress {
			f.checked++
		}
		if p, err := placeOf(frame.Cursor); err == nil && p.sequence < l.headAt(since) {
			f.breakAt(s.at(i), "its cursor stands at %d, and %v before the head was at %d", p.sequence, frame.Received.Sub(since), l.headAt(since))
		}
	}
	if late(s.End.Asked, s.End.At, interval+h.Tolerance, excuses) {
		f.breakAt(s.String(), "it was silent for %v until it ended, the interval is %v", s.End.At.Sub(s.End.Asked), interval)
	}
}

// late reports whether something took longer than the limit, which begins anew
// after each excuse on the way.
func late(from, to time.Time, limit time.Duration, excuses []Span) bool {
	deadline := from.Add(limit)
	for again := true; again; {
		again = false
		for _, e := range excuses {
			if e.From.Before(deadline) && e.To.After(from) && e.To.Add(limit).After(deadline) {
				deadline, again = e.To.Add(limit), true
			}
		}
	}
	return to.After(deadline)
}

// backdate returns the time before the limit, which begins anew before each excuse
// on the way back.
func backdate(from time.Time, limit time.Duration, excuses []Span) time.Time {
	since := from.Add(-limit)
	for again := true; again; {
		again = false
		for _, e := range excuses {
			if e.To.After(since) && e.From.Before(from) && e.From.Add(-limit).Before(since) {
				since, again = e.From.Add(-limit), true
			}
		}
	}
	return since
}
