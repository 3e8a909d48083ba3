package client_test

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"

	"github.com/wabastream/wabastream/client"
	wabastreamv1 "github.com/wabastream/wabastream/gen/wabastream/v1"
)

func TestNewRefusesWhatCannotWork(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		target  string
		options []client.Option
		message string
	}{
		"no target":         {"", nil, "127.0.0.1:9090"},
		"web address":       {"https://events.example.com", nil, "web address"},
		"zero backoff":      {"localhost:1", []client.Option{client.WithBackoff(0, time.Second)}, "positive minimum"},
		"backwards backoff": {"localhost:1", []client.Option{client.WithBackoff(time.Second, time.Millisecond)}, "maximum not below"},
		"plain and secure": {"localhost:1", []client.Option{
			client.WithInsecure(), client.WithTransportCredentials(credentials.NewTLS(nil)),
		}, "exclude each other"},
		"a token over a transport that was replaced": {"events.example.com:443", []client.Option{
			client.WithToken("secret"), client.WithDialOptions(grpc.WithTransportCredentials(insecure.NewCredentials())),
		}, "client for events.example.com:443"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := client.New(tt.target, tt.options...)
			require.ErrorContains(t, err, tt.message)
			require.NotContains(t, err.Error(), "secret")
		})
	}
}

// tlsPair is a server's and a matching client's TLS configuration.
func tlsPair(t *testing.T) (server, clientSide *tls.Config) {
	t.Helper()
	h := httptest.NewTLSServer(http.NotFoundHandler())
	defer h.Close()
	transport, ok := h.Client().Transport.(*http.Transport)
	require.True(t, ok)
	return &tls.Config{Certificates: h.TLS.Certificates},
		&tls.Config{RootCAs: transport.TLSClientConfig.RootCAs, ServerName: "example.com"}
}

// serveRemote starts a fake server and returns an option to reach it at whatever
// target.
func serveRemote(t *testing.T, f *fake, options ...grpc.ServerOption) client.Option {
	t.Helper()
	listener := bufconn.Listen(1 << 20)
	server := grpc.NewServer(options...)
	wabastreamv1.RegisterEventServiceServer(server, f)
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	t.Cleanup(func() {
		server.Stop()
		require.NoError(t, <-served)
	})
	return client.WithDialOptions(grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
		return listener.DialContext(ctx)
	}))
}

func TestRemoteTargetIsSpokenToOverTLSOnly(t *testing.T) {
	t.Parallel()
	serverSide, clientSide := tlsPair(t)
	f := &fake{scripts: []script{play(nil, ready("c0"), batch(1))}}
	dial := serveRemote(t, f, grpc.Creds(credentials.NewTLS(serverSide)))
	const target = "passthrough:///events.example.com:443"

	// The system's roots do not know the certificate, so there is no connection.
	c, err := client.New(target, dial, client.WithToken("secret"))
	require.NoError(t, err)
	defer func() { require.NoError(t, c.Close()) }()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var lost error
	_, err = drainContext(ctx, c, untilHead(), client.WithObserver(func(n client.Notice) {
		lost = n.Err
		cancel()
	}))
	require.Equal(t, context.Canceled, err)
	require.ErrorContains(t, lost, "x509")
	require.Empty(t, f.seen())

	trusting, err := client.New(target, dial, client.WithToken("secret"), client.WithTransportCredentials(credentials.NewTLS(clientSide)))
	require.NoError(t, err)
	defer func() { require.NoError(t, trusting.Close()) }()
	events, err := drain(trusting, untilHead())
	require.NoError(t, err)
	require.Equal(t, []uint64{1}, events)
	require.Equal(t, []string{"Bearer secret"}, f.seen()[0].header.Get("authorization"))
}

func TestServerWithoutTLSEndsTheSubscription(t *testing.T) {
	t.Parallel()
	f := &fake{}
	c, err := client.New("passthrough:///events.example.com:9090", serveRemote(t, f))
	require.NoError(t, err)
	defer func() { require.NoError(t, c.Close()) }()
	_, err = drain(c, untilHead())
	require.ErrorIs(t, err, &client.Error{Code: codes.Unavailable, Reason: client.ReasonNoTLS})
	require.ErrorContains(t, err, "use WithInsecure if the network is safe")
	require.Empty(t, f.seen())
}

// Once there was a stream, the options are right: then it is a server on its way
// back, or something in its place.
func TestLostTLSIsRetried(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		noTLS := status.Error(codes.Unavailable, "tls: first record does not look like a TLS handshake")
		_, c := serve(t, play(unavailable(), ready("c0"), batch(1)), play(noTLS), play(nil, ready("c1"), batch(2)))
		events, err := drain(c, untilHead())
		require.NoError(t, err)
		require.Equal(t, []uint64{1, 2}, events)
	})
}

func TestUnaryCallsCarryTheToken(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := connect(t, &fake{}, client.WithToken("secret"))
		_, err := c.API().GetLogInfo(t.Context(), &wabastreamv1.GetLogInfoRequest{})
		require.ErrorContains(t, err, "not implemented", "the fake has no unary calls")
	})
}

func TestLogTellsOfStreamsAndNotOfEvents(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var text strings.Builder
		logger := slog.New(slog.NewTextHandler(&text, nil))
		first := ready("c0")
		first.GetReady().Warnings = []string{"no such account was ever seen"}
		personal := batch(1)
		personal.GetBatch().GetEvents()[0].Payload = &wabastreamv1.Event_UserPreference{
			UserPreference: &wabastreamv1.UserPreference{WaId: "4915112345678"},
		}
		f := &fake{scripts: []script{
			play(unavailable(), first, personal),
			play(unavailable(), first, closing("c1", time.Second)),
			play(nil, first),
		}}
		_, err := drain(connect(t, f, client.WithLogger(logger), client.WithToken("secret")), untilHead())
		require.NoError(t, err)

		require.Equal(t, 1, strings.Count(text.String(), "no such account"), "warnings are for the first stream")
		require.Equal(t, 1, strings.Count(text.String(), "level=WARN msg=\"stream ended"))
		require.Equal(t, 1, strings.Count(text.String(), "level=INFO msg=\"stream ended"), "a planned end is no warning")
		require.NotContains(t, text.String(), "4915112345678")
		require.NotContains(t, text.String(), "secret")
	})
}

func TestNilLoggerIsSilent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := &fake{scripts: []script{play(unavailable()), play(nil, ready("c0"))}}
		_, err := drain(connect(t, f, client.WithLogger(nil)), untilHead())
		require.NoError(t, err)
	})
}
