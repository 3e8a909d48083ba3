package guard

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/reflection"
	reflectionv1 "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"

	wabastreamv1 "github.com/wabastream/wabastream/gen/wabastream/v1"
	"github.com/wabastream/wabastream/server/internal/access"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// known is a policy that knows callers by their tokens.
type known map[string]*access.Session

func (k known) Authenticate(_ context.Context, c access.Credentials) (*access.Session, error) {
	if s, ok := k[c.Bearer]; ok {
		return s, nil
	}
	if c.Bearer == "" {
		return nil, access.ErrMissing
	}
	return nil, access.ErrInvalid
}

// echo answers with who calls, and from where.
type echo struct {
	wabastreamv1.UnimplementedEventServiceServer
	entered chan struct{} // takes one token for each list that waits
}

func (echo) GetLogInfo(ctx context.Context, _ *wabastreamv1.GetLogInfoRequest) (*wabastreamv1.GetLogInfoResponse, error) {
	from, _ := peer.FromContext(ctx)
	return &wabastreamv1.GetLogInfoResponse{LogId: access.FromContext(ctx).Caller().Name, ServerVersion: from.Addr.String()}, nil
}

// ListEvents waits until its caller is gone.
func (e echo) ListEvents(ctx context.Context, _ *wabastreamv1.ListEventsRequest) (*wabastreamv1.ListEventsResponse, error) {
	e.entered <- struct{}{}
	<-ctx.Done()
	return &wabastreamv1.ListEventsResponse{}, nil
}

type rig struct {
	*Guard
	entered     chan struct{}
	drain       context.CancelFunc
	tcp, memory *grpc.ClientConn
}

// newRig is a server that guards both of its listeners.
func newRig(t *testing.T, policy Policy) *rig {
	t.Helper()
	ctx, drain := context.WithCancel(context.Background())
	r := &rig{Guard: New(Config{Policy: policy, Draining: ctx}), entered: make(chan struct{}, 1), drain: drain}
	server := grpc.NewServer(grpc.UnaryInterceptor(r.Unary), grpc.StreamInterceptor(r.Stream))
	wabastreamv1.RegisterEventServiceServer(server, echo{entered: r.entered})
	healthv1.RegisterHealthServer(server, health.NewServer())
	reflection.Register(server)
	tcp, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	memory := bufconn.Listen(1 << 16)
	served := make(chan error, 2)
	for _, l := range []net.Listener{tcp, memory} {
		go func() { served <- server.Serve(l) }()
	}
	r.tcp = dial(t, tcp.Addr().String())
	r.memory = dial(t, "passthrough:///memory", grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return memory.DialContext(ctx) }))
	t.Cleanup(func() {
		drain()
		server.Stop()
		for range 2 {
			require.NoError(t, <-served)
		}
	})
	return r
}

func dial(t *testing.T, target string, options ...grpc.DialOption) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient(target, append(options, grpc.WithTransportCredentials(insecure.NewCredentials()))...)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, conn.Close()) })
	return conn
}

func (r *rig) whoIs(ctx context.Context, conn *grpc.ClientConn) (*wabastreamv1.GetLogInfoResponse, error) {
	return wabastreamv1.NewEventServiceClient(conn).GetLogInfo(ctx, &wabastreamv1.GetLogInfoRequest{}, grpc.WaitForReady(true))
}

func with(ctx context.Context, token string) context.Context {
	return metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+token)
}

func requireReason(t *testing.T, err error, code codes.Code, reason string) {
	t.Helper()
	st := status.Convert(err)
	require.Equal(t, code.String(), st.Code().String(), "%v", err)
	require.NotEmpty(t, st.Details(), "%v", err)
	require.Equal(t, reason, st.Details()[0].(*errdetails.ErrorInfo).GetReason())
}

// A request over HTTP is who it was let in as, over memory, for as long as it is under
// way; nobody else can be it.
func TestRelay(t *testing.T) {
	t.Parallel()
	session := access.NewSession(access.Caller{Name: "billing"})
	r := newRig(t, known{"t": session})
	request := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/v1/log", nil)
	request.RemoteAddr = "10.1.2.3:4567"
	request.Header.Set("Authorization", "Bearer t")
	admitted, done, err := r.HTTP(request, Consumers)
	require.NoError(t, err)
	require.Empty(t, admitted.Header.Get("Authorization"), "the token stays here")
	require.Same(t, session, access.FromContext(admitted.Context()))

	relayed := metadata.NewOutgoingContext(t.Context(), Metadata(admitted.Context()))
	got, err := r.whoIs(relayed, r.memory)
	require.NoError(t, err)
	require.Equal(t, "billing", got.GetLogId())
	require.Equal(t, "10.1.2.3:4567", got.GetServerVersion())

	_, err = r.whoIs(relayed, r.tcp)
	requireReason(t, err, codes.Unauthenticated, "CREDENTIALS_MISSING")
	_, err = r.whoIs(metadata.NewOutgoingContext(t.Context(), metadata.Join(Metadata(admitted.Context()), metadata.Pairs(relayKey, "x"))), r.memory)
	requireReason(t, err, codes.Unauthenticated, "CREDENTIALS_MISSING")
	_, err = r.whoIs(with(t.Context(), "t"), r.memory)
	requireReason(t, err, codes.Unauthenticated, "CREDENTIALS_MISSING")
	done()
	_, err = r.whoIs(relayed, r.memory)
	requireReason(t, err, codes.Canceled, "CLIENT_LEFT")
	require.Empty(t, r.relayed.calls)
}

