package main

import (
	"context"
	"fmt"
	"sync"

	wabastreamv1 "github.com/wabastream/wabastream/gen/wabastream/v1"
	"google.golang.org/grpc"
)

// naiveQueue is how many events wait for a subscriber of the naive server.
const naiveQueue = 1024

const (
	naiveService = "bench.Naive"
	naiveMethod  = "Subscribe"
)

// naiveBroker is what one writes first: a server stream that sends one message an
// event, a channel for each subscriber, and a publisher that blocks while a
// channel is full, so that nothing is lost. It finds takers by account, which the
// first version of such a server would not.
type naiveBroker struct {
	*grpcBroker

	mu     sync.RWMutex // guards fields below it
	takers map[string][]chan *wabastreamv1.Event
}

// everyone takes all events.
const everyone = ""

func serveNaive(ctx context.Context, _ string) (broker, error) {
	b := &naiveBroker{takers: make(map[string][]chan *wabastreamv1.Event)}
	server := grpc.NewServer()
	server.RegisterService(&grpc.ServiceDesc{
		ServiceName: naiveService,
		HandlerType: (*any)(nil),
		Streams: []grpc.StreamDesc{{
			StreamName: naiveMethod, ServerStreams: true,
			Handler: func(_ any, stream grpc.ServerStream) error { return b.subscribe(stream) },
		}},
	}, b)
	var err error
	if b.grpcBroker, err = serveGRPC(ctx, server); err != nil {
		return nil, err
	}
	return b, nil
}

func (b *naiveBroker) subscribe(stream grpc.ServerStream) error {
	filter := new(wabastreamv1.EventFilter)
	if err := stream.RecvMsg(filter); err != nil {
		return err
	}
	account := everyone
	if ids := filter.GetWabaIds(); len(ids) > 0 {
		account = ids[0]
	}
	events := make(chan *wabastreamv1.Event, naiveQueue)
	b.mu.Lock()
	b.takers[account] = append(b.takers[account], events)
	b.mu.Unlock()
	if err := stream.SendHeader(nil); err != nil {
		return err
	}
	for {
		select {
		case e := <-events:
			if err := stream.SendMsg(e); err != nil {
				return fmt.Errorf("send: %w", err)
			}
		case <-stream.Context().Done():
			return nil
		}
	}
}

func (b *naiveBroker) publish(ctx context.Context, load *streamLoad, first, n uint64) error {
	for i := range n {
		e := load.event(first + i)
		b.mu.RLock()
		all, some := b.takers[everyone], b.takers[e.GetWabaId()]
		b.mu.RUnlock()
		for _, takers := range [][]chan *wabastreamv1.Event{all, some} {
			for _, events := range takers {
				select {
				case events <- e:
				case <-ctx.Done():
					return ctx.Err()
				}
			}
		}
	}
	return nil
}
