package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/wabastream/wabastream/server/internal/certs"
	"github.com/wabastream/wabastream/server/internal/rest"
)

const (
	// readHeaderTimeout is for a TLS handshake, and again for the headers;
	// readTimeout for headers and body: a slow network's share, and no more of a
	// slow sender's.
	readHeaderTimeout = 10 * time.Second
	readTimeout       = 30 * time.Second
	idleTimeout       = 2 * time.Minute
	silentGrace       = 500 * time.Millisecond
	maxHeaderBytes    = 32 << 10 // room for tokens
)

// Bounds of http_addr, which strangers reach.
const (
	// frontHeaderBytes is ten times what the provider sends.
	frontHeaderBytes = 8 << 10
	// frontWriteTimeout ends a connection that does not take its answer. It counts
	// from the headers on, so it is longer than all that an answer may wait for:
	// the body (30 s), a turn (5 s) and the log (30 s).
	frontWriteTimeout = 90 * time.Second
	// frontStreams is how many callbacks one HTTP/2 connection may have under way,
	// and, as net/http counts, how many handlers run for one that resets its
	// streams as fast as it opens them.
	frontStreams = 100
	// frontReceiveBuffer is what one HTTP/2 connection, and each of its streams,
	// may send before it is read: unlike a body, it is outside what the front counts.
	frontReceiveBuffer = 128 << 10
	// writeByteTimeout ends an HTTP/2 connection that takes nothing of what is
	// written, such as answers to its pings.
	writeByteTimeout = 15 * time.Second
)

// listenHTTP binds http_addr, which faces the provider: nothing of the API is
// reachable there.
func (a *App) listenHTTP(ctx context.Context) error {
	mux := http.NewServeMux()
	mux.Handle("/webhooks/", a.unsignedFromHere(a.front))
	mux.Handle("GET /healthz", rest.Health())
	mux.Handle("/", rest.NotFound("POST callbacks to /webhooks/{source}"))
	tlsConfig, err := httpTLS(a.certs.provider, certs.NoClientCertificates)
	if err != nil {
		return err
	}
	l, err := a.listen(ctx, "http_addr", a.config.HTTPAddr, crowd{limit: a.config.MaxConnections})
	if err != nil {
		return err
	}
	a.httpAddr = a.serveHTTP("http_addr", l, &http.Server{
		TLSConfig:         tlsConfig,
		Handler:           mux,
		ConnContext:       withConn,
		ReadHeaderTimeout: readHeaderTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      frontWriteTimeout,
		MaxHeaderBytes:    frontHeaderBytes,
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams:          frontStreams,
			MaxReceiveBufferPerConnection: frontReceiveBuffer,
			MaxReceiveBufferPerStream:     frontReceiveBuffer,
			WriteByteTimeout:              writeByteTimeout,
		},
	})
	return nil
}

// listenAPI binds api_addr, which faces insiders.
func (a *App) listenAPI(ctx context.Context) error {
	api, err := rest.New(rest.Config{
		Dial:    a.inMemory.DialContext,
		Guard:   a.guard,
		Origins: a.config.CORSOrigins,
		Logger:  a.logger.With("component", "api_addr"),
		Ready:   a.ready.err,
		Metrics: promhttp.HandlerFor(a.registry, promhttp.HandlerOpts{Registry: a.registry}),
	})
	if err != nil {
		return err
	}
	a.teardown.push("disconnect the API", func(context.Context) error { return api.Close() })
	tlsConfig, err := httpTLS(a.certs.insiders, a.config.clientAuth())
	if err != nil {
		return err
	}
	l, err := a.listen(ctx, "api_addr", a.config.APIAddr, crowd{strangers: a.config.MaxConnections})
	if err != nil {
		return err
	}
	a.apiAddr = a.serveHTTP("api_addr", l, &http.Server{
		TLSConfig:         tlsConfig,
		Handler:           boundBodies(api),
		ConnContext:       withConn,
		ReadHeaderTimeout: readHeaderTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
	})
	return nil
}

// serveHTTP has the server run with the others, until the teardown stops it.
func (a *App) serveHTTP(name string, listener *listener, s *http.Server) net.Addr {
	s.Handler = endAmbiguous(s.Handler)
	s.IdleTimeout = idleTimeout
	s.ErrorLog = slog.NewLogLogger(a.logger.With("component", name).Handler(), slog.LevelDebug)
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
	return listener.Addr()
}
