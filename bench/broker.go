package main

import (
	"context"
	"fmt"
	"slices"
)

// broker is a server that takes part in the stream's benchmarks. It runs in a
// process of its own, as does whoever publishes to it: what that costs is part of
// the server's CPU, of all contenders alike.
type broker interface {
	// addr is where subscribers connect, over loopback.
	addr() string
	// publish returns once n events, beginning with the first, were taken: by the
	// product once they are durable.
	publish(ctx context.Context, load *streamLoad, first, n uint64) error
	close() error
}

// streamContender takes part with a broker and a client of it.
type streamContender struct {
	name string
	// publishers publish side by side, each a batch at a time. With more than one
	// the broker itself orders events.
	publishers, batch int
	// serve is called in the broker's process.
	serve func(ctx context.Context, dir string) (broker, error)
	// dial is called by the subscribers.
	dial dialer
}

// dialer connects subscribers to a server.
type dialer func(ctx context.Context, addr string) (connection, error)

// connection carries subscriptions.
type connection interface {
	// subscribe returns once the broker knows of the subscription: everything
	// published later is delivered to r, until the context ends.
	subscribe(ctx context.Context, r *receiver) error
	// close ends all subscriptions, and waits for them.
	close() error
}

// Names of contenders.
const (
	oursInMemory = "wabastream, log in memory"
	naiveStream  = "naive gRPC stream"
	natsCore     = "NATS core"
	jetStream    = "JetStream ordered, lazy file"
	// Those whose events are synced before their publisher goes on.
	jetStreamOrdered        = "JetStream ordered, sync"
	jetStreamOrderedBatches = "JetStream ordered, sync, atomic batches"
	// jetStreamFront is published to by HTTP callbacks alone.
	jetStreamFront = frontOn + jetStreamLazy
)

// streamContenders are all there are.
func streamContenders() []streamContender {
	return []streamContender{
		{naiveStream, 1, 64, serveNaive, dialNaive},
		// As many batches are under way as keep the log's commits busy.
		{ours, 4, 256, serveOurs, dialOurs},
		{oursOnJetStream, 4, 256, serveReplica, dialOurs},
		{oursInMemory, 1, 256, serveOursInMemory, dialOurs},
		{natsCore, 1, 64, serveNATS, dialNATS},
		{jetStream, 1, 512, serveJetStream(lazySync), dialJetStream},
		{jetStreamOrdered, 1, 512, serveJetStream(syncEach), dialJetStream},
		{jetStreamOrderedBatches, 1, 512, serveJetStream(syncBatches), dialJetStream},
		{jetStreamFront, 1, 1, serveJetStreamFront, dialJetStreamRecords},
	}
}

func streamContenderName(c streamContender) string { return c.name }

func streamNamesOf(contenders []streamContender) []string {
	names := make([]string, len(contenders))
	for i, c := range contenders {
		names[i] = c.name
	}
	return names
}

func findStreamContender(name string) (streamContender, error) {
	for _, c := range streamContenders() {
		if c.name == name {
			return c, nil
		}
	}
	return streamContender{}, fmt.Errorf("no contender %q", name)
}

// brokers are the contenders named, but for those that flags leave out.
func (b *bench) brokers(names ...string) []streamContender {
	return slices.DeleteFunc(streamContenders(), func(c streamContender) bool {
		return !slices.Contains(names, c.name) || !b.takesPart(c.name)
	})
}
