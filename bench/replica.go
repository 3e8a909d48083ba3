package main

import (
	"context"
	"fmt"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/wabastream/wabastream/server/internal/eventlog/natslog"
)

// replicaLog is the product's log as a replica has it: on a server of NATS in this
// process that syncs each message, with a client of it through memory, as the other
// contenders on JetStream. It has all of the log's features.
type replicaLog struct {
	*natslog.Log
	server *server.Server
}

func replica() contender {
	return contender{oursOnJetStream, func(ctx context.Context, dir string) (engine, error) {
		s, err := startServer(dir+"/nats", true)
		if err != nil {
			return nil, fmt.Errorf("start server: %w", err)
		}
		log, err := natslog.Open(ctx, natslog.Options{
			Connect: []nats.Option{nats.InProcessServer(s)}, Stream: streamName, Replicas: 1, Dir: dir,
		})
		if err != nil {
			s.Shutdown()
			return nil, err
		}
		return &replicaLog{log, s}, nil
	}}
}

// Close implements engine.
func (l *replicaLog) Close() error {
	err := l.Log.Close()
	l.server.Shutdown()
	l.server.WaitForShutdown()
	return err
}
