package main

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wabastream/wabastream/client"
	wabastreamv1 "github.com/wabastream/wabastream/gen/wabastream/v1"
)

const killPosters = 16

// killRounds is how often the server is killed; make campaign asks for more.
func killRounds() int {
	if os.Getenv("WABASTREAM_TEST_ROUNDS") == "full" {
		return 100
	}
	return 20
}

// What was answered 200 is in the log exactly once after kill -9 at a random
// moment; what was not is posted again, as the provider does, and is there once
// too.
func TestKillLosesAndRepeatsNothing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	answered := make(map[string]bool) // WABA id, one a callback → answered 200
	var unanswered []string
	for round := range killRounds() {
		p := startProcess(t, dir)
		requireExactlyOnce(t, p, answered)
		pending := unanswered
		unanswered = nil
		var mu sync.Mutex // guards answered and unanswered
		var posters sync.WaitGroup
		for poster := range killPosters {
			var again []string
			for i := poster; i < len(pending); i += killPosters {
				again = append(again, pending[i])
			}
			posters.Go(func() {
				for i := 0; ; i++ {
					id := fmt.Sprintf("%d-%d-%d", round, poster, i)
					if i < len(again) {
						id = again[i]
					}
					status, err := p.post(t.Context(), callbackOf(id))
					mu.Lock()
					if err == nil && status == http.StatusOK {
						answered[id] = true
					} else {
						unanswered = append(unanswered, id)
					}
					mu.Unlock()
					if err != nil {
						return
					}
				}
			})
		}
		<-time.After(time.Duration(20+rand.IntN(150)) * time.Millisecond)
		p.kill()
		posters.Wait()
	}
	p := startProcess(t, dir)
	requireExactlyOnce(t, p, answered)
	for _, id := range unanswered {
		status, err := p.post(t.Context(), callbackOf(id))
		require.NoError(t, err)
		require.Equal(t, http.StatusOK, status)
		answered[id] = true
	}
	requireExactlyOnce(t, p, answered)
	t.Logf("%d callbacks over %d kills", len(answered), killRounds())
	require.Greater(t, len(answered), killRounds()*killPosters, "the load was real")
}

func callbackOf(id string) []byte {
	return fmt.Appendf(nil, `{"field":"account_update","value":{"event":"ACCOUNT_DELETED","time":1757450905,"wabaId":%q}}`, id)
}

// requireExactlyOnce reads the whole log: every answered callback is there, and
// none is there twice.
func requireExactlyOnce(t *testing.T, p *process, answered map[string]bool) {
	t.Helper()
	c, err := client.New(p.grpc)
	require.NoError(t, err)
	defer c.Close()
	seen := make(map[string]bool)
	for event, err := range c.Subscribe(t.Context(), &wabastreamv1.SubscribeRequest{
		Start: &wabastreamv1.SubscribeRequest_Position{Position: wabastreamv1.StartPosition_START_POSITION_EARLIEST},
		Stop:  &wabastreamv1.SubscribeRequest_StopAtHead{StopAtHead: true},
	}) {
		require.NoError(t, err)
		require.False(t, seen[event.GetWabaId()], "%s is in the log twice", event.GetWabaId())
		seen[event.GetWabaId()] = true
	}
	for id := range answered {
		require.True(t, seen[id], "%s was answered 200 and is not in the log", id)
	}
}
