package client

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"google.golang.org/protobuf/proto"

	wabastreamv1 "github.com/wabastream/wabastream/gen/wabastream/v1"
)

// Handler deals with one event. Returning nil says that it is dealt with: the
// checkpoint may pass it. Be idempotent by Event.id, because an event that was
// dealt with shortly before a crash comes again.
//
// With [WithConcurrency] above 1 it is called from several goroutines at once. Its
// context ends when [Client.Handle] is to return. A handler that must not be cut off
// in the middle takes context.WithoutCancel of it: Handle waits.
//
// A panic is not recovered and ends the process, like any other in a goroutine: what
// it left half done is not known here. The checkpoint has not passed the event, so
// it comes again.
type Handler func(ctx context.Context, event *wabastreamv1.Event) error

// Handle subscribes as [Client.Subscribe] does and calls the handler for every
// event. It returns nil once the request's stop is reached and everything is
// handled.
//
// Events of one WABA are handled one after the other, in log order: the next begins
// when the handler has returned nil for the one before. So are events without a WABA
// that have the same business phone, and those that have neither. Different WABAs
// wait for each other only for a free handler ([WithConcurrency]) and where one event
// is so far behind the others that the stream is held up ([WithWindow]).
//
// With [WithCheckpoint] every event is handled at least once across restarts, unless
// the server removed it: that is told.
//
// Handle returns an error
//
//   - when a handler does, after the attempts of [WithRetry], wrapped with the
//     event's id. The contexts of the other handlers end, and none is begun;
//   - when ctx ends: its error. The handlers' contexts end, and none is begun;
//   - when the subscription ends for good, see the package's text, or meets a
//     *[GapError] without [WithGapHandler]. What was received before is still
//     handled, as long as ctx lasts;
//   - when the checkpoint cannot be loaded, could not be saved for a minute, or not
//     at the end;
//   - when an option cannot work, before anything else.
//
// It returns when every handler has, and leaves no goroutine behind.
func (c *Client) Handle(ctx context.Context, request *wabastreamv1.SubscribeRequest, handler Handler, opts ...HandleOption) error {
	o := defaultHandleOptions()
	for _, opt := range opts {
		opt.applyHandle(&o)
	}
	if err := o.validate(); err != nil {
		return err
	}
	if handler == nil {
		return errors.New("handler is nil")
	}
	saved, err := o.checkpoint.Load(ctx)
	if err != nil {
		return fmt.Errorf("load checkpoint: %w", err)
	}
	h := newHandling(c, handler, &o, saved)
	return h.finish(ctx, h.run(ctx, h.requestAfter(request, saved)))
}

// handling is one call of Handle. Its caller's goroutine receives, one for each
// lane that has events handles them, and one saves.
type handling struct {
	client  *Client
	handler Handler
	options *handleOptions

	watermark *watermark
	lanes     *lanes
	saver     *saver
	save      func()        // begins to save; only the first call counts
	slots     chan struct{} // has a token for each handler that runs

	stop    context.CancelFunc // makes everything end early
	failing sync.Once
	failure error // why stop was called; read when nothing runs any more
}

func newHandling(c *Client, handler Handler, o *handleOptions, saved string) *handling {
	h := &handling{
		client:    c,
		handler:   handler,
		options:   o,
		watermark: newWatermark(o.window, saved),
		slots:     make(chan struct{}, o.concurrency),
	}
	h.lanes = newLanes(h.handle)
	h.saver = &saver{
		checkpoint: o.checkpoint,
		watermark:  h.watermark,
		interval:   o.saveInterval,
		logger:     c.logger,
		saved:      saved,
	}
	return h
}

// requestAfter returns the request, made to begin after the saved cursor if there
// is one.
func (h *handling) requestAfter(request *wabastreamv1.SubscribeRequest, saved string) *wabastreamv1.SubscribeRequest {
	if request == nil {
		request = &wabastreamv1.SubscribeRequest{}
	}
	request = proto.CloneOf(request)
	if saved != "" {
		request.Start = &wabastreamv1.SubscribeRequest_AfterCursor{AfterCursor: saved}
	}
	if h.options.onGap != nil {
		request.ExpiredCursorPolicy = wabastreamv1.ExpiredCursorPolicy_EXPIRED_CURSOR_POLICY_CONTINUE_WITH_GAP
	}
	return request
}

