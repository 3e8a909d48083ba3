package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/wabastream/wabastream/server/internal/access"
	streamservice "github.com/wabastream/wabastream/server/internal/stream"
	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"
)

// streamedLog is a log that can be appended to and streamed from.
type streamedLog interface {
	engine
	streamservice.Reader
}

// productBroker is the product's stream over gRPC, on a log that is appended to in
// the same process: the front's HTTP would be the limit long before the stream is.
type productBroker struct {
	*grpcBroker
	log     streamedLog
	service *streamservice.Service
}

func serveOurs(ctx context.Context, dir string) (broker, error) {
	log, err := openLog(ctx, dir)
	if err != nil {
		return nil, err
	}
	return serveLog(ctx, log)
}

// serveReplica serves the log as a replica has it, on a server of NATS that syncs.
func serveReplica(ctx context.Context, dir string) (broker, error) {
	log, err := openReplica(ctx, dir)
	if err != nil {
		return nil, err
	}
	return serveLog(ctx, log)
}

func serveOursInMemory(ctx context.Context, _ string) (broker, error) {
	return serveLog(ctx, newMemoryLog())
}

// serveLog serves with the settings of the product's server.
func serveLog(ctx context.Context, log streamedLog) (broker, error) {
	service := streamservice.New(streamservice.Config{Log: log, Version: "bench", Registerer: prometheus.NewRegistry()})
	server := grpc.NewServer(
		streamservice.ServerOption(),
		grpc.StreamInterceptor(admitAnyone),
		grpc.MaxRecvMsgSize(1<<20),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 5 * time.Second, PermitWithoutStream: true}),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: 30 * time.Second, Timeout: 10 * time.Second}),
	)
	service.Register(server)
	served, err := serveGRPC(ctx, server)
	if err != nil {
		return nil, errors.Join(err, log.Close())
	}
	return &productBroker{served, log, service}, nil
}

// admitAnyone lets every subscriber see everything, as the product's server does as
// long as no consumers are configured.
func admitAnyone(srv any, ss grpc.ServerStream, _ *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	session := access.NewSession(access.Caller{Grant: access.Everything()})
	return handler(srv, admitted{ss, access.NewContext(ss.Context(), session)})
}

type admitted struct {
	grpc.ServerStream
	ctx context.Context //nolint:containedctx // gRPC asks a stream for its context
}

func (a admitted) Context() context.Context { return a.ctx }

func (p *productBroker) publish(ctx context.Context, load *streamLoad, first, n uint64) error {
	appended, err := p.log.Append(ctx, load.records(first, n))
	if err != nil {
		return fmt.Errorf("append: %w", err)
	}
	for _, a := range appended {
		if a.Duplicate {
			return errors.New("append: a new event was taken for a duplicate")
		}
	}
	return nil
}

func (p *productBroker) close() error {
	p.service.Drain()
	err := p.grpcBroker.close()
	p.service.Close()
	return errors.Join(err, p.log.Close())
}

// grpcBroker serves gRPC on loopback.
type grpcBroker struct {
	server   *grpc.Server
	listener net.Listener
	served   chan error
}

func serveGRPC(ctx context.Context, server *grpc.Server) (*grpcBroker, error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	b := &grpcBroker{server: server, listener: listener, served: make(chan error, 1)}
	go func() { b.served <- server.Serve(listener) }()
	return b, nil
}

func (b *grpcBroker) addr() string { return b.listener.Addr().String() }

// close cuts off whoever is still connected.
func (b *grpcBroker) close() error {
	b.server.Stop()
	return <-b.served
}

var (
	_ broker      = (*productBroker)(nil)
	_ streamedLog = (*memoryLog)(nil)
	_ streamedLog = (*replicaLog)(nil)
)
