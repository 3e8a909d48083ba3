package client_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/wabastream/wabastream/client"
	wabastreamv1 "github.com/wabastream/wabastream/gen/wabastream/v1"
)

func repeat(n int, s script) []script {
	scripts := make([]script, n)
	for i := range scripts {
		scripts[i] = s
	}
	return scripts
}

// waits are the times between streams.
func (f *fake) waits() []time.Duration {
	calls := f.seen()
	waits := make([]time.Duration, len(calls)-1)
	for i := range waits {
		waits[i] = calls[i+1].at.Sub(calls[i].at)
	}
	return waits
}

func TestBackoffGrowsToItsMaximum(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := &fake{scripts: repeat(40, play(unavailable()))}
		c := connect(t, f, client.WithBackoff(time.Second, 8*time.Second))
		_, err := drain(c, nil)
		require.Error(t, err)
		waits, longest := f.waits(), time.Duration(0)
		for i, wait := range waits {
			require.Less(t, wait, min(time.Second<<min(i, 10), 8*time.Second), "wait %d", i)
			longest = max(longest, wait)
		}
		// Of 37 waits drawn from 0 to 8 s, none reaching 4 s would be a chance of 2^-37.
		require.Greater(t, longest, 4*time.Second)
	})
}

func TestBackoffIsDrawnAnew(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := &fake{scripts: repeat(10, play(unavailable()))}
		c := connect(t, f, client.WithBackoff(time.Hour, time.Hour))
		_, err := drain(c, nil)
		require.Error(t, err)
		distinct := map[time.Duration]bool{}
		for _, wait := range f.waits() {
			distinct[wait] = true
		}
		require.Greater(t, len(distinct), 5, "waits without jitter: %v", f.waits())
	})
}

func TestBackoffBeginsAgainAfterAFrame(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		frames  frames
		atMost  time.Duration
		atLeast time.Duration
	}{
		"progress":   {frames: frames{ready("c0"), progress("c0")}, atMost: time.Second},
		"ready only": {frames: frames{ready("c0")}, atMost: time.Hour, atLeast: time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				f := &fake{scripts: append(
					repeat(20, play(unavailable())),
					repeat(20, play(unavailable(), tt.frames...))...,
				)}
				c := connect(t, f, client.WithBackoff(time.Second, time.Hour))
				_, err := drain(c, nil)
				require.Error(t, err)
				longest := time.Duration(0)
				for _, wait := range f.waits()[20:] {
					longest = max(longest, wait)
				}
				require.LessOrEqual(t, longest, tt.atMost)
				require.GreaterOrEqual(t, longest, tt.atLeast)
			})
		})
	}
}

func TestServerSaysHowLongToStayAway(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		first script
		want  time.Duration
	}{
		"closing frame":     {play(unavailable(), ready("c0"), closing("c0", 20*time.Second)), 20 * time.Second},
		"retry info":        {play(retryIn(7 * time.Second)), 7 * time.Second},
		"the longer of two": {play(retryIn(7*time.Second), ready("c0"), closing("c0", 20*time.Second)), 20 * time.Second},
		"at most 5 minutes": {play(retryIn(240 * time.Hour)), 5 * time.Minute},
		"less than nothing": {play(retryIn(-time.Hour)), 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				f, c := serve(t, tt.first, play(unavailable(), ready("c0")))
				_, err := drain(c, nil)
				require.Error(t, err)
				require.GreaterOrEqual(t, f.waits()[0], tt.want)
				require.Less(t, f.waits()[0], tt.want+100*time.Millisecond)
				require.Less(t, f.waits()[1], 200*time.Millisecond, "the delay is for one time only")
			})
		})
	}
}

func TestWatchdogRestartsASilentStream(t *testing.T) {
	t.Parallel()
	short := ready("c0")
	short.GetReady().HeartbeatInterval = durationpb.New(2 * time.Second)
	unsaid := ready("c0")
	unsaid.GetReady().HeartbeatInterval = nil
	for name, tt := range map[string]struct {
		asked  time.Duration
		frames frames
		want   time.Duration
	}{
		"three intervals as granted":             {time.Minute, frames{short}, 6 * time.Second},
		"as asked, when none is granted":         {20 * time.Second, frames{unsaid}, time.Minute},
		"before the first frame, as asked":       {20 * time.Second, nil, time.Minute},
		"before the first frame, by default":     {0, nil, 45 * time.Second},
		"before the first frame, at least 15 s":  {time.Second, nil, 15 * time.Second},
		"measured from the frame before, not on": {0, frames{short, batch(1), progress("c5")}, 6 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				f, c := serve(t, hang(tt.frames...))
				request := &wabastreamv1.SubscribeRequest{}
				if tt.asked > 0 {
					request.HeartbeatInterval = durationpb.New(tt.asked)
				}
				var lost []error
				_, err := drain(c, request, client.WithObserver(func(n client.Notice) {
					if n.Err != nil {
						lost = append(lost, n.Err)
					}
				}))
				require.ErrorIs(t, err, &client.Error{Reason: "SCRIPT_OVER"})
				require.Len(t, lost, 1)
				require.ErrorIs(t, lost[0], &client.Error{Code: codes.Unavailable, Reason: client.ReasonStreamSilent})
				require.GreaterOrEqual(t, f.waits()[0], tt.want)
				require.Less(t, f.waits()[0], tt.want+100*time.Millisecond)
			})
		})
	}
}

