package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/encoding/protojson"

	wabastreamv1 "github.com/wabastream/wabastream/gen/wabastream/v1"
)

const (
	readHeaderTimeout = 10 * time.Second
	readTimeout       = 30 * time.Second
	idleTimeout       = 2 * time.Minute
	silentGrace       = 500 * time.Millisecond
	maxHeaderBytes    = 32 << 10
	gatewayMaxMessage = 8 << 20
)

// readiness is what health checks answer.
type readiness struct {
	ready    atomic.Bool
	onChange func(ready bool)
}

func (r *readiness) set(ready bool) {
	r.ready.Store(ready)
	r.onChange(ready)
}

// listenHTTP binds http_addr, which faces the provider: nothing of the API is
// reachable there.
func (a *App) listenHTTP(ctx context.Context) error {
	mux := http.NewServeMux()
	mux.Handle("/webhooks/", a.front)
	mux.HandleFunc("GET /healthz", a.serveHealth)
	mux.HandleFunc("/", notFound("POST callbacks to /webhooks/{source}"))
	var err error
	a.httpAddr, err = a.serveHTTP(ctx, "http_addr", a.config.HTTPAddr, &http.Server{
		Handler:           mux,
		ReadHeaderTimeout: readHeaderTimeout,
		ReadTimeout:       readTimeout,
	})
	return err
}

// listenAPI binds api_addr, which faces insiders.
func (a *App) listenAPI(ctx context.Context) error {
	mux := http.NewServeMux()
	mux.Handle("/v1/", a.gateway)
	mux.HandleFunc("GET /readyz", a.serveReady)
	mux.HandleFunc("GET /healthz", a.serveHealth)
	mux.Handle("GET /metrics", promhttp.HandlerFor(a.registry, promhttp.HandlerOpts{Registry: a.registry}))
	mux.HandleFunc("/", notFound("the API is at /v1/events:subscribe, /v1/events:list, /v1/events/{id} and /v1/log"))
	var err error
	a.apiAddr, err = a.serveHTTP(ctx, "api_addr", a.config.APIAddr, &http.Server{Handler: mux, ReadHeaderTimeout: readHeaderTimeout})
	return err
}

func (a *App) serveHTTP(ctx context.Context, name, addr string, s *http.Server) (net.Addr, error) {
	s.IdleTimeout = idleTimeout
	s.MaxHeaderBytes = maxHeaderBytes
	s.ErrorLog = slog.NewLogLogger(a.logger.With("component", name).Handler(), slog.LevelDebug)
	listener, err := listen(ctx, name, addr)
	if err != nil {
		return nil, err
	}
	a.servers = append(a.servers, server{name, func() error {
		if err := s.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("accept: %w", err)
		}
		return nil
	}})
	silent := &silentConns{conns: make(map[net.Conn]struct{})}
	s.ConnState = silent.track
	a.teardown.push("stop "+name, func(ctx context.Context) error {
		defer listener.Close() // closed already if the server took it
		defer time.AfterFunc(silentGrace, silent.close).Stop()
		err := s.Shutdown(ctx)
		if errors.Is(err, context.DeadlineExceeded) {
			a.logger.Warn("shutdown cut off requests that had not ended", "listener", name)
			return s.Close()
		}
		return err
	})
	return listener.Addr(), nil
}

// silentConns are connections that have not sent a request yet. Shutdown would
// wait five seconds for one, as clients open them ahead of need.
type silentConns struct {
	mu    sync.Mutex // guards conns
	conns map[net.Conn]struct{}
}

func (s *silentConns) track(conn net.Conn, state http.ConnState) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if state == http.StateNew {
		s.conns[conn] = struct{}{}
	} else {
		delete(s.conns, conn)
	}
}

func (s *silentConns) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for conn := range s.conns {
		_ = conn.Close()
	}
}

func listen(ctx context.Context, name, addr string) (net.Listener, error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("%s: %w; choose another address, or port 0 for any free one", name, err)
	}
	return listener, nil
}

// dialGateway makes the REST gateway, which speaks to the gRPC server through
// memory like any other client.
func (a *App) dialGateway(inMemory *bufconn.Listener) error {
	conn, err := grpc.NewClient("passthrough:///in-memory",
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return inMemory.DialContext(ctx) }),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(gatewayMaxMessage)))
	if err != nil {
		return fmt.Errorf("connect the gateway: %w", err)
	}
	a.teardown.push("disconnect the gateway", func(context.Context) error { return conn.Close() })
	mux := runtime.NewServeMux(
		runtime.WithMarshalerOption(runtime.MIMEWildcard, newMarshaler()),
		runtime.WithIncomingHeaderMatcher(dropGRPCMetadata),
		runtime.WithRoutingErrorHandler(routingError))
	// The registration's context only bounds its lifetime; the connection is
	// closed by the teardown.
	if err := wabastreamv1.RegisterEventServiceHandler(context.Background(), mux, conn); err != nil {
		return fmt.Errorf("register the gateway: %w", err)
	}
	a.gateway = mux
	return nil
}

// dropGRPCMetadata keeps a client from sending gRPC metadata through HTTP
// headers: metadata is how this process speaks to itself.
func dropGRPCMetadata(header string) (string, bool) {
	if strings.HasPrefix(strings.ToLower(header), strings.ToLower(runtime.MetadataHeaderPrefix)) {
		return "", false
	}
	return runtime.DefaultHeaderMatcher(header)
}

// routingError answers 405 where the gateway's own handler says 501, which reads
// as if the server were too old.
func routingError(ctx context.Context, mux *runtime.ServeMux, m runtime.Marshaler, w http.ResponseWriter, r *http.Request, code int) {
	if code != http.StatusMethodNotAllowed {
		runtime.DefaultRoutingErrorHandler(ctx, mux, m, w, r, code)
		return
	}
	runtime.HTTPError(ctx, mux, m, w, r, &runtime.HTTPStatusError{
		HTTPStatus: code,
		Err:        status.Errorf(codes.Unimplemented, "%s is not for this path: events:subscribe and events:list take POST, the others GET", r.Method),
	})
}

// marshaler is protojson for the gateway: a member that the contract does not
// have is refused, because a mistyped after_cursor must not mean "latest".
type marshaler struct {
	*runtime.JSONPb
}

func newMarshaler() marshaler {
	return marshaler{&runtime.JSONPb{
		MarshalOptions:   protojson.MarshalOptions{},
		UnmarshalOptions: protojson.UnmarshalOptions{DiscardUnknown: false},
	}}
}

// StreamContentType says that a stream is one JSON text a line.
func (marshaler) StreamContentType(any) string { return "application/x-ndjson" }

func (a *App) serveHealth(w http.ResponseWriter, _ *http.Request) {
	_, _ = w.Write([]byte("ok\n"))
}

func (a *App) serveReady(w http.ResponseWriter, _ *http.Request) {
	if a.ready.ready.Load() {
		_, _ = w.Write([]byte("ready\n"))
		return
	}
	http.Error(w, "not ready", http.StatusServiceUnavailable)
}

func notFound(hint string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusNotFound)
		_ = json.NewEncoder(w).Encode(map[string]string{"reason": "NOT_FOUND", "message": "no such path; " + hint})
	}
}
