// Package rest is the server's API over HTTP: what insiders with curl or a browser
// use instead of gRPC, and where operators look.
//
// It guarantees that every call is answered by the gRPC server itself, so that both
// hold to one set of rules; that a request which it does not understand in whole is
// refused, because a start that went unseen would mean "from the newest event on";
// and that every error is a google.rpc.Status as JSON that carries a reason.
//
// It listens nowhere, and knows nothing of TLS.
package rest

import (
	"context"
	"fmt"
	"net"
	"net/http"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

// maxAnswerBytes is more than any answer of the gRPC server.
const maxAnswerBytes = 8 << 20

// Config is what an API is made of. All of it is required.
type Config struct {
	// Dial connects to the gRPC server, in a way that nothing outside the process
	// can: nothing on the connection is encrypted.
	Dial func(ctx context.Context) (net.Conn, error)
	// Ready says whether the server takes requests. It is called concurrently.
	Ready func() bool
	// Metrics serves the server's metrics.
	Metrics http.Handler
}

// API serves the paths of the API. It is safe for concurrent use, but for Close.
type API struct {
	mux  *http.ServeMux
	conn *grpc.ClientConn
}

// New makes an API, which is to be closed. It does not connect yet.
func New(config Config) (*API, error) {
	conn, err := grpc.NewClient("passthrough:///in-memory",
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return config.Dial(ctx) }),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxAnswerBytes)))
	if err != nil {
		return nil, fmt.Errorf("connect to the gRPC server: %w", err)
	}
	gateway, err := newGateway(conn)
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	a := &API{mux: http.NewServeMux(), conn: conn}
	a.mux.Handle("/v1/", gateway)
	a.mux.Handle("GET /healthz", Health())
	a.mux.Handle("GET /readyz", readiness(config.Ready))
	a.mux.Handle("GET /metrics", config.Metrics)
	a.mux.Handle("/", NotFound(paths()))
	return a, nil
}

// ServeHTTP implements http.Handler.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) { a.mux.ServeHTTP(w, r) }

// Close ends the connection to the gRPC server, and what is still under way on it.
func (a *API) Close() error { return a.conn.Close() }

// Health answers that the process is there.
func Health() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte("ok\n"))
	})
}

func readiness(ready func() bool) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if !ready() {
			http.Error(w, "not ready", http.StatusServiceUnavailable)
			return
		}
		_, _ = w.Write([]byte("ready\n"))
	})
}
