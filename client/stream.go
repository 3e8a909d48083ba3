package client

import (
	"context"
	"errors"
	"io"
	"time"

	"google.golang.org/grpc/codes"

	wabastreamv1 "github.com/wabastream/wabastream/gen/wabastream/v1"
)

const (
	defaultInterval = 15 * time.Second
	// missedHeartbeats is how many intervals of silence mean a dead stream: one
	// may be lost to a busy machine, three are not.
	missedHeartbeats = 3
	// minOpening is the least time for the first frame, whatever the interval: a
	// server may hold a call for ten seconds until it has caught up with the cursor.
	minOpening = 15 * time.Second
)

// errSilent is the cause that the watchdog cancels a stream with.
var errSilent = errors.New("stream is silent")

// stream opens one stream and takes its frames until it ends. It never returns
// nil.
func (s *subscription) stream(parent context.Context) error {
	ctx, cancel := context.WithCancelCause(parent)
	defer cancel(nil)
	s.begin()
	watchdog := time.AfterFunc(s.patience(), func() { cancel(errSilent) })
	defer watchdog.Stop()

	stream, err := s.client.api.Subscribe(ctx, s.request)
	if err != nil {
		return s.ended(ctx, err)
	}
	for {
		watchdog.Reset(s.patience())
		frame, err := stream.Recv()
		watchdog.Stop() // what follows is the loop's time, not the stream's
		if err != nil {
			return s.ended(ctx, err)
		}
		if err := s.take(parent, frame); err != nil {
			return err
		}
	}
}

func (s *subscription) begin() {
	s.accepted, s.planned, s.announced = false, false, 0
	s.interval = defaultInterval
	if asked := s.request.GetHeartbeatInterval().AsDuration(); asked > 0 {
		s.interval = asked
	}
}

// patience is how long to wait for the next frame.
func (s *subscription) patience() time.Duration {
	limit := missedHeartbeats * s.interval
	if !s.accepted {
		limit = max(limit, minOpening)
	}
	return limit
}

// ended translates the error that a stream ended with.
func (s *subscription) ended(ctx context.Context, err error) error {
	switch {
	case errors.Is(context.Cause(ctx), errSilent):
		return &Error{
			Code:    codes.Unavailable,
			Reason:  ReasonStreamSilent,
			Message: "nothing was received for " + s.patience().String(),
		}
	case !errors.Is(err, io.EOF):
		return errorOf(err)
	case !s.accepted:
		return violation("the stream ended without a frame")
	case s.request.GetStop() != nil:
		return errDone
	default:
		return &Error{
			Code:    codes.Unavailable,
			Reason:  ReasonStreamEnded,
			Message: "the stream ended though it was to go on",
		}
	}
}

// take deals with one frame. Frames of kinds that are yet to be invented only
// move the cursor.
func (s *subscription) take(ctx context.Context, frame *wabastreamv1.SubscribeResponse) error {
	if frame.GetCursor() == "" {
		return violation("a frame has no cursor")
	}
	if err := s.takeContent(ctx, frame); err != nil {
		return err
	}
	s.resumeAfter(frame.GetCursor())
	s.observe(Notice{Cursor: s.cursor, Frame: frame})
	return nil
}

func (s *subscription) takeContent(ctx context.Context, frame *wabastreamv1.SubscribeResponse) error {
	if ready := frame.GetReady(); ready != nil {
		return s.takeReady(ctx, ready)
	}
	if !s.accepted {
		return violation("the first frame is not ready")
	}
	s.backoff.reset()
	switch f := frame.GetFrame().(type) {
	case *wabastreamv1.SubscribeResponse_Batch:
		return s.takeEvents(ctx, f.Batch.GetEvents())
	case *wabastreamv1.SubscribeResponse_Gap:
		return s.takeGap(f.Gap)
	case *wabastreamv1.SubscribeResponse_Closing:
		s.planned, s.announced = true, f.Closing.GetReconnectDelay().AsDuration()
	}
	return nil
}

func (s *subscription) takeReady(ctx context.Context, ready *wabastreamv1.Ready) error {
	if err := s.pinStop(ready); err != nil {
		return err
	}
	if !s.established {
		for _, warning := range ready.GetWarnings() {
			s.client.logger.WarnContext(ctx, "server warns", "warning", warning)
		}
	}
	s.established, s.accepted = true, true
	if granted := ready.GetHeartbeatInterval().AsDuration(); granted > 0 {
		s.interval = granted
	}
	return nil
}

// pinStop turns "the head" into the head of the first stream. Otherwise each new
// stream would move it, and a busy log would never be read to its end.
func (s *subscription) pinStop(ready *wabastreamv1.Ready) error {
	if !s.request.GetStopAtHead() {
		return nil
	}
	if ready.GetHeadCursor() == "" {
		return violation("ready does not name the head")
	}
	s.request.Stop = &wabastreamv1.SubscribeRequest_StopCursor{StopCursor: ready.GetHeadCursor()}
	return nil
}

func (s *subscription) takeEvents(ctx context.Context, events []*wabastreamv1.Event) error {
	for _, event := range events {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if event.GetSequence() <= s.sequence {
			return violation("event with sequence %d came after sequence %d", event.GetSequence(), s.sequence)
		}
		s.sequence = event.GetSequence()
		if !s.yield(event, nil) {
			return errLeft
		}
	}
	return nil
}

func (s *subscription) takeGap(gap *wabastreamv1.Gap) error {
	if !s.yield(nil, &GapError{From: gap.GetFromCursor(), To: gap.GetToCursor(), Types: gap.GetTypes()}) {
		return errLeft
	}
	return nil
}

// resumeAfter makes the next stream begin after the cursor. From the first frame
// on, that replaces whatever start the request had.
func (s *subscription) resumeAfter(cursor string) {
	s.cursor = cursor
	s.request.Start = &wabastreamv1.SubscribeRequest_AfterCursor{AfterCursor: cursor}
}
