package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"google.golang.org/protobuf/proto"
)

// natsBroker is a NATS server on loopback. Its publisher is connected through
// memory.
type natsBroker struct {
	server *server.Server
	conn   *nats.Conn
}

func serveNATS(_ context.Context, _ string) (broker, error) {
	s, err := listenNATS(&server.Options{})
	if err != nil {
		return nil, err
	}
	conn, err := nats.Connect("", nats.InProcessServer(s))
	if err != nil {
		s.Shutdown()
		return nil, fmt.Errorf("connect: %w", err)
	}
	return &natsBroker{s, conn}, nil
}

// listenNATS starts a server on a free port of loopback.
func listenNATS(options *server.Options) (*server.Server, error) {
	options.Host, options.Port = "127.0.0.1", server.RANDOM_PORT
	options.NoLog, options.NoSigs = true, true
	s, err := server.NewServer(options)
	if err != nil {
		return nil, err
	}
	s.Start()
	if !s.ReadyForConnections(time.Minute) {
		s.Shutdown()
		return nil, errors.New("not ready within a minute")
	}
	return s, nil
}

func (b *natsBroker) addr() string { return b.server.Addr().String() }

func (b *natsBroker) publish(_ context.Context, load *streamLoad, first, n uint64) error {
	for i := range n {
		e := load.event(first + i)
		data, err := proto.Marshal(e)
		if err != nil {
			return err
		}
		if err := b.conn.Publish(subjectPrefix+e.GetWabaId()+"."+e.GetType(), data); err != nil {
			return err
		}
	}
	return nil
}

func (b *natsBroker) close() error {
	b.conn.Close()
	b.server.Shutdown()
	b.server.WaitForShutdown()
	return nil
}

// jetStreamBroker stores events in a file, files them by account and type, and
// recognises duplicates, as jetStreamLog does.
type jetStreamBroker struct{ *jetStreamLog }

func serveJetStream(mode jetStreamMode) func(context.Context, string) (broker, error) {
	return func(ctx context.Context, dir string) (broker, error) {
		log, err := listenJetStream(ctx, dir, mode)
		if err != nil {
			return nil, err
		}
		return jetStreamBroker{log}, nil
	}
}

// listenJetStream is a jetStreamLog on a server that listens on loopback.
func listenJetStream(ctx context.Context, dir string, mode jetStreamMode) (*jetStreamLog, error) {
	s, err := listenNATS(&server.Options{JetStream: true, StoreDir: dir, SyncAlways: mode != lazySync})
	if err != nil {
		return nil, fmt.Errorf("start server: %w", err)
	}
	return newJetStreamLog(ctx, s, mode)
}

func (b jetStreamBroker) addr() string { return b.server.Addr().String() }

func (b jetStreamBroker) publish(ctx context.Context, load *streamLoad, first, n uint64) error {
	messages := make([]*nats.Msg, n)
	for i := range messages {
		e := load.event(first + uint64(i))
		m := nats.NewMsg(subjectPrefix + e.GetWabaId() + "." + e.GetType())
		m.Header.Set(nats.MsgIdHdr, e.GetId())
		var err error
		if m.Data, err = proto.Marshal(e); err != nil {
			return err
		}
		messages[i] = m
	}
	if b.groups != nil {
		return b.groups.add(ctx, messages...)
	}
	return b.jetStreamLog.publish(ctx, messages)
}

func (b jetStreamBroker) close() error { return b.Close() }
