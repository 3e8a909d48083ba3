// Package servertest runs a whole wabastream server inside a test: the real
// front, log and stream on loopback, on ports the system picks, with a data
// folder that goes with the test.
//
// It is for the tests of programs that consume events. What it runs is the
// product itself, so what passes here passes against wabastreamd; only the
// process boundary is missing.
package servertest

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"testing"
	"time"

	"github.com/wabastream/wabastream/server/internal/app"
)

// Source is the name of the one source that a Server has; it accepts unsigned
// callbacks.
const Source = "nxcloud"

const shutdownTimeout = 5 * time.Second

// Server is a running server. Start, Restart and Stop are for the test's
// goroutine; everything else may be called from any.
type Server struct {
	tb     testing.TB
	config app.Config
	addrs  app.Addrs
	logger *slog.Logger
	stop   func() error
}

// Option changes how a Server is made.
type Option func(*Server)

// WithNumbers configures which WABA a business phone number belongs to.
func WithNumbers(wabaByPhone map[string]string) Option {
	return func(s *Server) { s.config.Sources[0].Numbers = wabaByPhone }
}

// WithDiscard configures types that the server answers 200 and does not store.
func WithDiscard(types ...string) Option {
	return func(s *Server) { s.config.Sources[0].Discard = types }
}

// Start starts a server and stops it when the test ends. That it cannot start or
// stop fails the test.
func Start(tb testing.TB, options ...Option) *Server {
	tb.Helper()
	s := &Server{tb: tb, config: app.DefaultConfig(), logger: slog.New(slog.NewTextHandler(tb.Output(), nil))}
	s.config.DataDir = tb.TempDir()
	s.config.HTTPAddr, s.config.APIAddr, s.config.GRPCAddr = "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0"
	s.config.ShutdownTimeout = shutdownTimeout
	for _, o := range options {
		o(s)
	}
	s.start()
	tb.Cleanup(s.Stop)
	return s
}

// GRPCAddr is the host and port of gRPC.
func (s *Server) GRPCAddr() string { return s.addrs.GRPC }

// APIURL is the base URL of REST.
func (s *Server) APIURL() string { return "http://" + s.addrs.API }

// WebhookURL is where callbacks are posted.
func (s *Server) WebhookURL() string { return "http://" + s.addrs.HTTP + "/webhooks/" + Source }

// Post posts a callback and returns the status and body of the answer. That
// there is no answer fails the test and returns status 0.
func (s *Server) Post(body []byte) (status int, answer string) {
	s.tb.Helper()
	status, answer, err := s.TryPost(s.tb.Context(), body)
	if err != nil {
		s.tb.Errorf("post a callback: %v", err)
	}
	return status, answer
}

// TryPost is Post for a server that may be stopped just now: the error says that
// no whole answer came. Post such a callback again, as the provider does.
func (s *Server) TryPost(ctx context.Context, body []byte) (status int, answer string, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.WebhookURL(), bytes.NewReader(body))
	if err != nil {
		return 0, "", fmt.Errorf("make the request: %w", err)
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, "", fmt.Errorf("send the request: %w", err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, "", fmt.Errorf("read the answer: %w", err)
	}
	return resp.StatusCode, string(text), nil
}

// Restart stops the server in order and starts it again on the same addresses
// and data.
func (s *Server) Restart() {
	s.tb.Helper()
	s.Stop()
	s.start()
}

// Stop stops the server in order: subscribers are told. It does nothing when it
// is stopped.
func (s *Server) Stop() {
	s.tb.Helper()
	if s.stop == nil {
		return
	}
	stop := s.stop
	s.stop = nil
	if err := stop(); err != nil {
		s.tb.Errorf("stop the server: %v", err)
	}
}

func (s *Server) start() {
	s.tb.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	a, err := app.New(ctx, s.config, "servertest", s.logger)
	if err != nil {
		cancel()
		s.tb.Fatalf("start the server: %v", err)
	}
	if s.addrs == (app.Addrs{}) { // a restart keeps them
		s.addrs = a.Addrs()
		s.config.HTTPAddr, s.config.APIAddr, s.config.GRPCAddr = s.addrs.HTTP, s.addrs.API, s.addrs.GRPC
	}
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	s.stop = func() error {
		cancel()
		if err := <-done; err != nil {
			return fmt.Errorf("run: %w", err)
		}
		return nil
	}
}
