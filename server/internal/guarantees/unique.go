package guarantees

// Unique checks that no event arrives twice on one stream, and that none is in the
// log twice. It takes for granted that the recording is shorter than the time in
// which duplicates are recognised. It counts events received.
func Unique(h *History) (checked int, err error) {
	f := &findings{name: "unique"}
	for i := range h.Streams {
		s := &h.Streams[i]
		seen := newSeen()
		for j := range s.Frames {
			for k := range s.Frames[j].Events {
				f.checked++
				seen.add(f, s.at(j), &s.Frames[j].Events[k])
			}
		}
	}
	seen, events := newSeen(), newLedger(h).events
	for i := range events {
		seen.add(f, "the log", &events[i])
	}
	return f.result()
}

// seen is what came before.
type seen struct {
	sequences map[uint64]*Receipt
	ids       map[string]*Receipt
}

func newSeen() seen {
	return seen{make(map[uint64]*Receipt), make(map[string]*Receipt)}
}

func (s seen) add(f *findings, where string, r *Receipt) {
	if before := s.sequences[r.Sequence]; before != nil {
		f.breakAt(where, "%v is there a second time, first as %v", r, before)
	} else if before := s.ids[r.ID]; before != nil {
		f.breakAt(where, "%v is there a second time, first at %d", r, before.Sequence)
	}
	s.sequences[r.Sequence], s.ids[r.ID] = r, r
}
