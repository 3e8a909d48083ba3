package client_test

import (
	"context"
	"fmt"
	"net/http"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wabastream/wabastream/client"
	wabastreamv1 "github.com/wabastream/wabastream/gen/wabastream/v1"
	"github.com/wabastream/wabastream/server/servertest"
)

// A subscriber that runs across five restarts of the real server, under load,
// receives every event once and in order.
func TestSubscribeAcrossServerRestarts(t *testing.T) {
	t.Parallel()
	const posters, each, restarts = 4, 150, 5
	s := servertest.Start(t)
	c, err := client.New(s.GRPCAddr(), client.WithBackoff(5*time.Millisecond, 50*time.Millisecond))
	require.NoError(t, err)
	defer c.Close()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()

	received := make(chan *wabastreamv1.Event)
	var subscriber sync.WaitGroup
	subscriber.Go(func() {
		defer close(received)
		for event, err := range c.Subscribe(ctx, &wabastreamv1.SubscribeRequest{
			Start: &wabastreamv1.SubscribeRequest_Position{Position: wabastreamv1.StartPosition_START_POSITION_EARLIEST},
		}) {
			if err != nil {
				if ctx.Err() == nil {
					t.Errorf("subscribe: %v", err)
				}
				return
			}
			received <- event
		}
	})

	var load sync.WaitGroup
	for poster := range posters {
		load.Go(func() {
			for i := range each {
				postUntilAnswered(t, s, fmt.Sprintf("%d-%d", poster, i), 1757450905)
			}
		})
	}
	seen := make(map[string]bool)
	var last uint64
	for restarted := 0; len(seen) < posters*each; {
		event, ok := <-received
		require.True(t, ok, "the subscription ended")
		require.False(t, seen[event.GetWabaId()], "%s came twice", event.GetWabaId())
		require.Greater(t, event.GetSequence(), last, "out of order")
		seen[event.GetWabaId()], last = true, event.GetSequence()
		if restarted < restarts && len(seen) > (restarted+1)*posters*each/(restarts+1) {
			restarted++
			s.Restart()
		}
	}
	load.Wait()
	cancel()
	for event := range received {
		require.Fail(t, "an event too many", event.GetWabaId())
	}
	subscriber.Wait()
}

// A consumer that is restarted as well as the server, and fails now and then,
// handles every event at least once and each account's in order.
func TestHandleAcrossRestarts(t *testing.T) {
	t.Parallel()
	const accounts, each, lives = 5, 40, 6
	s := servertest.Start(t)
	c, err := client.New(s.GRPCAddr(), client.WithBackoff(5*time.Millisecond, 50*time.Millisecond))
	require.NoError(t, err)
	defer c.Close()
	var load sync.WaitGroup
	for account := range accounts {
		load.Go(func() {
			for i := range each {
				postUntilAnswered(t, s, strconv.Itoa(account), 1757450905+i)
			}
		})
	}

	store := client.NewFileCheckpoint(filepath.Join(t.TempDir(), "cursor"))
	var mu sync.Mutex
	next := make(map[string]int64) // each account's first event that was not handled
	handled, calls := 0, 0
	for life := 1; handled < accounts*each; life++ {
		require.Less(t, life, 5000, "events are missing: %v", next)
		ctx, cancel := context.WithCancel(t.Context())
		err := c.Handle(ctx, fromEarliest(), func(_ context.Context, event *wabastreamv1.Event) error {
			mu.Lock()
			defer mu.Unlock()
			waba, number := event.GetWabaId(), event.GetOccurTime().GetSeconds()-1757450905
			if calls++; calls%7 == 0 {
				return errHandler
			}
			assert.LessOrEqual(t, number, next[waba], "an event of account %s was passed over", waba)
			if number == next[waba] {
				next[waba]++
				handled++
			}
			if life < lives && handled > life*accounts*each/lives {
				cancel()
			}
			return nil
		}, client.WithConcurrency(3), client.WithCheckpoint(store), client.WithSaveInterval(5*time.Millisecond),
			client.WithRetry(10, time.Millisecond, 5*time.Millisecond))
		if ctx.Err() == nil {
			require.NoError(t, err)
		}
		cancel()
		if life < lives {
			s.Restart()
		}
	}
	load.Wait()
}

// postUntilAnswered posts as the provider does: again until it is answered 200.
func postUntilAnswered(t *testing.T, s *servertest.Server, id string, seconds int) {
	t.Helper()
	body := fmt.Appendf(nil, `{"field":"account_update","value":{"event":"ACCOUNT_DELETED","time":%d,"wabaId":%q}}`, seconds, id)
	for {
		status, _, err := s.TryPost(t.Context(), body)
		if err == nil && status == http.StatusOK {
			return
		}
		if t.Context().Err() != nil {
			t.Errorf("%s was never answered 200: %d, %v", id, status, err)
			return
		}
		select {
		case <-time.After(5 * time.Millisecond):
		case <-t.Context().Done():
		}
	}
}
