package guarantees

// Durable checks that nothing was sent that a crash could unsay, and nothing
// answered that it could lose: every event that was received is in the log, the
// same, at its place, every cursor stands at a record of the log, and every
// callback that was answered is there whole; of the others all or nothing. It counts
// events received and callbacks answered.
func Durable(h *History) (checked int, err error) {
	f := &findings{name: "durable"}
	l := newLedger(h)
	for i := range h.Streams {
		s := &h.Streams[i]
		for j := range s.Frames {
			frame := &s.Frames[j]
			for k := range frame.Events {
				f.checked++
				l.checkUnsaid(f, s.at(j), &frame.Events[k])
			}
			l.checkCursor(f, s.at(j), frame.Cursor)
			if frame.Ready != nil {
				l.checkCursor(f, s.at(j), frame.Ready.GetHeadCursor())
			}
		}
	}
	l.checkCallbacks(f, h.Callbacks)
	return f.result()
}

func (l *ledger) checkUnsaid(f *findings, where string, r *Receipt) {
	switch e := l.at(r.Sequence); {
	case e == nil:
		f.breakAt(where, "%v was sent and is not in the log", r)
	case e.ID != r.ID:
		f.breakAt(where, "%v was sent, and the log holds %v there", r, e)
	case e.Digest != r.Digest:
		f.breakAt(where, "%v is not as it was sent", r)
	default:
		l.checkCursor(f, where, r.Cursor)
	}
}

// checkCursor finds the record that the cursor stands at. The fingerprint of one
// that was removed need not be known any more.
func (l *ledger) checkCursor(f *findings, where, cursor string) {
	p, err := placeOf(cursor)
	if err != nil {
		f.breakAt(where, "%v", err)
		return
	}
	if p.sequence == 0 {
		return
	}
	e := l.at(p.sequence)
	if e == nil {
		f.breakAt(where, "a cursor stands at %d, where the log has no event", p.sequence)
		return
	}
	same, err := placeOf(e.Cursor)
	if err != nil {
		f.breakAt("the log", "%v: %v", e, err)
		return
	}
	if p.log != same.log {
		f.breakAt(where, "a cursor is of log %s, this is %s", p.log, same.log)
	}
	if p.fingerprint != same.fingerprint && (p.fingerprint != 0 || !l.removed(e)) {
		f.breakAt(where, "a cursor stands at %d, at another event than %v", p.sequence, e)
	}
}

// checkCallbacks looks for each callback's events, one after the other.
func (l *ledger) checkCallbacks(f *findings, callbacks []Callback) {
	places := make(map[string]int, len(l.events))
	for i := range l.events {
		places[l.events[i].ID] = i
	}
	for i := range callbacks {
		c := &callbacks[i]
		if c.Answered {
			f.checked++
		}
		first, anyThere := places[c.EventIDs[0]]
		for j, id := range c.EventIDs {
			at, there := places[id]
			switch {
			case !there && c.Answered:
				f.breakAt("callback "+c.Name, "it was answered 200, and its event %s is not in the log", id)
			case there != anyThere:
				f.breakAt("callback "+c.Name, "some of its events are in the log and some are not: %s is one of them", id)
			case there && at != first+j:
				f.breakAt("callback "+c.Name, "its events are not one after the other in the log: %s is at %d", id, l.events[at].Sequence)
			}
		}
	}
}