func TestWatchdogIsContentWithHeartbeats(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f, c := serve(t, func(_ *wabastreamv1.SubscribeRequest, stream sender) error {
			if err := stream.Send(ready("c0")); err != nil {
				return err
			}
			for range 100 {
				<-time.After(29 * time.Second)
				if err := stream.Send(progress("c0")); err != nil {
					return err
				}
			}
			return nil
		})
		_, err := drain(c, untilHead())
		require.NoError(t, err)
		require.Len(t, f.seen(), 1)
	})
}

func TestWatchdogDoesNotBlameTheStreamForASlowLoop(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f, c := serve(t, play(nil, ready("c0"), batch(1, 2), batch(3), progress("c4"), batch(5)))
		var events []uint64
		for event, err := range c.Subscribe(t.Context(), untilHead(), client.WithObserver(func(client.Notice) {
			<-time.After(time.Hour)
		})) {
			require.NoError(t, err)
			events = append(events, event.GetSequence())
			<-time.After(time.Hour)
		}
		require.Equal(t, []uint64{1, 2, 3, 5}, events)
		require.Len(t, f.seen(), 1)
	})
}

func TestWhatEndsASubscription(t *testing.T) {
	t.Parallel()
	const never, always, afterReady = "never", "always", "once established"
	tests := []struct {
		code    codes.Code
		reason  string
		retried string
	}{
		{codes.Unavailable, "", always},
		{codes.Unavailable, "DRAINING", always},
		{codes.Unavailable, "NODE_BEHIND", always},
		{codes.DeadlineExceeded, "", always},
		{codes.Internal, "", afterReady},
		{codes.Unknown, "", afterReady},
		{codes.Canceled, "", afterReady},
		{codes.Aborted, "", afterReady},
		{codes.ResourceExhausted, "STREAM_LIMIT", afterReady},
		{codes.Unauthenticated, "CREDENTIALS_EXPIRED", afterReady},
		{codes.Internal, "BUG", never},
		{codes.Unknown, "BUG", never},
		{codes.ResourceExhausted, "", never},
		{codes.InvalidArgument, "CURSOR_MALFORMED", never},
		{codes.OutOfRange, "CURSOR_EXPIRED", never},
		{codes.FailedPrecondition, "CURSOR_LOG_MISMATCH", never},
		{codes.NotFound, "EVENT_NOT_FOUND", never},
		{codes.PermissionDenied, "WABA_NOT_ALLOWED", never},
		{codes.PermissionDenied, "", never},
		{codes.Unauthenticated, "CREDENTIALS_MISSING", never},
		{codes.Unauthenticated, "", never},
		{codes.DataLoss, "LOG_CORRUPT", never},
		{codes.Unimplemented, "", never},
	}
	for _, tt := range tests {
		t.Run(fmt.Sprint(tt.code, tt.reason), func(t *testing.T) {
			t.Parallel()
			end := status.Error(tt.code, "words for people")
			if tt.reason != "" {
				end = refusal(tt.code, tt.reason)
			}
			for established, first := range map[bool]script{
				false: play(end),
				true:  play(end, ready("c0"), batch(1)),
			} {
				synctest.Test(t, func(t *testing.T) {
					f, c := serve(t, first)
					_, err := drain(c, nil)
					if tt.retried == always || (tt.retried == afterReady && established) {
						require.ErrorIs(t, err, &client.Error{Reason: "SCRIPT_OVER"})
						require.Len(t, f.seen(), 2)
						return
					}
					require.Len(t, f.seen(), 1, "established: %v", established)
					requireError(t, err, tt.code, tt.reason)
				})
			}
		})
	}
}

func requireError(t *testing.T, err error, code codes.Code, reason string) {
	t.Helper()
	var got *client.Error
	require.ErrorAs(t, err, &got)
	require.Equal(t, code, got.Code)
	require.Equal(t, reason, got.Reason)
	require.Equal(t, "words for people", got.Message)
	require.Equal(t, code, status.Code(err))
	require.ErrorIs(t, err, &client.Error{Code: code})
	require.NotErrorIs(t, err, &client.Error{}, "the zero Error matches nothing")
	require.NotErrorIs(t, err, &client.Error{Code: code, Reason: "OTHER"})
	require.NotErrorIs(t, err, &client.Error{Code: codes.OutOfRange + code, Reason: reason})
	require.ErrorContains(t, err, code.String())
	require.ErrorContains(t, err, reason)
	if reason != "" {
		require.Equal(t, map[string]string{"earliest_cursor": "c7"}, got.Metadata)
		require.Len(t, got.GRPCStatus().Details(), 1)
	}
}

