package client_test

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

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
				postUntilAnswered(t, s, fmt.Sprintf("%d-%d", poster, i))
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

// postUntilAnswered posts as the provider does: again until it is answered 200.
func postUntilAnswered(t *testing.T, s *servertest.Server, id string) {
	t.Helper()
	body := fmt.Appendf(nil, `{"field":"account_update","value":{"event":"ACCOUNT_DELETED","time":1757450905,"wabaId":%q}}`, id)
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
