package stream

import (
	"context"
	"reflect"

	"github.com/wabastream/wabastream/server/internal/eventlog"
)

// regrant goes on by what the caller may see now. A caller that is let in no more, and
// a request that names what is not granted any more, end the stream.
//
// It is called between two steps, when everything before the runner's position was
// sent or did not match. A client that does not read may hold up a step for as long as
// it likes, as gRPC gives nobody the means to take back what it was handed: the stream
// then ends, or goes on differently, as soon as that is taken or the connection breaks.
// Nothing else is handed over before that.
func (r *runner) regrant(ctx context.Context, lease *lease) error {
	caller, err := lease.caller()
	if err != nil {
		return ending{status: err}
	}
	if reflect.DeepEqual(caller.Grant, r.scope.grant) {
		return nil
	}
	next, err := permitFor(caller, r.requested, r.wantsRaw)
	if err != nil {
		return ending{status: err}
	}
	if reflect.DeepEqual(next.matcher.Filters(), r.matcher.Filters()) {
		next.matcher = r.matcher
	} else {
		bounds, err := r.service.log.Bounds(ctx)
		if err != nil {
			return r.service.logError(err)
		}
		r.reselect(next.matcher, bounds)
	}
	r.permit = next
	r.rejoin()
	return nil
}

// reselect has the runner go on by another matcher from the cursor that its client
// has: what was added arrives from there on, and none of it was sent.
func (r *runner) reselect(matcher *eventlog.Matcher, bounds eventlog.Bounds) {
	if r.thinned.holds(r.settled) {
		r.thinned = heldOf(bounds, matcher)
	}
	r.position = r.settled
	r.selection = selectionOf(matcher)
	r.complete = bounds.StartFor(matcher).Sequence
}

// rejoin has the feed know what concerns the runner now. It joins before it leaves, so
// that the feed does not take it for the last of its followers.
func (r *runner) rejoin() {
	feed, former := r.service.feed, r.waiter
	r.waiter = feed.join(r.matcher, r.raw(), r.bounds.Head)
	feed.leave(former)
}
