package client

import (
	"context"
	"fmt"

	wabastreamv1 "github.com/wabastream/wabastream/gen/wabastream/v1"
)

// laneOf names the events that an event must not overtake. With one handler at a
// time the order is the log's, so it is all of them.
func (h *handling) laneOf(event *wabastreamv1.Event) lane {
	switch {
	case h.options.concurrency == 1:
		return lane{}
	case event.GetWabaId() != "":
		return lane{waba: event.GetWabaId()}
	default:
		return lane{phone: event.GetBusinessPhone()}
	}
}

// handle calls the handler until it succeeds or everything ends. Between two
// attempts the slot is free for others.
func (h *handling) handle(ctx context.Context, e *entry) {
	wait := newBackoff(h.options.retry.delay)
	for attempt := 1; ; attempt++ {
		err := h.call(ctx, e.event)
		switch {
		case err == nil:
			h.watermark.handled(e)
			return
		case ctx.Err() != nil:
			return
		case attempt >= h.options.retry.attempts:
			h.fail(fmt.Errorf("handle event %s: %w", e.event.GetId(), err))
			return
		}
		delay := wait.next()
		// The error is not logged: it may quote the event.
		h.client.logger.WarnContext(ctx, "handler failed; calling it again",
			"event_id", e.event.GetId(), "attempt", attempt, "delay", delay)
		if sleep(ctx, delay) != nil {
			return
		}
	}
}

// call calls the handler once, when a slot is free, unless everything ends.
func (h *handling) call(ctx context.Context, event *wabastreamv1.Event) error {
	h.slots <- struct{}{}
	returned := false
	defer func() {
		<-h.slots
		if !returned { // this goroutine ends, and its lane would wait for ever
			h.fail(fmt.Errorf("handle event %s: the handler did not return but ended its goroutine, as t.FailNow does", event.GetId()))
		}
	}()
	err := ctx.Err()
	if err == nil {
		err = h.handler(ctx, event)
	}
	returned = true
	return err
}
