package client

import (
	"context"
	"errors"
	"iter"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	wabastreamv1 "github.com/wabastream/wabastream/gen/wabastream/v1"
)

// Accounts returns the generated client of AccountService on the same connection: how
// accounts and their numbers stand now, and who opted out. Its WatchAccounts is one bare
// stream; [Client.WatchAccounts] goes on after it.
func (c *Client) Accounts() wabastreamv1.AccountServiceClient {
	return wabastreamv1.NewAccountServiceClient(c.conn)
}

// WatchAccounts returns the frames of a watch; nil asks for every account, as they are
// and what changes. It lasts until the loop is left or an error, which is an [*Error],
// [ErrClosed] or the context's.
//
// After a lost stream it goes on by itself, behind the last frame with a cursor. A
// snapshot that was cut off, and one that is due because the caller may see more or less
// than before (GRANT_CHANGED), begins anew: what is in it replaces what there was.
func (c *Client) WatchAccounts(ctx context.Context, request *wabastreamv1.WatchAccountsRequest) iter.Seq2[*wabastreamv1.WatchAccountsResponse, error] {
	if request == nil {
		request = &wabastreamv1.WatchAccountsRequest{}
	}
	request = proto.CloneOf(request)
	return func(yield func(*wabastreamv1.WatchAccountsResponse, error) bool) {
		w := &watch{client: c, yield: yield, request: proto.CloneOf(request), backoff: newBackoff(c.retry)}
		if err := w.run(ctx); err != nil {
			yield(nil, err)
		}
	}
}

// watch is one range over WatchAccounts' result. It belongs to the loop's goroutine.
type watch struct {
	client  *Client
	yield   func(*wabastreamv1.WatchAccountsResponse, error) bool
	request *wabastreamv1.WatchAccountsRequest // what the next stream asks for
	backoff backoff
	// established says that a frame came, on any stream, accepted that one came on the
	// stream at hand.
	established, accepted bool
	announced             time.Duration // a closing frame asks to stay away that long
}

// run opens stream after stream. It returns what to yield last, or nil.
func (w *watch) run(ctx context.Context) error {
	for {
		err := w.stream(ctx)
		switch {
		case errors.Is(err, errLeft):
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case w.client.isClosed():
			return ErrClosed
		}
		lost, ok := errors.AsType[*Error](err)
		if !ok || !w.retryable(lost) {
			return err
		}
		delay := min(max(lost.retryDelay, w.announced), maxServerDelay) + w.backoff.next()
		w.client.logger.WarnContext(ctx, "watch ended; opening it anew", "error", lost, "delay", delay)
		if err := w.client.pause(ctx, delay); err != nil {
			return err
		}
	}
}

func (w *watch) retryable(lost *Error) bool {
	switch {
	case lost.Reason == ReasonGrantChanged:
		w.request.Start = nil
		return true
	case lost.Code == codes.Unavailable:
		return w.established || lost.Reason != ReasonNoTLS
	case lost.Code == codes.ResourceExhausted:
		return w.established && lost.Reason == ReasonStreamLimit
	case lost.Code == codes.Unauthenticated:
		return w.accepted && lost.Reason == ReasonCredentialsExpired
	}
	return w.established && lost.Reason == "" && lost.Code != codes.Unimplemented // the transport said it
}

// stream opens one stream and yields its frames until it ends. It never returns nil.
func (w *watch) stream(parent context.Context) error {
	ctx, cancel := context.WithCancelCause(parent)
	defer cancel(nil)
	w.accepted, w.announced = false, 0
	interval := defaultInterval
	if asked := w.request.GetHeartbeatInterval().AsDuration(); asked > 0 {
		interval = asked
	}
	patience := max(missedHeartbeats*interval, minOpening)
	watchdog := time.AfterFunc(patience, func() { cancel(errSilent) })
	defer watchdog.Stop()
	stream, err := w.client.Accounts().WatchAccounts(ctx, w.request)
	if err != nil {
		return errorOf(err)
	}
	for {
		watchdog.Reset(patience)
		frame, err := stream.Recv()
		watchdog.Stop() // what follows is the loop's time, not the stream's
		if errors.Is(context.Cause(ctx), errSilent) {
			return &Error{Code: codes.Unavailable, Reason: ReasonStreamSilent, Message: "nothing was received for " + patience.String()}
		}
		if err != nil {
			return errorOf(err)
		}
		if err := w.take(frame); err != nil {
			return err
		}
	}
}

func (w *watch) take(frame *wabastreamv1.WatchAccountsResponse) error {
	w.established, w.accepted = true, true
	w.backoff.reset()
	w.announced = frame.GetClosing().GetReconnectDelay().AsDuration()
	if !w.yield(frame, nil) {
		return errLeft
	}
	if cursor := frame.GetCursor(); cursor != "" {
		w.request.Start = &wabastreamv1.WatchAccountsRequest_AfterCursor{AfterCursor: cursor}
	}
	return nil
}