func TestExpiredCredentialsGetOneFreshToken(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		expired := refusal(codes.Unauthenticated, "CREDENTIALS_EXPIRED")
		f := &fake{scripts: []script{
			play(expired, ready("c0"), batch(1)),
			play(expired, ready("c1"), batch(2)),
			play(expired),
		}}
		calls := 0
		c := connect(t, f, client.WithTokenSource(func(context.Context) (string, error) {
			calls++
			return fmt.Sprintf("token-%d\n", calls), nil
		}))
		events, err := drain(c, nil)
		require.ErrorIs(t, err, &client.Error{Reason: client.ReasonCredentialsExpired})
		require.Equal(t, []uint64{1, 2}, events)
		for i, call := range f.seen() {
			require.Equal(t, []string{fmt.Sprint("Bearer token-", i+1)}, call.header.Get("authorization"))
		}
		require.Len(t, f.seen(), 3)
	})
}

func TestTokenSourceSaysWhetherToTryAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := &fake{}
		answers := []error{status.Error(codes.Unavailable, "issuer is down"), errors.New("no such file")}
		calls := 0
		c := connect(t, f, client.WithTokenSource(func(context.Context) (string, error) {
			calls++
			return "", answers[calls-1]
		}))
		_, err := drain(c, nil)
		require.ErrorIs(t, err, &client.Error{Code: codes.Unauthenticated})
		require.ErrorContains(t, err, "no such file")
		require.Equal(t, 2, calls)
		require.Empty(t, f.seen())
	})
}

func TestMalformedTokenIsNotSentNorShown(t *testing.T) {
	t.Parallel()
	for _, token := range []string{"", " \n", "sec\nret", "sec ret", "secr\x00et", "sécret"} {
		synctest.Test(t, func(t *testing.T) {
			f := &fake{}
			_, err := drain(connect(t, f, client.WithToken(token)), nil)
			require.ErrorIs(t, err, &client.Error{Code: codes.Unauthenticated})
			require.NotContains(t, err.Error(), "ret")
			require.Empty(t, f.seen())
		})
	}
}

func TestProtocolViolationsEndTheSubscription(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		scripts []script
		events  []uint64
		message string
	}{
		"an event again in a batch":  {[]script{play(nil, ready("c0"), batch(1, 2, 2, 3))}, []uint64{1, 2}, "sequence 2 came after sequence 2"},
		"an event again in a stream": {[]script{play(nil, ready("c0"), batch(1, 2), batch(2, 3))}, []uint64{1, 2}, "sequence 2 came after"},
		"an event again on the next": {[]script{play(unavailable(), ready("c0"), batch(1, 5)), play(nil, ready("c5"), batch(4))}, []uint64{1, 5}, "sequence 4 came after sequence 5"},
		"no ready":                   {[]script{play(nil, batch(1))}, nil, "first frame is not ready"},
		"no ready on the next":       {[]script{play(unavailable(), ready("c0")), play(nil, progress("c1"))}, nil, "first frame is not ready"},
		"no cursor":                  {[]script{play(nil, ready(""))}, nil, "no cursor"},
		"no frame":                   {[]script{play(nil)}, nil, "ended without a frame"},
		"no head to stop at": {[]script{play(nil, &wabastreamv1.SubscribeResponse{
			Cursor: "c0", Frame: &wabastreamv1.SubscribeResponse_Ready{Ready: &wabastreamv1.Ready{}},
		})}, nil, "head"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				f, c := serve(t, tt.scripts...)
				events, err := drain(c, untilHead())
				require.ErrorIs(t, err, &client.Error{Code: codes.Internal, Reason: client.ReasonProtocolViolation})
				require.ErrorContains(t, err, tt.message)
				require.Equal(t, tt.events, events)
				require.Len(t, f.seen(), len(tt.scripts))
				require.Equal(t, codes.Internal, status.Code(err))
			})
		})
	}
}

// A server that is not there yet is waited for, and the connection's own backoff
// stays within WithBackoff's.
func TestWaitsForAServerThatIsNotThere(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		began, dials := time.Now(), 0
		dial := grpc.WithContextDialer(func(context.Context, string) (net.Conn, error) {
			dials++
			return nil, errors.New("connection refused")
		})
		c, err := client.New("passthrough:///nobody", client.WithInsecure(), client.WithDialOptions(dial),
			client.WithBackoff(time.Second, 2*time.Second))
		require.NoError(t, err)
		defer func() { require.NoError(t, c.Close()) }()
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		attempts := 0
		_, err = drainContext(ctx, c, nil, client.WithObserver(func(n client.Notice) {
			attempts++
			require.ErrorContains(t, n.Err, "connection refused")
			require.Empty(t, n.Cursor)
		}))
		require.Equal(t, context.DeadlineExceeded, err)
		require.Equal(t, time.Hour, time.Since(began))
		require.Greater(t, attempts, 1000)
		synctest.Wait()
		require.Greater(t, dials, 1000)
	})
}
