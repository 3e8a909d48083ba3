package client_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"

	"github.com/wabastream/wabastream/client"
	wabastreamv1 "github.com/wabastream/wabastream/gen/wabastream/v1"
)

var errHandler = errors.New("the handler's own")

// of is an event of an account, or of a phone number without one.
func of(waba, phone string, sequence uint64) *wabastreamv1.Event {
	e := event(sequence)
	e.WabaId, e.BusinessPhone = waba, phone
	return e
}

func batchOf(events ...*wabastreamv1.Event) *wabastreamv1.SubscribeResponse {
	return &wabastreamv1.SubscribeResponse{
		Cursor: events[len(events)-1].GetCursor(),
		Frame:  &wabastreamv1.SubscribeResponse_Batch{Batch: &wabastreamv1.Batch{Events: events}},
	}
}

// apart is a batch of events that are each of an account of its own.
func apart(sequences ...uint64) *wabastreamv1.SubscribeResponse {
	var events []*wabastreamv1.Event
	for _, sequence := range sequences {
		events = append(events, of(fmt.Sprint("waba", sequence), "", sequence))
	}
	return batchOf(events...)
}

// live sends frames, then heartbeats until the client is gone.
func live(frames ...*wabastreamv1.SubscribeResponse) script {
	return func(request *wabastreamv1.SubscribeRequest, stream sender) error {
		if err := play(nil, frames...)(request, stream); err != nil {
			return err
		}
		for {
			select {
			case <-time.After(10 * time.Second):
			case <-stream.Context().Done():
				return stream.Context().Err()
			}
			if err := stream.Send(progress(frames[len(frames)-1].GetCursor())); err != nil {
				return err
			}
		}
	}
}

// ledger records what handlers do.
type ledger struct {
	mu      sync.Mutex
	begun   []uint64
	done    []uint64
	running int
	most    int // handlers that ran at once
}

// around wraps a handler.
func (l *ledger) around(handler func(context.Context, uint64) error) client.Handler {
	return func(ctx context.Context, event *wabastreamv1.Event) error {
		l.mu.Lock()
		l.begun = append(l.begun, event.GetSequence())
		l.running++
		l.most = max(l.most, l.running)
		l.mu.Unlock()
		err := handler(ctx, event.GetSequence())
		l.mu.Lock()
		defer l.mu.Unlock()
		l.running--
		if err == nil {
			l.done = append(l.done, event.GetSequence())
		}
		return err
	}
}

func (l *ledger) handled() []uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]uint64(nil), l.done...)
}

func (l *ledger) called() []uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]uint64(nil), l.begun...)
}

// takes returns a handler that takes that long, whatever its context does.
func takes(d time.Duration) func(context.Context, uint64) error {
	return func(context.Context, uint64) error {
		<-time.After(d)
		return nil
	}
}

func TestHandleKeepsTheOrderOfEachAccount(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		lanes := []struct{ waba, phone string }{{"A", ""}, {"B", "1"}, {"", "1"}, {"", "A"}, {"", ""}}
		var events []*wabastreamv1.Event
		for sequence := range uint64(50) {
			l := lanes[int(sequence*sequence+sequence/3)%len(lanes)]
			phone := l.phone
			if l.waba != "" {
				phone = strconv.FormatUint(sequence, 10) // the account decides, whatever its number
			}
			events = append(events, of(l.waba, phone, sequence+1))
		}
		_, c := serve(t, play(nil, ready("c0"), batchOf(events...)))
		var book ledger
		require.NoError(t, c.Handle(t.Context(), untilHead(), book.around(func(_ context.Context, sequence uint64) error {
			<-time.After(time.Duration(50-sequence) * time.Second)
			return nil
		}), client.WithConcurrency(100)))

		require.Len(t, book.done, len(events))
		require.NotEqual(t, book.begun, book.done, "accounts do not wait for each other")
		require.Equal(t, len(lanes), book.most)
		for _, order := range [][]uint64{book.begun, book.done} {
			last := make(map[[2]string]uint64)
			for _, sequence := range order {
				e := events[sequence-1]
				key := [2]string{e.GetWabaId(), e.GetBusinessPhone()}
				if e.GetWabaId() != "" {
					key[1] = ""
				}
				require.Greater(t, sequence, last[key], "%v", key)
				last[key] = sequence
			}
			require.Len(t, last, len(lanes))
		}
	})
}

func TestHandleOneAtATimeKeepsTheOrderOfTheLog(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		_, c := serve(t, play(nil, ready("c0"), apart(1, 2, 3), apart(4, 5, 6)))
		var book ledger
		began := time.Now()
		failed := false
		require.NoError(t, c.Handle(t.Context(), untilHead(), book.around(func(_ context.Context, sequence uint64) error {
			<-time.After(time.Second)
			if sequence == 2 && !failed {
				failed = true
				return errHandler
			}
			return nil
		}), client.WithRetry(2, time.Hour, time.Hour)))
		require.Equal(t, []uint64{1, 2, 2, 3, 4, 5, 6}, book.begun)
		require.Equal(t, 1, book.most)
		require.Greater(t, time.Since(began), 7*time.Second)
	})
}

func TestHandleBoundsTheHandlersAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		_, c := serve(t, play(nil, ready("c0"), apart(1, 2, 3, 4, 5, 6, 7, 8, 9)))
		var book ledger
		began := time.Now()
		require.NoError(t, c.Handle(t.Context(), untilHead(), book.around(takes(time.Second)), client.WithConcurrency(3)))
		require.Equal(t, 3, book.most)
		require.Equal(t, 3*time.Second, time.Since(began))
		require.Len(t, book.done, 9)
	})
}