// run receives and handles until there is nothing more to do or something fails.
// When it returns, or an observer panics out of it, nothing runs any more.
func (h *handling) run(parent context.Context, request *wabastreamv1.SubscribeRequest) error {
	ctx, stop := context.WithCancel(parent)
	h.stop = stop
	var saving sync.WaitGroup
	h.save = sync.OnceFunc(func() {
		h.saver.begin(ctx)
		saving.Go(func() {
			if err := h.saver.run(ctx); err != nil {
				h.fail(err)
			}
		})
	})
	defer saving.Wait()
	defer h.lanes.wait()
	defer stop()

	err := h.receive(ctx, request)
	h.lanes.wait()
	return err
}

// receive takes events in until the subscription ends.
func (h *handling) receive(ctx context.Context, request *wabastreamv1.SubscribeRequest) error {
	for event, err := range h.client.subscribe(ctx, request, h.observe) {
		var gap *GapError
		switch {
		case err == nil:
			err = h.takeEvent(ctx, event)
		case errors.As(err, &gap):
			err = h.takeGap(ctx, gap)
		}
		if err != nil {
			return h.explain(err)
		}
	}
	return nil
}

func (h *handling) takeEvent(ctx context.Context, event *wabastreamv1.Event) error {
	if event.GetCursor() == "" {
		return violation("event %s has no cursor", event.GetId())
	}
	e, err := h.watermark.add(ctx, event)
	if err != nil {
		return err
	}
	h.lanes.put(ctx, h.laneOf(event), e)
	return nil
}

// takeGap calls the gap handler between the events before the gap, which are all
// handled by then, and those after it.
func (h *handling) takeGap(ctx context.Context, gap *GapError) error {
	if h.options.onGap == nil {
		return gap
	}
	h.lanes.wait()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err := h.options.onGap(ctx, gap); err != nil {
		return fmt.Errorf("handle the gap after cursor %s: %w", gap.From, err)
	}
	return nil
}

// observe learns how far the stream has come.
func (h *handling) observe(n Notice) {
	if n.Err == nil {
		h.watermark.receivedTo(n.Cursor)
		h.save()
	}
	h.options.subscribe.observe(n)
}

// explain says what to do about a checkpoint that the server does not resume from.
func (h *handling) explain(err error) error {
	var refused *Error
	if _, none := h.options.checkpoint.(noCheckpoint); none || !errors.As(err, &refused) {
		return err
	}
	switch refused.Reason {
	case ReasonCursorExpired:
		return fmt.Errorf("resume after the checkpoint: %w (events are lost: go on with what is left by WithGapHandler, or save the error's earliest_cursor as the checkpoint)", err)
	case ReasonCursorLogMismatch, ReasonCursorAheadOfLog, ReasonCursorMalformed:
		return fmt.Errorf("resume after the checkpoint: %w (it is not of this server's log: connect to the right one, or remove the checkpoint to start as the request says)", err)
	default:
		return err
	}
}

// fail ends everything on account of err. The first counts.
func (h *handling) fail(err error) {
	h.failing.Do(func() {
		h.failure = err
		h.stop()
	})
}

// finish saves for the last time and returns Handle's error. err is what the
// subscription ended with.
func (h *handling) finish(ctx context.Context, err error) error {
	switch {
	case h.failure != nil:
		err = h.failure
	case err == nil && !h.watermark.idle():
		err = ctx.Err() // it ended after the stop was reached
	}
	if saveErr := h.saver.save(ctx); saveErr != nil {
		h.client.logger.WarnContext(ctx, "checkpoint not saved; events will come again", "error", saveErr)
		return errors.Join(err, saveErr)
	}
	return err
}
