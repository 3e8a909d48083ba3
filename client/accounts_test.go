package client_test

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/wabastream/wabastream/client"
	wabastreamv1 "github.com/wabastream/wabastream/gen/wabastream/v1"
)

// watched plays one watch after the other.
type watched struct {
	wabastreamv1.UnimplementedAccountServiceServer
	wabastreamv1.UnimplementedEventServiceServer
	scripts []func(stream grpc.ServerStreamingServer[wabastreamv1.WatchAccountsResponse]) error

	mu       sync.Mutex // guards requests
	requests []*wabastreamv1.WatchAccountsRequest
}

func (w *watched) WatchAccounts(req *wabastreamv1.WatchAccountsRequest, stream grpc.ServerStreamingServer[wabastreamv1.WatchAccountsResponse]) error {
	w.mu.Lock()
	n := len(w.requests)
	w.requests = append(w.requests, proto.CloneOf(req))
	w.mu.Unlock()
	if n >= len(w.scripts) {
		return refusal(codes.FailedPrecondition, "SCRIPT_OVER")
	}
	return w.scripts[n](stream)
}

// watchFrames sends frames with cursors, and ends.
func watchFrames(end error, cursors ...string) func(grpc.ServerStreamingServer[wabastreamv1.WatchAccountsResponse]) error {
	return func(stream grpc.ServerStreamingServer[wabastreamv1.WatchAccountsResponse]) error {
		for _, cursor := range cursors {
			if err := stream.Send(&wabastreamv1.WatchAccountsResponse{Cursor: cursor}); err != nil {
				return err
			}
		}
		return end
	}
}

// A watch goes on behind the last cursor after everything that may pass, begins anew
// where its caller may see something else, and ends at what will not change.
func TestWatchAccounts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		silent := func(stream grpc.ServerStreamingServer[wabastreamv1.WatchAccountsResponse]) error {
			<-stream.Context().Done()
			return stream.Context().Err()
		}
		w := &watched{scripts: []func(grpc.ServerStreamingServer[wabastreamv1.WatchAccountsResponse]) error{
			watchFrames(unavailable(), "", ""),
			watchFrames(unavailable(), "", "c1", "c2"),
			silent,
			watchFrames(refusal(codes.Aborted, client.ReasonGrantChanged), "c3"),
			watchFrames(retryIn(time.Second), "", "c4"),
			watchFrames(refusal(codes.OutOfRange, client.ReasonCursorExpired), "c5"),
		}}
		c := connect(t, w)
		var cursors []string
		var last error
		for frame, err := range c.WatchAccounts(t.Context(), &wabastreamv1.WatchAccountsRequest{WabaIds: []string{"1"}, HeartbeatInterval: durationpb.New(time.Second)}) {
			if last = err; err == nil {
				cursors = append(cursors, frame.GetCursor())
			}
		}
		require.ErrorIs(t, last, &client.Error{Reason: client.ReasonCursorExpired})
		require.Equal(t, []string{"", "", "", "c1", "c2", "c3", "", "c4", "c5"}, cursors)
		var after []string
		for _, request := range w.requests {
			require.Equal(t, []string{"1"}, request.GetWabaIds())
			after = append(after, request.GetAfterCursor())
		}
		require.Equal(t, []string{"", "", "c2", "c2", "", "c4"}, after)
	})
}

// A watch that is left, whose client is closed, or whose request is wrong ends at once.
func TestWatchAccountsEnds(t *testing.T) {
	t.Parallel()
	w := &watched{scripts: []func(grpc.ServerStreamingServer[wabastreamv1.WatchAccountsResponse]) error{
		watchFrames(nil, "c1", "c2"), watchFrames(refusal(codes.InvalidArgument, "REQUEST_INVALID")),
	}}
	c := connect(t, w)
	for frame, err := range c.WatchAccounts(t.Context(), nil) {
		require.NoError(t, err)
		require.Equal(t, "c1", frame.GetCursor())
		break
	}
	frames := 0
	for _, err := range c.WatchAccounts(t.Context(), nil) {
		require.ErrorIs(t, err, &client.Error{Reason: "REQUEST_INVALID"})
		frames++
	}
	require.Equal(t, 1, frames)
	require.NoError(t, c.Close())
	for _, err := range c.WatchAccounts(t.Context(), nil) {
		require.ErrorIs(t, err, client.ErrClosed)
	}
}
