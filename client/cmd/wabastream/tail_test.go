package main

import (
	"context"
	"crypto/tls"
	"encoding/pem"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"

	wabastreamv1 "github.com/wabastream/wabastream/gen/wabastream/v1"
)

// oneEvent streams one event and then holds the stream. It wants a token.
type oneEvent struct {
	wabastreamv1.UnimplementedEventServiceServer
	token string
}

func (o oneEvent) Subscribe(_ *wabastreamv1.SubscribeRequest, stream grpc.ServerStreamingServer[wabastreamv1.SubscribeResponse]) error {
	header, _ := metadata.FromIncomingContext(stream.Context())
	if got := header.Get("authorization"); o.token != "" && (len(got) != 1 || got[0] != "Bearer "+o.token) {
		return errors.New("no token, or a wrong one")
	}
	for _, frame := range []*wabastreamv1.SubscribeResponse{
		{Cursor: "c0", Frame: &wabastreamv1.SubscribeResponse_Ready{Ready: &wabastreamv1.Ready{HeadCursor: "c0"}}},
		{Cursor: "c2", Frame: &wabastreamv1.SubscribeResponse_Batch{Batch: &wabastreamv1.Batch{Events: []*wabastreamv1.Event{
			{Sequence: 1, Cursor: "c1"}, {Sequence: 2, Cursor: "c2"},
		}}}},
	} {
		if err := stream.Send(frame); err != nil {
			return err
		}
	}
	<-stream.Context().Done()
	return stream.Context().Err()
}

// listen serves on a free loopback port and returns the address.
func listen(t *testing.T, service oneEvent, options ...grpc.ServerOption) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	server := grpc.NewServer(options...)
	wabastreamv1.RegisterEventServiceServer(server, service)
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	t.Cleanup(func() {
		server.Stop()
		require.NoError(t, <-served)
	})
	return listener.Addr().String()
}

// writerFunc is a writer that does something else.
type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

// tailInto runs tail with standard output going to out.
func tailInto(ctx context.Context, out writerFunc, args ...string) (stderr string, failure error) {
	var notes []byte
	root := newRootCommand(&console{
		out:       out,
		err:       writerFunc(func(p []byte) (int, error) { notes = append(notes, p...); return len(p), nil }),
		env:       func(string) string { return "" },
		configDir: func() (string, error) { return "", errors.New("no home") },
	})
	root.SetArgs(append([]string{"tail"}, args...))
	failure = root.ExecuteContext(ctx)
	return string(notes), failure
}

// Interrupted inside a batch, tail names the event that was printed last, not
// the end of the batch.
func TestInterruptedTailSaysHowToGoOn(t *testing.T) {
	t.Parallel()
	addr := listen(t, oneEvent{})
	ctx, interrupt := context.WithCancel(t.Context())
	stderr, err := tailInto(ctx, func(p []byte) (int, error) {
		interrupt()
		return len(p), nil
	}, "--addr", addr, "--output", "table")
	require.NoError(t, err)
	require.Contains(t, stderr, "-- to go on from here, use --from cursor:c1\n")
}

func TestTailEndsWhenItCannotPrint(t *testing.T) {
	t.Parallel()
	full := errors.New("disk is full")
	for _, output := range []string{"table", "json"} {
		_, err := tailInto(t.Context(), func([]byte) (int, error) { return 0, full },
			"--addr", listen(t, oneEvent{}), "--output", output)
		require.ErrorIs(t, err, full)
		require.ErrorContains(t, err, "print event: ")
	}
}

func TestTailOverTLSWithToken(t *testing.T) {
	t.Parallel()
	h := httptest.NewTLSServer(http.NotFoundHandler())
	defer h.Close()
	addr := listen(t, oneEvent{token: "secret"}, grpc.Creds(credentials.NewTLS(&tls.Config{Certificates: h.TLS.Certificates})))

	dir := t.TempDir()
	token, roots := filepath.Join(dir, "token"), filepath.Join(dir, "ca.pem")
	require.NoError(t, os.WriteFile(token, []byte("secret\n"), 0o600))
	certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: h.Certificate().Raw})
	require.NoError(t, os.WriteFile(roots, certificate, 0o600))

	t.Run("token file", func(t *testing.T) {
		t.Parallel()
		got := execute(t.Context(), nil, "tail", "--addr", addr, "--ca-file", roots, "--token-file", token, "--limit", "1")
		require.NoError(t, got.failure)
		require.JSONEq(t, `{"cursor":"c1","sequence":"1"}`, got.out)
	})
	t.Run("token in the environment", func(t *testing.T) {
		t.Parallel()
		env := map[string]string{"WABASTREAM_TOKEN": "secret", "WABASTREAM_ADDR": addr}
		got := execute(t.Context(), env, "tail", "--ca-file", roots, "--limit", "1")
		require.NoError(t, got.failure)
	})
	t.Run("wrong token", func(t *testing.T) {
		t.Parallel()
		got := execute(t.Context(), map[string]string{"WABASTREAM_TOKEN": "other"}, "tail", "--addr", addr, "--ca-file", roots)
		require.ErrorContains(t, got.failure, "a wrong one")
		require.NotContains(t, got.failure.Error(), "other")
	})
	t.Run("the system's roots do not know it", func(t *testing.T) {
		t.Parallel()
		got := execute(t.Context(), nil, "tail", "--addr", addr, "--tls")
		require.ErrorContains(t, got.failure, "x509")
	})
	t.Run("plaintext to a TLS server", func(t *testing.T) {
		t.Parallel()
		got := execute(t.Context(), nil, "tail", "--addr", addr, "--insecure")
		require.ErrorContains(t, got.failure, "no stream from "+addr)
	})
}
