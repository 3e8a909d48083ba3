package client

import (
	"context"
	"errors"
	"iter"
	"time"

	"google.golang.org/protobuf/proto"

	wabastreamv1 "github.com/wabastream/wabastream/gen/wabastream/v1"
)

// SubscribeOption configures one subscription, of [Client.Subscribe] or of
// [Client.Handle].
type SubscribeOption interface {
	HandleOption
	applySubscribe(*subscribeOptions)
}

type subscribeOptions struct{ observe func(Notice) }

func defaultSubscribeOptions() subscribeOptions {
	return subscribeOptions{observe: func(Notice) {}}
}

type subscribeOptionFunc func(*subscribeOptions)

func (f subscribeOptionFunc) applySubscribe(o *subscribeOptions) { f(o) }

func (f subscribeOptionFunc) applyHandle(o *handleOptions) { f(&o.subscribe) }

// Notice tells how a subscription fares: either a frame was received, or a
// stream was lost and will be opened anew.
type Notice struct {
	// Cursor is a place to resume from: every event up to it was yielded and the
	// loop has come back for more. Empty before the first frame. Under
	// [Client.Handle] such events may still be waiting for their handlers.
	Cursor string
	// Frame is what was received, not to be changed; nil when a stream was lost.
	// A batch is reported once the loop has taken all its events.
	Frame *wabastreamv1.SubscribeResponse
	// Err says why the stream was lost, an *[Error]; nil with a frame.
	Err error
	// Delay is how long the client waits before the next attempt, with Err.
	Delay time.Duration
}

// WithObserver calls observe for every frame and every lost stream. The calls
// come from the goroutine of the loop, between two steps, so they need no lock
// against it and hold it up. For metrics, for showing state to people, and for
// saving cursors that move while nothing matches.
func WithObserver(observe func(Notice)) SubscribeOption {
	return subscribeOptionFunc(func(o *subscribeOptions) { o.observe = observe })
}

// Subscribe returns the events that the request asks for; nil asks for every
// event from now on. The request is copied and never changed.
//
// Nothing happens until the result is ranged over, and each range is a
// subscription of its own that begins as the request says. It lasts until the
// request's stop is reached, which ends it without an error, until the loop is
// left, or until an error that is not a *[GapError]: see the package's text for
// which there are. With an error the event is nil.
//
// A stream that is silent for three heartbeat intervals while the loop waits is
// given up and opened anew. Time that the loop spends on an event does not count.
// Leaving the loop releases everything; no goroutine stays behind.
func (c *Client) Subscribe(ctx context.Context, request *wabastreamv1.SubscribeRequest, opts ...SubscribeOption) iter.Seq2[*wabastreamv1.Event, error] {
	o := defaultSubscribeOptions()
	for _, opt := range opts {
		opt.applySubscribe(&o)
	}
	return c.subscribe(ctx, request, o.observe)
}

func (c *Client) subscribe(ctx context.Context, request *wabastreamv1.SubscribeRequest, observe func(Notice)) iter.Seq2[*wabastreamv1.Event, error] {
	if request == nil {
		request = &wabastreamv1.SubscribeRequest{}
	}
	request = proto.CloneOf(request)
	return func(yield func(*wabastreamv1.Event, error) bool) {
		s := &subscription{
			client:  c,
			observe: observe,
			yield:   yield,
			request: proto.CloneOf(request),
			backoff: newBackoff(c.retry),
		}
		if err := s.run(ctx); err != nil {
			yield(nil, err)
		}
	}
}

// errLeft says that the loop was left: nothing may be yielded any more.
var errLeft = errors.New("loop was left")

// errDone says that the request's stop was reached.
var errDone = errors.New("stop was reached")

// subscription is one range over Subscribe's result: a row of streams, each
// resuming where the one before was lost. It belongs to the loop's goroutine.
type subscription struct {
	client  *Client
	observe func(Notice)
	yield   func(*wabastreamv1.Event, error) bool
	// request is what the next stream asks for; it follows the frames.
	request *wabastreamv1.SubscribeRequest
	backoff backoff

	cursor      string // of the last frame
	sequence    uint64 // of the last event
	established bool   // a first frame arrived, on any stream

	// Of the stream at hand:
	accepted  bool          // its first frame arrived
	announced time.Duration // its closing frame asks to stay away that long
	planned   bool          // it sent a closing frame
	interval  time.Duration // its heartbeat interval
}

// run opens stream after stream. It returns what to yield last, or nil.
func (s *subscription) run(ctx context.Context) error {
	for {
		err := s.stream(ctx)
		switch {
		case errors.Is(err, errLeft), errors.Is(err, errDone):
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case s.client.isClosed():
			return ErrClosed
		}
		var lost *Error
		if !errors.As(err, &lost) || !s.retryable(lost) {
			return err
		}
		delay := s.delayAfter(lost)
		s.reportLost(ctx, lost, delay)
		if err := s.client.pause(ctx, delay); err != nil {
			return err
		}
	}
}

func (s *subscription) reportLost(ctx context.Context, lost *Error, delay time.Duration) {
	log := s.client.logger.WarnContext
	if s.planned {
		log = s.client.logger.InfoContext
	}
	log(ctx, "stream ended; opening it anew", "error", lost, "delay", delay)
	s.observe(Notice{Cursor: s.cursor, Err: lost, Delay: delay})
}
