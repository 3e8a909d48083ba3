package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"runtime/debug"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/reflection"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"

	wabastreamv1 "github.com/wabastream/wabastream/gen/wabastream/v1"
	"github.com/wabastream/wabastream/server/internal/stream"
)

const (
	// keepaliveMinTime is the shortest ping interval accepted of clients. gRPC's
	// own default of five minutes ends the connections of well-meaning clients
	// with "too_many_pings".
	keepaliveMinTime = 5 * time.Second
	keepaliveTime    = 30 * time.Second
	keepaliveTimeout = 10 * time.Second

	// handshakeTimeout bounds how long a connection may take to become one.
	handshakeTimeout = 10 * time.Second
	// maxRequestBytes bounds a request; the largest filters fit.
	maxRequestBytes = 1 << 20

	inMemoryBuffer = 256 << 10

	// readBuffer is kept for every connection. Clients send little: requests, and
	// that they took what they were sent. gRPC's 32 KiB would be most of what an idle
	// connection takes.
	readBuffer = 4 << 10

	// otherStreams are calls beside the subscriptions that one connection may have
	// under way; a proxy, or the gateway, has all of them on one. It bounds the
	// handlers that run for a connection which resets its streams as fast as it
	// opens them.
	otherStreams = 1000
)

// listenGRPC binds grpc_addr and an in-memory listener for REST:
// streams cannot be served by calling the service in-process.
func (a *App) listenGRPC(ctx context.Context) error {
	recovery := recoverer{a.logger.With("component", "grpc")}
	creds, err := a.grpcCredentials()
	if err != nil {
		return err
	}
	server := grpc.NewServer(
		grpc.Creds(creds),
		stream.ServerOption(),
		grpc.InTapHandle(a.loiter.begin),
		grpc.ConnectionTimeout(handshakeTimeout),
		grpc.ReadBufferSize(readBuffer),
		grpc.MaxRecvMsgSize(maxRequestBytes),
		grpc.MaxHeaderListSize(maxHeaderBytes),
		grpc.MaxConcurrentStreams(uint32(min(a.config.MaxStreams, math.MaxInt32))+otherStreams),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: keepaliveMinTime, PermitWithoutStream: true}),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: keepaliveTime, Timeout: keepaliveTimeout}),
		grpc.ChainUnaryInterceptor(recovery.unary, a.loiter.unary, a.guard.Unary),
		grpc.ChainStreamInterceptor(recovery.stream, a.loiter.stream, a.guard.Stream),
	)
	a.stream.Register(server)
	a.accounts.Register(server)
	a.admin.Register(server)
	healthServer := health.NewServer()
	healthv1.RegisterHealthServer(server, healthServer)
	reflection.Register(server)
	a.services = server.GetServiceInfo()
	a.ready.onChange = func(ready bool) {
		state := healthv1.HealthCheckResponse_NOT_SERVING
		if ready {
			state = healthv1.HealthCheckResponse_SERVING
		}
		healthServer.SetServingStatus("", state)
		healthServer.SetServingStatus(wabastreamv1.EventService_ServiceDesc.ServiceName, state)
		healthServer.SetServingStatus(wabastreamv1.AccountService_ServiceDesc.ServiceName, state)
		healthServer.SetServingStatus(wabastreamv1.AdminService_ServiceDesc.ServiceName, state)
	}
	a.ready.onChange(false) // a health server begins with SERVING

	listener, err := a.listen(ctx, "grpc_addr", a.config.GRPCAddr, crowd{strangers: a.config.MaxConnections})
	if err != nil {
		return err
	}
	a.grpcListener = listener
	a.inMemory = bufconn.Listen(inMemoryBuffer)
	a.grpcAddr = listener.Addr()
	a.servers = append(a.servers,
		grpcServer("gRPC", server, listener),
		grpcServer("gRPC for the gateway", server, a.inMemory))
	a.teardown.push("stop gRPC", func(ctx context.Context) error {
		defer listener.Close() // closed already if the server took it
		defer time.AfterFunc(silentGrace, listener.closeSilent).Stop()
		if !stopGRPC(ctx, server, listener) {
			a.logger.Warn("shutdown cut off calls that had not ended", "listener", "grpc_addr")
		}
		return nil
	})
	return nil
}

func grpcServer(name string, s *grpc.Server, l net.Listener) server {
	return server{name, func() error {
		// A shutdown that comes before this line has stopped the server already.
		if err := s.Serve(l); !errors.Is(err, grpc.ErrServerStopped) {
			return err
		}
		return nil
	}}
}

// stopGRPC waits for the calls under way, which Drain has told to end, and cuts
// off those that have not by the deadline. GracefulStop alone would wait for
// ever for a client that does not read, and even Stop for a connection whose
// handshake has not ended. It reports whether all ended by themselves.
func stopGRPC(ctx context.Context, s *grpc.Server, l *listener) bool {
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.GracefulStop()
	}()
	select {
	case <-done:
		return true
	case <-ctx.Done():
		l.closeAll()
		s.Stop()
		<-done
		return false
	}
}

// recoverer turns a panic of one call into an error of that call.
type recoverer struct {
	logger *slog.Logger
}

func (r recoverer) unary(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (_ any, err error) {
	defer r.recover(info.FullMethod, &err)
	return handler(ctx, req)
}

func (r recoverer) stream(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) (err error) {
	defer r.recover(info.FullMethod, &err)
	return handler(srv, ss)
}

func (r recoverer) recover(method string, err *error) {
	if p := recover(); p != nil {
		// The panic's value may quote an event; its type and place may not.
		r.logger.Error("panic in a call", "method", method, "type", fmt.Sprintf("%T", p), "stack", string(debug.Stack()))
		*err = status.Error(codes.Internal, "internal error, see the server's log")
	}
}
