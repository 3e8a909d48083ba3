package stream

import (
	"context"

	wabastreamv1 "github.com/wabastream/wabastream/gen/wabastream/v1"
	"github.com/wabastream/wabastream/server/internal/eventlog"
)

// passGap tells of events that retention removed before they were sent. Those
// that went with everything around them are passed over. Where only some types
// are gone the position stays: what is still held comes next.
func (r *runner) passGap(ctx context.Context) error {
	bounds, err := r.service.log.Bounds(ctx)
	if err != nil {
		return r.service.logError(err)
	}
	if !r.skipGaps {
		return expired(r.position, bounds, r.matcher)
	}
	if r.position.Sequence >= bounds.Start.Sequence {
		return r.tellTypes(bounds)
	}
	from := r.position
	r.position = bounds.Start
	return r.sendGap(from, bounds.Start, nil)
}

// tellWhileHeld is called after a page was read and before it is sent. Where the
// page may be without events of some types because that was told, retention may
// have removed those of another type meanwhile.
func (r *runner) tellWhileHeld(ctx context.Context) error {
	if r.thinned.follows || r.position.Sequence >= r.thinned.upTo {
		return nil
	}
	bounds, err := r.service.log.Bounds(ctx)
	if err != nil {
		return r.service.logError(err)
	}
	return r.tellTypes(bounds)
}

// tellTypes tells of types that are gone after the position, unless they have
// been told of.
func (r *runner) tellTypes(bounds eventlog.Bounds) error {
	to, paths := r.position, []string(nil)
	for _, t := range typeTrimsAfter(r.position, bounds, r.matcher) {
		if t.UpTo.Sequence <= r.told[t.Path] {
			continue
		}
		paths = append(paths, t.Path)
		if t.UpTo.Sequence > to.Sequence {
			to = t.UpTo
		}
	}
	if len(paths) == 0 {
		return nil
	}
	if r.told == nil {
		r.told = make(map[string]eventlog.Sequence)
	}
	for _, path := range paths {
		r.told[path] = to.Sequence
	}
	r.thinned = thinned{upTo: max(r.thinned.upTo, to.Sequence)}
	return r.sendGap(r.position, to, paths)
}

func (r *runner) sendGap(from, to eventlog.Position, types []string) error {
	gap := &wabastreamv1.Gap{FromCursor: cursorOf(from), ToCursor: cursorOf(to), Types: types}
	return r.send(&wabastreamv1.SubscribeResponse{Frame: &wabastreamv1.SubscribeResponse_Gap{Gap: gap}})
}
