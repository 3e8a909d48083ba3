package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/wabastream/wabastream/server/internal/certs"
)

const (
	readHeaderTimeout = 10 * time.Second
	readTimeout       = 30 * time.Second
	idleTimeout       = 2 * time.Minute
	silentGrace       = 500 * time.Millisecond
	maxHeaderBytes    = 32 << 10
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
	mux.Handle("/webhooks/", a.localOnly(a.toUnsignedSource, a.front))
	mux.HandleFunc("GET /healthz", a.serveHealth)
	mux.HandleFunc("/", notFound("POST callbacks to /webhooks/{source}"))
	tlsConfig, err := httpTLS(a.certs.provider, certs.NoClientCertificates)
	if err != nil {
		return err
	}
	a.httpAddr, err = a.serveHTTP(ctx, "http_addr", a.config.HTTPAddr, &http.Server{
		TLSConfig:         tlsConfig,
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
	mux.HandleFunc("/", notFound(apiPaths))
	tlsConfig, err := httpTLS(a.certs.insiders, a.config.clientAuth())
	if err != nil {
		return err
	}
	a.apiAddr, err = a.serveHTTP(ctx, "api_addr", a.config.APIAddr, &http.Server{
		TLSConfig:         tlsConfig,
		Handler:           a.localOnly(func(*http.Request) bool { return a.config.clientAuth() == certs.NoClientCertificates }, mux),
		ReadHeaderTimeout: readHeaderTimeout,
	})
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
		if err := serveOn(s, listener); !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("accept: %w", err)
		}
		return nil
	}})
	a.teardown.push("stop "+name, func(ctx context.Context) error {
		// Whoever is slow here must not take the time of what is stopped next.
		ctx, cancel := context.WithTimeout(ctx, a.config.ShutdownTimeout/3)
		defer cancel()
		defer listener.Close() // closed already if the server took it
		defer time.AfterFunc(silentGrace, listener.closeSilent).Stop()
		err := s.Shutdown(ctx)
		if errors.Is(err, context.DeadlineExceeded) {
			a.logger.Warn("shutdown cut off requests that had not ended", "listener", name)
			return s.Close()
		}
		return err
	})
	return listener.Addr(), nil
}

func listen(ctx context.Context, name, addr string) (*listener, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("%s: %w; choose another address, or port 0 for any free one", name, err)
	}
	return track(l), nil
}

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
		refuse(w, http.StatusNotFound, "NOT_FOUND", "no such path; "+hint)
	}
}

// refuse answers with a google.rpc.Status, as the gateway does, so that clients
// of the API parse one shape.
func refuse(w http.ResponseWriter, httpStatus int, reason, message string) {
	st, err := status.New(codeOf(httpStatus), message).WithDetails(&errdetails.ErrorInfo{Reason: reason, Domain: "wabastream"})
	if err != nil {
		http.Error(w, message, httpStatus)
		return
	}
	body, err := protojson.Marshal(st.Proto())
	if err != nil {
		http.Error(w, message, httpStatus)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(httpStatus)
	_, _ = w.Write(append(body, '\n'))
}

func codeOf(httpStatus int) codes.Code {
	switch httpStatus {
	case http.StatusNotFound:
		return codes.NotFound
	case http.StatusForbidden:
		return codes.PermissionDenied
	default:
		return codes.InvalidArgument
	}
}