func TestHandleStopsReceivingWhenTheWindowIsFull(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		_, c := serve(t, play(nil, ready("c0"), apart(1), apart(2), apart(3), apart(4), apart(5), apart(6), apart(7)))
		var book ledger
		var received []string
		release := make(chan struct{})
		var handling sync.WaitGroup
		handling.Go(func() {
			assert.NoError(t, c.Handle(t.Context(), untilHead(), book.around(func(_ context.Context, sequence uint64) error {
				if sequence == 1 {
					<-release
				}
				return nil
			}), client.WithConcurrency(2), client.WithWindow(4), client.WithObserver(func(n client.Notice) {
				received = append(received, n.Cursor)
			})))
		})
		synctest.Wait()
		require.ElementsMatch(t, []uint64{2, 3, 4}, book.handled(), "others go on while the window has room")
		require.Equal(t, []string{"c0", "c1", "c2", "c3", "c4"}, received, "and then nothing is received")
		close(release)
		handling.Wait()
		require.ElementsMatch(t, []uint64{1, 2, 3, 4, 5, 6, 7}, book.handled())
	})
}

func TestHandleWaitsForHandlersWhenTheContextEnds(t *testing.T) {
	t.Parallel()
	for name, script := range map[string]script{
		"while the stream is open":     live(ready("c0"), apart(1, 2, 3)),
		"after the stop":               play(nil, ready("c0"), apart(1, 2, 3)),
		"while the stream is to begin": play(retryIn(time.Hour), ready("c0"), apart(1, 2, 3)),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				_, c := serve(t, script)
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				var book ledger
				began := time.Now()
				err := c.Handle(ctx, untilHead(), book.around(func(ctx context.Context, sequence uint64) error {
					<-ctx.Done()
					<-time.After(2 * time.Second)
					if sequence == book.called()[0] {
						return nil // done all the same
					}
					return errHandler
				}), client.WithConcurrency(2))
				require.Equal(t, context.DeadlineExceeded, err)
				require.Equal(t, 3*time.Second, time.Since(began))
				require.Len(t, book.begun, 2, "no handler is begun any more")
				require.Equal(t, book.begun[:1], book.done)
			})
		})
	}
}

// What was received is handled, although nothing follows it.
func TestHandleFinishesWhatItHasWhenTheSubscriptionEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		_, c := serve(t, play(refusal(codes.PermissionDenied, "WABA_NOT_ALLOWED"), ready("c0"), batch(1, 2, 3)))
		var book ledger
		err := c.Handle(t.Context(), nil, book.around(takes(time.Second)))
		require.ErrorIs(t, err, &client.Error{Reason: "WABA_NOT_ALLOWED"})
		require.Equal(t, []uint64{1, 2, 3}, book.done)
	})
}

func TestHandleOfAClosedClient(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		_, c := serve(t, hang(ready("c0"), batch(1, 2)))
		var book ledger
		err := c.Handle(t.Context(), nil, book.around(func(context.Context, uint64) error {
			return c.Close()
		}))
		require.ErrorIs(t, err, client.ErrClosed)
		require.NotEmpty(t, book.done)
	})
}

func TestHandleGoesOnAcrossStreams(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f, c := serve(t,
			play(unavailable()),
			play(unavailable(), ready("c0"), apart(1, 2)),
			play(unavailable(), ready("c2"), progress("c4"), apart(7)),
			play(nil, ready("c7"), apart(9)),
		)
		var book ledger
		require.NoError(t, c.Handle(t.Context(), untilHead(), book.around(takes(time.Minute)), client.WithConcurrency(4)))
		require.ElementsMatch(t, []uint64{1, 2, 7, 9}, book.begun)
		require.Equal(t, []string{"", "c2", "c7"}, f.starts())
	})
}

func TestHandleRefusesEventsWithoutACursor(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		bare := batch(1, 2)
		bare.GetBatch().GetEvents()[1].Cursor = ""
		_, c := serve(t, play(nil, ready("c0"), bare))
		store := &memory{}
		var book ledger
		err := c.Handle(t.Context(), untilHead(), book.around(takes(0)), client.WithCheckpoint(store))
		require.ErrorIs(t, err, &client.Error{Reason: client.ReasonProtocolViolation})
		require.Equal(t, []uint64{1}, book.done)
		require.Equal(t, "c1", store.cursor)
	})
}

func TestHandleRefusesOptionsThatCannotWork(t *testing.T) {
	t.Parallel()
	nothing := func(context.Context, *wabastreamv1.Event) error { return nil }
	tests := map[string]struct {
		handler client.Handler
		option  client.HandleOption
		message string
	}{
		"no handler":       {nil, client.WithConcurrency(1), "handler is nil"},
		"no concurrency":   {nothing, client.WithConcurrency(0), "concurrency of 0"},
		"no window":        {nothing, client.WithWindow(0), "window of 0 events for 1 handlers"},
		"many handlers":    {nothing, client.WithConcurrency(1025), "window of 1024 events for 1025 handlers"},
		"no attempts":      {nothing, client.WithRetry(0, time.Second, time.Second), "retry with 0 attempts"},
		"no delay":         {nothing, client.WithRetry(2, 0, time.Second), "positive minimum"},
		"backwards delays": {nothing, client.WithRetry(2, time.Second, time.Millisecond), "maximum not below"},
		"nil checkpoint":   {nothing, client.WithCheckpoint(nil), "checkpoint is nil"},
		"no interval":      {nothing, client.WithSaveInterval(0), "save interval of 0s"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				f, c := serve(t)
				require.ErrorContains(t, c.Handle(t.Context(), nil, tt.handler, tt.option), tt.message)
				require.Empty(t, f.seen())
			})
		})
	}
}
