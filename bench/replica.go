package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

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
		return openReplica(ctx, dir)
	}}
}

func openReplica(ctx context.Context, dir string) (*replicaLog, error) {
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
}

// besideReplica tells whether a contender is one that a log on JetStream is compared
// with: the embedded log, and whoever stores durably in JetStream without it.
func besideReplica(name string) bool {
	return slices.Contains([]string{
		ours, oursOnJetStream, jetStreamSync, jetStreamAtomic, jetStreamOrdered, jetStreamOrderedBatches,
	}, strings.TrimPrefix(name, frontOn))
}

// withReplica is a table and, if a log on JetStream took part, what that is beside the
// embedded log and JetStream's own clients; with --replica no more than this.
func (b *bench) withReplica(t *table, subject string) []result {
	if t.row(subject) == nil {
		return []result{t}
	}
	view := t.of(subject).wants(nil).atMost(0)
	view.reference = ours
	view.rows = slices.DeleteFunc(slices.Clone(t.rows), func(r *row) bool {
		return !besideReplica(r.name) && r.name != jetStreamLazy && r.name != jetStream
	})
	if b.replica {
		return []result{view}
	}
	return []result{t, view}
}

// Close implements engine.
func (l *replicaLog) Close() error {
	err := l.Log.Close()
	l.server.Shutdown()
	l.server.WaitForShutdown()
	return err
}
