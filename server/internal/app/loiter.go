package app

import (
	"container/list"
	"context"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/tap"

	wabastreamv1 "github.com/wabastream/wabastream/gen/wabastream/v1"
	"github.com/wabastream/wabastream/server/internal/guard"
)

// maxLoiterers is as many calls as cost some ten megabytes.
const maxLoiterers = 2000

// loiterers are the calls that nothing else bounds: those whose request has not come
// yet, which nobody was asked a credential for, and streams other than subscriptions,
// of which strangers may open those that watch the server's health. One connection may
// have as many calls as there may be subscriptions, so without a bound over all of them
// a few connections would fill the memory. When there is one more, the one under way
// longest is cancelled. Who sends a request along with its call is so only where as many
// others begin theirs before the server comes to read it; what HTTP passes on, which was
// let in already, never is.
type loiterers struct {
	limit int

	mu    sync.Mutex
	calls list.List // of *loiterer, the oldest first; guarded by mu
}

// loiterer is one call. Its place is guarded by mu of the loiterers.
type loiterer struct {
	cancel context.CancelFunc
	place  *list.Element // nil when it is none any more
}

// loitererKey is the context key of a call's *loiterer.
type loitererKey struct{}

// begin takes note of a call before anything is set up for it. It does not block.
func (l *loiterers) begin(ctx context.Context, _ *tap.Info) (context.Context, error) {
	if from, ok := peer.FromContext(ctx); ok && guard.InMemory(from.Addr) {
		return ctx, nil
	}
	ctx, cancel := context.WithCancel(ctx)
	call := &loiterer{cancel: cancel}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.calls.Len() >= l.limit {
		oldest := l.calls.Front().Value.(*loiterer)
		l.remove(oldest)
		oldest.cancel()
	}
	call.place = l.calls.PushBack(call)
	context.AfterFunc(ctx, func() { l.end(call) }) // gRPC ends the context with the call
	return context.WithValue(ctx, loitererKey{}, call), nil
}

// end says that a call is over, or bounded by something else from now on.
func (l *loiterers) end(call *loiterer) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.remove(call)
}

// remove may be called again. The caller holds mu.
func (l *loiterers) remove(call *loiterer) {
	if call.place != nil {
		l.calls.Remove(call.place)
		call.place = nil
	}
}

func (l *loiterers) endOf(ctx context.Context) {
	if call, ok := ctx.Value(loitererKey{}).(*loiterer); ok {
		l.end(call)
	}
}

func (l *loiterers) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.calls.Len()
}

// unary is called once the request is there.
func (l *loiterers) unary(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	l.endOf(ctx)
	return handler(ctx, req)
}

// stream lets subscriptions, which have bounds of their own, go once their request is
// there.
func (l *loiterers) stream(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	if info.FullMethod == wabastreamv1.EventService_Subscribe_FullMethodName {
		ss = requested{ss, l}
	}
	return handler(srv, ss)
}

// requested is a stream whose call does not loiter once it has received a request.
type requested struct {
	grpc.ServerStream
	loiterers *loiterers
}

// RecvMsg implements grpc.ServerStream.
func (r requested) RecvMsg(message any) error {
	err := r.ServerStream.RecvMsg(message)
	if err == nil {
		r.loiterers.endOf(r.Context())
	}
	return err
}
