package client_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/wabastream/wabastream/client"
	wabastreamv1 "github.com/wabastream/wabastream/gen/wabastream/v1"
)

type frames = []*wabastreamv1.SubscribeResponse

func TestResumesAfterTheLastFrame(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		first  frames
		resume string
	}{
		"ready":                              {frames{ready("c0")}, "c0"},
		"progress":                           {frames{ready("c0"), progress("p5")}, "p5"},
		"batch":                              {frames{ready("c0"), batch(1, 2, 3)}, "c3"},
		"caught up":                          {frames{ready("c0"), batch(1), caughtUp("u9")}, "u9"},
		"gap":                                {frames{ready("c0"), gap("c0", "c7")}, "c7"},
		"closing":                            {frames{ready("c0"), closing("x1", 0)}, "x1"},
		"a kind of frame yet to be invented": {frames{ready("c0"), {Cursor: "n4"}}, "n4"},
		"a batch that ends in discarded events": {
			frames{ready("c0"), {Cursor: "b9", Frame: batch(1, 2).GetFrame()}}, "b9",
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				f, c := serve(t, play(unavailable(), tt.first...), play(nil, ready("r")))
				request := &wabastreamv1.SubscribeRequest{Stop: &wabastreamv1.SubscribeRequest_StopCursor{StopCursor: "z"}}
				_, err := drain(c, request)
				if tt.first[len(tt.first)-1].GetGap() == nil {
					require.NoError(t, err)
				}
				require.Equal(t, []string{tt.resume}, f.starts())
			})
		})
	}
}

func TestEveryEventOnceAcrossStreams(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f, c := serve(t,
			play(unavailable()),
			play(unavailable(), ready("c0"), batch(1, 2)),
			play(unavailable(), ready("c2")),
			play(unavailable(), ready("c2"), progress("c4"), batch(7)),
			play(nil, ready("c7"), batch(9)),
		)
		sequences, err := drain(c, untilHead())
		require.NoError(t, err)
		require.Equal(t, []uint64{1, 2, 7, 9}, sequences)
		require.Equal(t, []string{"", "c2", "c2", "c7"}, f.starts())
	})
}

func TestStartsArePinned(t *testing.T) {
	t.Parallel()
	tests := map[string]*wabastreamv1.SubscribeRequest{
		"none":     {},
		"latest":   {Start: &wabastreamv1.SubscribeRequest_Position{Position: wabastreamv1.StartPosition_START_POSITION_LATEST}},
		"earliest": {Start: &wabastreamv1.SubscribeRequest_Position{Position: wabastreamv1.StartPosition_START_POSITION_EARLIEST}},
		"time":     {Start: &wabastreamv1.SubscribeRequest_StartTime{StartTime: timestamppb.New(time.Unix(1, 0))}},
		"event":    {Start: &wabastreamv1.SubscribeRequest_AfterEventId{AfterEventId: "id1"}},
	}
	for name, request := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				request := proto.CloneOf(request)
				request.ClientLabel = "kept"
				request.Filters = []*wabastreamv1.EventFilter{{WabaIds: []string{"1"}}}
				f, c := serve(t, play(unavailable()), play(unavailable(), ready("c0")))
				_, err := drain(c, request)
				require.ErrorIs(t, err, &client.Error{Reason: "SCRIPT_OVER"})

				pinned := proto.CloneOf(request)
				pinned.Start = &wabastreamv1.SubscribeRequest_AfterCursor{AfterCursor: "c0"}
				want := []*wabastreamv1.SubscribeRequest{request, request, pinned}
				require.Len(t, f.seen(), len(want))
				for i, got := range f.seen() {
					require.Empty(t, cmp.Diff(want[i], got.request, protocmp.Transform()), "stream %d", i)
				}
			})
		})
	}
}

func TestStopAtHeadStaysAtTheFirstHead(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		later := ready("c1")
		later.GetReady().HeadCursor = "a later head"
		f, c := serve(t,
			play(unavailable()),
			play(unavailable(), ready("c0"), batch(1)),
			play(unavailable(), later),
			play(nil, later),
		)
		_, err := drain(c, untilHead())
		require.NoError(t, err)
		calls := f.seen()
		require.True(t, calls[0].request.GetStopAtHead())
		require.True(t, calls[1].request.GetStopAtHead(), "before the first frame there is no head to stop at")
		require.Equal(t, "head", calls[2].request.GetStopCursor())
		require.Equal(t, "head", calls[3].request.GetStopCursor())
	})
}

