package guarantees

import wabastreamv1 "github.com/wabastream/wabastream/gen/wabastream/v1"

// Filtered checks that nothing is sent that was not asked for: by the filters, by
// the start and the stop, in batches of more events than asked for, with raw JSON
// that was not. It counts events received under a filter.
func Filtered(h *History) (checked int, err error) {
	f := &findings{name: "filtered"}
	for i := range h.Streams {
		s := &h.Streams[i]
		stop, bounded := stopOf(s)
		for j := range s.Frames {
			frame := &s.Frames[j]
			if most := s.Request.GetMaxBatchEvents(); most > 0 && len(frame.Events) > int(most) {
				f.breakAt(s.at(j), "it holds %d events, at most %d were asked for", len(frame.Events), most)
			}
			for k := range frame.Events {
				e := &frame.Events[k]
				if len(s.Request.GetFilters()) > 0 {
					f.checked++
				}
				switch {
				case !selects(s.Request, e):
					f.breakAt(s.at(j), "%v was not asked for", e)
				case bounded && e.Sequence > stop:
					f.breakAt(s.at(j), "%v is after the stop at %d", e, stop)
				case e.Raw && !s.Request.GetIncludeRawJson():
					f.breakAt(s.at(j), "%v came with raw JSON, which was not asked for", e)
				}
			}
		}
	}
	return f.result()
}

// stopOf returns the sequence that the stream was to end at, if it is known.
func stopOf(s *Stream) (stop uint64, bounded bool) {
	cursor := ""
	switch asked := s.Request.GetStop().(type) {
	case *wabastreamv1.SubscribeRequest_StopCursor:
		cursor = asked.StopCursor
	case *wabastreamv1.SubscribeRequest_StopAtHead:
		if len(s.Frames) > 0 {
			cursor = s.Frames[0].Ready.GetHeadCursor()
		}
	}
	p, err := placeOf(cursor)
	return p.sequence, err == nil
}
