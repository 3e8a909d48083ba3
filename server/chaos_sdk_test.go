package main

import (
	"context"
	"errors"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/protobuf/proto"

	"github.com/wabastream/wabastream/client"
	wabastreamv1 "github.com/wabastream/wabastream/gen/wabastream/v1"
	"github.com/wabastream/wabastream/server/internal/guarantees"
)

// quickConnect connects again as soon as a server is back: a test has not the time
// that a production has.
func quickConnect() grpc.ConnectParams {
	return grpc.ConnectParams{
		Backoff:           backoff.Config{BaseDelay: 5 * time.Millisecond, Multiplier: 1, MaxDelay: 20 * time.Millisecond},
		MinConnectTimeout: 5 * time.Second,
	}
}

// subscribe reads through the SDK, and again after an expired cursor. Both are
// recorded: each of its streams, and what the loop is given, which has to look like
// one stream that was never lost.
func (r *reader) subscribe(ctx context.Context) {
	c, err := client.New(r.link.addr(), client.WithBackoff(5*time.Millisecond, 50*time.Millisecond),
		client.WithDialOptions(grpc.WithStreamInterceptor(r.intercept), grpc.WithConnectParams(quickConnect())))
	if err != nil {
		r.t.Errorf("make a client: %v", err)
		return
	}
	defer c.Close()
	request := proto.CloneOf(r.request)
	for !r.done && ctx.Err() == nil {
		var expired *client.Error
		if err := r.loop(ctx, c, request); errors.As(err, &expired) && expired.Reason == client.ReasonCursorExpired {
			request.Start = after(expired.Metadata["earliest_cursor"])
		} else if !r.done {
			pause(ctx, 10*time.Millisecond) // the stop was reached, or the records tell what is wrong
		}
	}
}

// loop ranges over one subscription.
func (r *reader) loop(parent context.Context, c *client.Client, request *wabastreamv1.SubscribeRequest) error {
	ctx, leave := context.WithCancel(parent)
	defer leave()
	record := r.begin(" as one")
	record.Joined, record.Request = true, proto.CloneOf(request)
	observer := client.WithObserver(func(n client.Notice) {
		if n.Frame == nil {
			return
		}
		frame := guarantees.FrameOf(time.Time{}, time.Now(), n.Frame)
		frame.Events = nil // the loop had them
		record.Frames = append(record.Frames, frame)
		if r.done = r.goal.reached(n.Cursor); r.done {
			leave()
		}
	})
	for event, err := range c.Subscribe(ctx, request, observer) {
		if gap := (*client.GapError)(nil); errors.As(err, &gap) {
			continue // the observer has it
		}
		if err != nil {
			record.End = endOf(time.Time{}, err)
			return err
		}
		record.Frames = append(record.Frames, guarantees.Frame{
			Kind: guarantees.KindBatch, Received: time.Now(), Cursor: event.GetCursor(),
			Events: guarantees.ReceiptsOf([]*wabastreamv1.Event{event}),
		})
	}
	record.End.OK = true
	return nil
}
