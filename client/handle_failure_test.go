package client_test

import (
	"context"
	"fmt"
	"math"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wabastream/wabastream/client"
	wabastreamv1 "github.com/wabastream/wabastream/gen/wabastream/v1"
)

func TestHandlerErrorEndsEverything(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ended := make(chan struct{})
		_, c := serve(t, func(request *wabastreamv1.SubscribeRequest, stream sender) error {
			defer close(ended)
			return hang(ready("c0"), apart(1, 2, 3, 4, 5))(request, stream)
		})
		var book ledger
		began := time.Now()
		err := c.Handle(t.Context(), nil, book.around(func(ctx context.Context, sequence uint64) error {
			<-time.After(time.Second)
			if sequence == book.called()[1] {
				return errHandler
			}
			<-ctx.Done()
			<-time.After(time.Second) // Handle waits for it
			return ctx.Err()
		}), client.WithConcurrency(3))
		require.ErrorIs(t, err, errHandler)
		require.NotErrorIs(t, err, context.Canceled)
		require.EqualError(t, err, fmt.Sprintf("handle event id%d: the handler's own", book.begun[1]))
		require.Equal(t, 2*time.Second, time.Since(began))
		require.Len(t, book.begun, 3, "no handler is begun any more")
		require.Zero(t, book.running)
		<-ended
	})
}

func TestHandlerThatEndsItsGoroutineIsAnError(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		_, c := serve(t, play(nil, ready("c0"), batch(1, 2, 3)))
		store := &memory{}
		err := c.Handle(t.Context(), untilHead(), func(_ context.Context, event *wabastreamv1.Event) error {
			if event.GetSequence() == 2 {
				runtime.Goexit()
			}
			return nil
		}, client.WithCheckpoint(store))
		require.ErrorContains(t, err, "handle event id2: the handler did not return")
		require.Equal(t, "c1", store.cursor)
	})
}

// What a panic out of the caller's own code leaves behind is nothing.
func TestPanicOfAnObserverLeavesHandleInOrder(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		_, c := serve(t, hang(ready("c0"), apart(1), progress("c2")))
		var book ledger
		require.PanicsWithValue(t, "mine", func() {
			_ = c.Handle(t.Context(), nil, book.around(func(ctx context.Context, _ uint64) error {
				<-ctx.Done()
				return ctx.Err()
			}), client.WithObserver(func(n client.Notice) {
				if n.Frame.GetProgress() != nil {
					synctest.Wait()
					panic("mine")
				}
			}))
		})
		require.Equal(t, []uint64{1}, book.begun)
		require.Zero(t, book.running)
	})
}

func TestHandleTriesAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		_, c := serve(t, play(nil, ready("c0"), batchOf(
			of("sick", "", 1), of("sick", "", 2), of("ill", "", 3), of("well", "", 4), of("well", "", 5))))
		var book ledger
		var gone []uint64
		failures := map[uint64]int{1: 4, 3: 4}
		var mu sync.Mutex
		err := c.Handle(t.Context(), untilHead(), book.around(func(_ context.Context, sequence uint64) error {
			mu.Lock()
			defer mu.Unlock()
			if failures[sequence]--; failures[sequence] >= 0 {
				return errHandler
			}
			gone = append(gone, sequence)
			return nil
		}), client.WithConcurrency(2), client.WithRetry(5, time.Hour, 2*time.Hour))
		require.NoError(t, err)
		require.ElementsMatch(t, []uint64{4, 5}, gone[:2], "what waits to be tried again takes up no handler")
		require.ElementsMatch(t, []uint64{1, 2, 3}, gone[2:])
		require.Len(t, book.begun, 5+8)
		var sick []uint64
		for _, sequence := range book.begun {
			if sequence < 3 {
				sick = append(sick, sequence)
			}
		}
		require.Equal(t, []uint64{1, 1, 1, 1, 1, 2}, sick, "the account's other events wait")
	})
}

func TestHandleGivesUpAfterTheLastAttempt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := &fake{scripts: []script{hang(ready("c0"), batch(1, 2))}}
		logger, text := textLogger()
		c := connect(t, f, client.WithLogger(logger))
		var book ledger
		began := time.Now()
		err := c.Handle(t.Context(), nil, book.around(func(context.Context, uint64) error { return errHandler }),
			client.WithRetry(3, time.Second, time.Second))
		require.ErrorIs(t, err, errHandler)
		require.ErrorContains(t, err, "handle event id1:")
		require.Equal(t, []uint64{1, 1, 1}, book.begun)
		require.Less(t, time.Since(began), 2*time.Second)
		require.Positive(t, time.Since(began))
		require.Contains(t, text.String(), "event_id=id1 attempt=2")
		require.NotContains(t, text.String(), errHandler.Error(), "it may quote the event")
	})
}

func TestHandleDoesNotWaitToTryAgainWhenTheContextEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		_, c := serve(t, hang(ready("c0"), batch(1)))
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		began := time.Now()
		err := c.Handle(ctx, nil, func(context.Context, *wabastreamv1.Event) error {
			time.AfterFunc(time.Second, cancel)
			return errHandler
		}, client.WithRetry(math.MaxInt, 1000*time.Hour, 1000*time.Hour))
		require.Equal(t, context.Canceled, err)
		require.Equal(t, time.Second, time.Since(began))
	})
}