func TestOtherStopsAreKept(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f, c := serve(t, play(unavailable(), ready("c0")), play(nil, ready("c0")))
		stop := timestamppb.New(time.Unix(1700000000, 0))
		_, err := drain(c, &wabastreamv1.SubscribeRequest{Stop: &wabastreamv1.SubscribeRequest_StopTime{StopTime: stop}})
		require.NoError(t, err)
		require.Equal(t, stop.AsTime(), f.seen()[1].request.GetStopTime().AsTime())
	})
}

func TestStreamWithoutStopGoesOnWhenItEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f, c := serve(t, play(nil, ready("c0"), batch(1)), play(unavailable(), ready("c1"), batch(2)))
		sequences, err := drain(c, nil)
		require.ErrorIs(t, err, &client.Error{Reason: "SCRIPT_OVER"})
		require.Equal(t, []uint64{1, 2}, sequences)
		require.Equal(t, []string{"c1", "c2"}, f.starts())
	})
}

func TestGapIsYieldedAndIterationGoesOn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		_, c := serve(t, play(nil, ready("c0"), gap("c0", "c7"), batch(8)))
		var steps []any
		for event, err := range c.Subscribe(t.Context(), untilHead()) {
			if err != nil {
				require.Nil(t, event)
				steps = append(steps, err)
				continue
			}
			steps = append(steps, event.GetSequence())
		}
		require.Equal(t, []any{&client.GapError{From: "c0", To: "c7"}, uint64(8)}, steps)
	})
}

// What is still held inside the gap is not passed over, also when the stream is
// lost there.
func TestGapOfTypesDoesNotJump(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f, c := serve(t,
			play(unavailable(), ready("c0"), gapOf("c0", "c7", "messages", "statuses"), batch(3)),
			play(unavailable(), ready("c3"), gapOf("c3", "c7", "messages")),
			play(nil, ready("c3"), gapOf("c3", "c7", "messages"), batch(5), batch(8)))
		var steps []any
		for event, err := range c.Subscribe(t.Context(), untilHead()) {
			if err != nil {
				steps = append(steps, err.Error())
				continue
			}
			steps = append(steps, event.GetSequence())
		}
		const again = "events of type messages after cursor c3 and up to cursor c7 were removed before they could be read"
		require.Equal(t, []any{
			"events of type messages, statuses after cursor c0 and up to cursor c7 were removed before they could be read",
			uint64(3), again, again, uint64(5), uint64(8),
		}, steps)
		require.Equal(t, []string{"c3", "c3"}, f.starts())
	})
}

func TestLeavingTheLoopEndsTheStream(t *testing.T) {
	t.Parallel()
	for name, first := range map[string]frames{
		"in a batch": {ready("c0"), batch(1, 2, 3)},
		"at a gap":   {ready("c0"), gap("c0", "c7")},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				ended := make(chan struct{})
				_, c := serve(t, func(request *wabastreamv1.SubscribeRequest, stream sender) error {
					defer close(ended)
					return hang(first...)(request, stream)
				})
				steps := 0
				for event, err := range c.Subscribe(t.Context(), nil) {
					require.NotEqual(t, event == nil, err == nil)
					steps++
					break
				}
				require.Equal(t, 1, steps)
				left := time.Now()
				<-ended
				require.Zero(t, time.Since(left))
			})
		})
	}
}

func TestPanicInTheLoopEndsTheStream(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ended := make(chan struct{})
		_, c := serve(t, func(request *wabastreamv1.SubscribeRequest, stream sender) error {
			defer close(ended)
			return hang(ready("c0"), batch(1))(request, stream)
		})
		require.PanicsWithValue(t, "mine", func() {
			for _, err := range c.Subscribe(t.Context(), nil) {
				require.NoError(t, err)
				panic("mine")
			}
		})
		left := time.Now()
		<-ended
		require.Zero(t, time.Since(left))
	})
}

func TestContextEndsTheIteration(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		scripts []script
		events  []uint64
	}{
		"while waiting for the first frame": {[]script{hang()}, nil},
		"while waiting for a frame":         {[]script{hang(ready("c0"), batch(1))}, []uint64{1}},
		"while waiting to call again":       {[]script{play(retryIn(time.Hour), ready("c0"), batch(1))}, []uint64{1}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				_, c := serve(t, tt.scripts...)
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				time.AfterFunc(5*time.Second, cancel)
				events, err := drainContext(ctx, c, nil)
				require.Equal(t, context.Canceled, err)
				require.Equal(t, tt.events, events)

				_, c = serve(t, tt.scripts...)
				ctx, cancel = context.WithTimeout(t.Context(), 5*time.Second)
				defer cancel()
				events, err = drainContext(ctx, c, nil)
				require.Equal(t, context.DeadlineExceeded, err)
				require.Equal(t, tt.events, events)
			})
		})
	}
}

