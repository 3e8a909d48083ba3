package main

import (
	"net/http"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/types/known/durationpb"

	wabastreamv1 "github.com/wabastream/wabastream/gen/wabastream/v1"
)

// quietBeats is for how many heartbeats, one a second, a subscription is quiet behind
// the proxy: for more than two idle cuts, or for a minute by make campaign.
func quietBeats() int {
	if os.Getenv("WABASTREAM_TEST_ROUNDS") == "full" {
		return 60
	}
	return 12
}

// A proxy that cuts what is silent for five seconds lets a quiet subscription live
// whose heartbeats come every second: one stream, and the next event comes on it.
func TestProxyCampaignKeepsAQuietSubscription(t *testing.T) {
	t.Parallel()
	p := startProcess(t, t.TempDir())
	began := time.Now()
	f := follow(t, startNginx(t, p.grpc).target, withHeartbeat(time.Second), bySubscribe)
	f.await(t, "a quiet time", func() bool { return f.heartbeats >= quietBeats() || len(f.lost) > 0 })
	quiet := time.Since(began)
	post(t, p, "after")
	f.await(t, "the event after it", func() bool { return len(f.events) > 0 })
	f.leave(t)
	require.Empty(t, f.lost)
	require.Equal(t, 1, f.streams)
	require.Equal(t, []string{"after"}, f.events)
	require.Greater(t, quiet, 2*idleCut)
	t.Logf("one stream, quiet for %v", quiet.Round(time.Millisecond))
}

// The cut is real: with heartbeats that come too late the same proxy ends the stream.
func TestProxyCutsASilentStream(t *testing.T) {
	t.Parallel()
	p := startProcess(t, t.TempDir())
	conn, err := grpc.NewClient(startNginx(t, p.grpc).target, grpc.WithTransportCredentials(insecure.NewCredentials()))
	require.NoError(t, err)
	defer conn.Close()
	const heartbeat = 2 * idleCut
	stream, err := wabastreamv1.NewEventServiceClient(conn).Subscribe(t.Context(), withHeartbeat(heartbeat))
	require.NoError(t, err)
	var last time.Time
	for err == nil { // ready, caught_up, and nothing more
		last = time.Now()
		_, err = stream.Recv()
	}
	silence := time.Since(last)
	reason, _ := reasonOf(err)
	require.Empty(t, reason, "the server ended it: %v", err)
	require.Greater(t, silence, idleCut-time.Second)
	require.Less(t, silence, heartbeat)
	t.Logf("cut after %v of silence: %v", silence.Round(time.Millisecond), err)
}

// While a proxy is reloaded the SDK's streams move over to its new workers: events
// from before, during and after arrive once each, in order.
func TestProxyReloadLosesAndRepeatsNothing(t *testing.T) {
	t.Parallel()
	p := startProcess(t, t.TempDir())
	proxy := startNginx(t, p.grpc)
	f := follow(t, proxy.target, withHeartbeat(time.Second), bySubscribe)

	const reloads, calm = 3, 50
	var posted []string
	postNext := func() {
		id := strconv.Itoa(len(posted))
		post(t, p, id)
		posted = append(posted, id)
	}
	postSome := func() {
		for range calm {
			postNext()
		}
		f.await(t, "what was posted", func() bool { return len(f.events) >= len(posted) })
	}
	postSome()
	for reload := range reloads {
		proxy.reload(t)
		for moved := false; !moved; { // the old worker keeps the stream for a while
			postNext()
			pause(t.Context(), time.Millisecond)
			f.mu.Lock()
			moved = f.streams > reload+1
			f.mu.Unlock()
		}
		postSome()
	}
	f.leave(t)
	require.Equal(t, posted, f.events)
	t.Logf("%d events over %d reloads; %d streams were lost, the first by %v; the longest time without an event was %v",
		len(posted), reloads, len(f.lost), f.lost[0], f.gap.Round(time.Millisecond))
}

func withHeartbeat(interval time.Duration) *wabastreamv1.SubscribeRequest {
	return &wabastreamv1.SubscribeRequest{
		Start:             &wabastreamv1.SubscribeRequest_Position{Position: wabastreamv1.StartPosition_START_POSITION_LATEST},
		HeartbeatInterval: durationpb.New(interval),
	}
}

// post posts a callback of the WABA, which must be accepted.
func post(t *testing.T, p *process, waba string) {
	t.Helper()
	status, err := p.post(t.Context(), callbackOf(waba))
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, status)
}
