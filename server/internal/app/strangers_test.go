package app

import (
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	wabastreamv1 "github.com/wabastream/wabastream/gen/wabastream/v1"
)

// Whoever opens connections to the insiders' listeners and shows no credential makes
// room for others; who was let in keeps its connection, and its stream.
func TestStrangersMakeRoomForCallers(t *testing.T) {
	t.Parallel()
	config := testConfig(t)
	config.MaxConnections = 3
	a := startApp(t, config)
	caller, err := grpc.NewClient(a.Addrs().GRPC, grpc.WithTransportCredentials(insecure.NewCredentials()))
	require.NoError(t, err)
	defer caller.Close()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	stream, err := wabastreamv1.NewEventServiceClient(caller).Subscribe(ctx, &wabastreamv1.SubscribeRequest{})
	require.NoError(t, err)
	frame, err := stream.Recv()
	require.NoError(t, err)
	require.NotNil(t, frame.GetReady())

	// Health may be asked by anybody, and makes nobody known.
	prober, err := grpc.NewClient(a.Addrs().GRPC, grpc.WithTransportCredentials(insecure.NewCredentials()))
	require.NoError(t, err)
	defer prober.Close()
	_, err = healthv1.NewHealthClient(prober).Check(ctx, &healthv1.HealthCheckRequest{})
	require.NoError(t, err)

	for _, addr := range []string{a.Addrs().GRPC, a.Addrs().API} {
		strangers := make([]net.Conn, 3*config.MaxConnections)
		for i := range strangers {
			strangers[i], err = net.Dial("tcp", addr)
			require.NoError(t, err)
			defer strangers[i].Close()
		}
		requireClosed(t, strangers[0])
	}
	code, _ := get(t, "http://"+a.Addrs().API+"/v1/log")
	require.Equal(t, http.StatusOK, code, "a newcomer is served")

	post(t, a, 1, "")
	for {
		frame, err := stream.Recv()
		require.NoError(t, err, "the caller's stream goes on")
		if len(frame.GetBatch().GetEvents()) > 0 {
			break
		}
	}
	cancel()
	_, err = stream.Recv()
	require.Equal(t, codes.Canceled, status.Code(err))
}

// requireClosed waits until the server has closed a connection, of which HTTP/2's
// greeting is read first.
func requireClosed(t *testing.T, c net.Conn) {
	t.Helper()
	require.NoError(t, c.SetReadDeadline(time.Now().Add(10*time.Second)))
	if _, err := io.Copy(io.Discard, c); err != nil {
		require.NotErrorIs(t, err, os.ErrDeadlineExceeded, "the connection is still open")
	}
}