func TestContextEndsTheIterationInsideABatch(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		_, c := serve(t, hang(ready("c0"), batch(1, 2, 3)))
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var steps []error
		for _, err := range c.Subscribe(ctx, nil) {
			steps = append(steps, err)
			cancel()
		}
		require.Equal(t, []error{nil, context.Canceled}, steps)
	})
}

func TestEndedContextCallsNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f, c := serve(t)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := drainContext(ctx, c, nil)
		require.Equal(t, context.Canceled, err)
		require.Empty(t, f.seen())
	})
}

func TestCloseEndsSubscriptions(t *testing.T) {
	t.Parallel()
	for name, first := range map[string]script{
		"while waiting for a frame":   hang(ready("c0")),
		"while waiting to call again": play(retryIn(time.Hour), ready("c0")),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				_, c := serve(t, first)
				began := time.Now()
				time.AfterFunc(time.Second, func() { _ = c.Close() })
				_, err := drain(c, nil)
				require.ErrorIs(t, err, client.ErrClosed)
				require.Equal(t, time.Second, time.Since(began))
				require.NoError(t, c.Close(), "closing again")
				_, err = drain(c, nil)
				require.ErrorIs(t, err, client.ErrClosed, "subscribing after close")
			})
		})
	}
}

func TestRequestIsCopied(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f, c := serve(t,
			play(unavailable(), ready("c0"), batch(1)), play(nil, ready("c1")),
			play(nil, ready("c0"), batch(1)),
		)
		request, before := untilHead(), untilHead()
		events := c.Subscribe(t.Context(), request)
		for _, err := range events {
			require.NoError(t, err)
		}
		require.Empty(t, cmp.Diff(before, request, protocmp.Transform()), "the caller's request changed")

		request.ClientLabel = "changed after the call"
		for _, err := range events {
			require.NoError(t, err)
		}
		calls := f.seen()
		require.Len(t, calls, 3)
		require.Empty(t, cmp.Diff(before, calls[2].request, protocmp.Transform()), "a second range begins as the first did")
	})
}

func TestSubscriptionsShareAClient(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const subscriptions = 150 // more than the 100 streams that some servers allow a connection
		var scripts []script
		var together sync.WaitGroup
		together.Add(subscriptions)
		for range subscriptions {
			scripts = append(scripts, func(_ *wabastreamv1.SubscribeRequest, stream sender) error {
				together.Done()
				together.Wait() // every subscription is open at once
				return play(nil, ready("c0"), batch(1, 2))(nil, stream)
			})
		}
		_, c := serve(t, scripts...)
		var done sync.WaitGroup
		for range subscriptions {
			done.Go(func() {
				events, err := drain(c, untilHead())
				if err != nil || len(events) != 2 {
					t.Errorf("events %v, error %v", events, err)
				}
			})
		}
		done.Wait()
	})
}

func TestObserverSeesFramesAfterTheirEvents(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		_, c := serve(t,
			play(unavailable(), ready("c0"), batch(1, 2), progress("p3")),
			play(nil, ready("p3"), caughtUp("p4"), gap("p4", "c8"), batch(9)),
		)
		var seen []string
		note := func(n client.Notice) {
			kind := "lost"
			switch {
			case n.Err != nil:
				require.ErrorIs(t, n.Err, &client.Error{Code: codes.Unavailable})
				require.ErrorContains(t, n.Err, "gone")
				require.Less(t, n.Delay, 100*time.Millisecond)
			default:
				kind = string(n.Frame.ProtoReflect().WhichOneof(n.Frame.ProtoReflect().Descriptor().Oneofs().Get(0)).Name())
			}
			seen = append(seen, kind+" "+n.Cursor)
		}
		for event, err := range c.Subscribe(t.Context(), untilHead(), client.WithObserver(note)) {
			if gap := new(client.GapError); errors.As(err, &gap) {
				seen = append(seen, "gap error")
				continue
			}
			require.NoError(t, err)
			seen = append(seen, event.GetCursor())
		}
		require.Equal(t, []string{
			"ready c0", "c1", "c2", "batch c2", "progress p3", "lost p3",
			"ready p3", "caught_up p4", "gap error", "gap c8", "c9", "batch c9",
		}, seen)
	})
}
