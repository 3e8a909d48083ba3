package app

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"

	wabastreamv1 "github.com/wabastream/wabastream/gen/wabastream/v1"
)

// withoutRequest begins a call and sends nothing along.
func withoutRequest(t *testing.T, conn *grpc.ClientConn, method string) grpc.ClientStream {
	t.Helper()
	stream, err := conn.NewStream(t.Context(), &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, method)
	require.NoError(t, err)
	return stream
}

func requireCancelled(t *testing.T, stream grpc.ClientStream) {
	t.Helper()
	require.Equal(t, codes.Canceled, status.Code(stream.RecvMsg(new(wabastreamv1.GetLogInfoResponse))))
}

// Calls that send no request, and watches of health, are bounded over all connections,
// by the oldest; subscriptions and whoever sends a request are not among them.
func TestLoiterersMakeRoom(t *testing.T) {
	t.Parallel()
	a := startApp(t, testConfig(t))
	conn, err := grpc.NewClient(a.Addrs().GRPC, grpc.WithTransportCredentials(insecure.NewCredentials()))
	require.NoError(t, err)
	held := func(n int) func() bool { return func() bool { return a.loiter.count() == n } }

	subscription, err := wabastreamv1.NewEventServiceClient(conn).Subscribe(t.Context(), &wabastreamv1.SubscribeRequest{})
	require.NoError(t, err)
	_, err = subscription.Recv()
	require.NoError(t, err)
	require.Zero(t, a.loiter.count(), "a subscription that has begun")

	watch, err := healthv1.NewHealthClient(conn).Watch(t.Context(), &healthv1.HealthCheckRequest{})
	require.NoError(t, err)
	_, err = watch.Recv()
	require.NoError(t, err)
	require.Equal(t, 1, a.loiter.count(), "a watch goes on for as long as it likes")

	methods := []string{
		wabastreamv1.EventService_GetLogInfo_FullMethodName, wabastreamv1.EventService_Subscribe_FullMethodName,
		wabastreamv1.AdminService_CreateBackup_FullMethodName,
	}
	first := withoutRequest(t, conn, methods[0])
	require.Eventually(t, held(2), time.Minute, time.Millisecond)
	for n := range maxLoiterers {
		withoutRequest(t, conn, methods[n%len(methods)])
	}
	_, err = watch.Recv()
	require.Equal(t, codes.Canceled, status.Code(err))
	requireCancelled(t, first)
	require.LessOrEqual(t, a.loiter.count(), maxLoiterers)

	_, err = wabastreamv1.NewEventServiceClient(conn).GetLogInfo(t.Context(), &wabastreamv1.GetLogInfoRequest{})
	require.NoError(t, err)
	require.NoError(t, subscription.Context().Err())
	require.NoError(t, conn.Close())
	require.Eventually(t, held(0), time.Minute, time.Millisecond, "calls that are over are forgotten")
}

// A call is forgotten once, whichever way it ends.
func TestLoitererIsForgottenOnce(t *testing.T) {
	t.Parallel()
	l := &loiterers{limit: 1}
	first, err := l.begin(context.Background(), nil)
	require.NoError(t, err)
	second, err := l.begin(context.Background(), nil)
	require.NoError(t, err)
	require.ErrorIs(t, first.Err(), context.Canceled)
	require.NoError(t, second.Err())
	require.Equal(t, 1, l.count())
	l.endOf(first) // too late
	require.Equal(t, 1, l.count())
	l.endOf(second)
	l.endOf(second)
	l.endOf(context.Background())
	require.Zero(t, l.count())
	require.NoError(t, second.Err(), "it goes on")
	second.Value(loitererKey{}).(*loiterer).cancel()
}

// What was let in over HTTP makes room for nobody.
func TestRelayedCallsDoNotLoiter(t *testing.T) {
	t.Parallel()
	l := &loiterers{limit: 1}
	memory := bufconn.Listen(1)
	defer memory.Close()
	relayed, err := l.begin(peer.NewContext(context.Background(), &peer.Peer{Addr: memory.Addr()}), nil)
	require.NoError(t, err)
	require.Zero(t, l.count())
	for range 2 {
		_, err := l.begin(peer.NewContext(context.Background(), &peer.Peer{Addr: &net.TCPAddr{}}), nil)
		require.NoError(t, err)
	}
	require.NoError(t, relayed.Err())
	require.Equal(t, 1, l.count())
}