func TestRulesOverHTTP(t *testing.T) {
	t.Parallel()
	g := New(Config{Draining: t.Context(), Policy: known{
		"reader":   access.NewSession(access.Caller{}),
		"operator": access.NewSession(access.Caller{Grant: access.Grant{Operate: true}}),
		"monitor":  access.NewSession(access.Caller{Grant: access.Grant{Metrics: true}}),
	}})
	for name, c := range map[string]struct {
		token  string
		rule   Rule
		code   codes.Code
		reason string
	}{
		"nobody's":             {"operator", Nobody, codes.PermissionDenied, "NOT_ALLOWED"},
		"anybody's":            {"wrong", Anybody, codes.OK, ""},
		"consumers', none":     {"", Consumers, codes.Unauthenticated, "CREDENTIALS_MISSING"},
		"consumers', wrong":    {"wrong", Consumers, codes.Unauthenticated, "CREDENTIALS_INVALID"},
		"consumers'":           {"reader", Consumers, codes.OK, ""},
		"operators'":           {"operator", Operators, codes.OK, ""},
		"operators', a reader": {"reader", Operators, codes.PermissionDenied, "OPERATOR_REQUIRED"},
		"monitors'":            {"monitor", Monitors, codes.OK, ""},
		"monitors', operator":  {"operator", Monitors, codes.PermissionDenied, "METRICS_NOT_ALLOWED"},
	} {
		request := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
		if c.token != "" {
			request.Header.Set("Authorization", "Bearer "+c.token)
		}
		admitted, done, err := g.HTTP(request, c.rule)
		if c.code != codes.OK {
			requireReason(t, err, c.code, c.reason)
			continue
		}
		require.NoError(t, err, name)
		if c.rule == Anybody {
			require.Zero(t, access.FromContext(admitted.Context()).Caller())
		}
		done()
	}
}

// What is under way ends with the session, although its handler does not look.
func TestCallsEndWithTheSession(t *testing.T) {
	t.Parallel()
	session := access.NewSession(access.Caller{})
	r := newRig(t, known{"t": session})
	ctx := with(t.Context(), "t")
	stream, err := reflectionv1.NewServerReflectionClient(r.tcp).ServerReflectionInfo(ctx, grpc.WaitForReady(true))
	require.NoError(t, err)
	require.NoError(t, stream.Send(&reflectionv1.ServerReflectionRequest{MessageRequest: &reflectionv1.ServerReflectionRequest_ListServices{}}))
	_, err = stream.Recv()
	require.NoError(t, err)
	listed := make(chan error, 1)
	go func() {
		_, err := wabastreamv1.NewEventServiceClient(r.tcp).ListEvents(ctx, &wabastreamv1.ListEventsRequest{})
		listed <- err
	}()
	<-r.entered
	session.End(access.ErrExpired)
	requireReason(t, <-listed, codes.Unauthenticated, "CREDENTIALS_EXPIRED")
	_, err = stream.Recv()
	requireReason(t, err, codes.Unauthenticated, "CREDENTIALS_EXPIRED")
}

func TestStreamsWithoutAnEndEndWithTheServer(t *testing.T) {
	t.Parallel()
	r := newRig(t, known{"t": access.NewSession(access.Caller{})})
	watch, err := healthv1.NewHealthClient(r.tcp).Watch(t.Context(), &healthv1.HealthCheckRequest{}, grpc.WaitForReady(true))
	require.NoError(t, err)
	_, err = watch.Recv()
	require.NoError(t, err)
	stream, err := reflectionv1.NewServerReflectionClient(r.tcp).ServerReflectionInfo(with(t.Context(), "t"))
	require.NoError(t, err)
	require.NoError(t, stream.Send(&reflectionv1.ServerReflectionRequest{MessageRequest: &reflectionv1.ServerReflectionRequest_ListServices{}}))
	_, err = stream.Recv()
	require.NoError(t, err)
	r.drain()
	_, err = watch.Recv()
	requireReason(t, err, codes.Unavailable, "DRAINING")
	_, err = stream.Recv()
	requireReason(t, err, codes.Unavailable, "DRAINING")
	require.NotErrorIs(t, err, io.EOF)
}

// That credentials cannot be checked is not said to be the caller's fault.
func TestPolicyThatFails(t *testing.T) {
	t.Parallel()
	requireReason(t, unauthenticated(access.ErrUnavailable), codes.Unavailable, "CREDENTIALS_NOT_VERIFIABLE")
	err := unauthenticated(errors.New("dial 10.0.0.1"))
	requireReason(t, err, codes.Unavailable, "CREDENTIALS_NOT_VERIFIABLE")
	require.NotContains(t, err.Error(), "10.0.0.1")
}
