package client_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wabastream/wabastream/client"
	wabastreamv1 "github.com/wabastream/wabastream/gen/wabastream/v1"
)

// Events before a gap are handled before its handler is called, those after it
// after that.
func TestGapHandlerStandsBetweenTheEvents(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f, c := serve(t, play(nil, ready("c0"), apart(1, 2), gap("c2", "c7"), apart(8)))
		var book ledger
		store := &memory{}
		var gaps []*client.GapError
		err := c.Handle(t.Context(), untilHead(), book.around(takes(time.Minute+time.Second/2)),
			client.WithConcurrency(4), client.WithCheckpoint(store),
			client.WithGapHandler(func(_ context.Context, gap *client.GapError) error {
				gaps = append(gaps, gap)
				assert.Len(t, book.handled(), 2)
				<-time.After(time.Minute)
				assert.Len(t, book.called(), 2)
				assert.Equal(t, "c2", store.last(), "the gap is not passed before it is dealt with")
				return nil
			}))
		require.NoError(t, err)
		require.Equal(t, []*client.GapError{{From: "c2", To: "c7"}}, gaps)
		require.Equal(t, []string{"c0", "c2", "c7", "c8"}, store.saves)
		require.Equal(t, wabastreamv1.ExpiredCursorPolicy_EXPIRED_CURSOR_POLICY_CONTINUE_WITH_GAP,
			f.seen()[0].request.GetExpiredCursorPolicy())
	})
}

func TestGapEndsHandleUnlessItIsDealtWith(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		options []client.HandleOption
		want    error
	}{
		"without a handler": {nil, &client.GapError{}},
		"with a handler's error": {[]client.HandleOption{
			client.WithGapHandler(func(context.Context, *client.GapError) error { return errHandler }),
		}, errHandler},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				_, c := serve(t, hang(ready("c0"), apart(1, 2), gap("c2", "c7"), apart(8)))
				var book ledger
				store := &memory{}
				request := &wabastreamv1.SubscribeRequest{
					ExpiredCursorPolicy: wabastreamv1.ExpiredCursorPolicy_EXPIRED_CURSOR_POLICY_CONTINUE_WITH_GAP,
				}
				err := c.Handle(t.Context(), request, book.around(takes(time.Minute)),
					append(tt.options, client.WithConcurrency(2), client.WithCheckpoint(store))...)
				if errors.Is(tt.want, errHandler) {
					require.ErrorIs(t, err, errHandler)
					require.ErrorContains(t, err, "handle the gap after cursor c2")
				} else {
					require.Equal(t, &client.GapError{From: "c2", To: "c7"}, err)
				}
				require.ElementsMatch(t, []uint64{1, 2}, book.done)
				require.Equal(t, "c2", store.cursor, "the next start is told of the gap again")
			})
		})
	}
}

func TestContextEndsBeforeAGapIsDealtWith(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		_, c := serve(t, hang(ready("c0"), batch(1), gap("c1", "c7")))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		err := c.Handle(ctx, nil, func(ctx context.Context, _ *wabastreamv1.Event) error {
			<-ctx.Done()
			return ctx.Err()
		}, client.WithGapHandler(func(context.Context, *client.GapError) error {
			assert.Fail(t, "an event before the gap was not handled")
			return nil
		}))
		require.Equal(t, context.DeadlineExceeded, err)
	})
}
