package guard

import (
	"context"
	"crypto/x509"
	"net/http"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"

	"github.com/wabastream/wabastream/server/internal/access"
)

// Unary is the server's interceptor of unary calls.
func (g *Guard) Unary(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	ctx, session, err := g.enter(ctx, info.FullMethod)
	if err != nil {
		return nil, err
	}
	ctx, stop := g.while(ctx, session)
	defer stop()
	resp, err := handler(ctx, req)
	if err := session.Err(); err != nil {
		return nil, unauthenticated(err)
	}
	return resp, err
}

// Stream is the server's interceptor of streams.
func (g *Guard) Stream(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	ctx, session, err := g.enter(ss.Context(), info.FullMethod)
	if err != nil {
		return err
	}
	if endsItself(info.FullMethod) {
		return handler(srv, streamIn{ss, ctx})
	}
	ctx, stop := g.while(ctx, session)
	defer stop()
	err = handler(srv, endingStream{streamIn{ss, ctx}})
	if end := endOf(ctx); end != nil {
		return end
	}
	return err
}

// enter lets a call in and gives it its session.
func (g *Guard) enter(ctx context.Context, method string) (context.Context, *access.Session, error) {
	rule := g.methods[method]
	from, _ := peer.FromContext(ctx)
	if from != nil && InMemory(from.Addr) {
		ctx, session, err := g.relayed.of(ctx)
		if err == nil {
			err = rule.allow(session)
		}
		return access.NewContext(ctx, session), session, err
	}
	md, _ := metadata.FromIncomingContext(ctx)
	if g.ownMachineOnly {
		if err := g.ownMachine(md); err != nil {
			return ctx, nil, err
		}
	}
	session, err := g.admit(ctx, rule, access.Credentials{
		Bearer:      bearer(md["authorization"]),
		Certificate: certificateOfPeer(from),
	})
	return access.NewContext(ctx, session), session, err
}

// ownMachine is [OwnMachine] for gRPC. No page in a browser gets here: browsers speak
// HTTP/2 over TLS only, where the certificate would have to be for the page's own
// name. What names another host comes through a proxy, or from a client that was
// told a wrong name.
func (g *Guard) ownMachine(md metadata.MD) error {
	return OwnMachine(strings.Join(md[":authority"], ","), http.Header(md), openHint)
}

func certificateOfPeer(p *peer.Peer) *x509.Certificate {
	if p == nil {
		return nil
	}
	info, ok := p.AuthInfo.(credentials.TLSInfo)
	if !ok || len(info.State.VerifiedChains) == 0 {
		return nil
	}
	return info.State.VerifiedChains[0][0]
}

// streamIn is a stream with a context of its own.
type streamIn struct {
	grpc.ServerStream
	ctx context.Context //nolint:containedctx // gRPC asks a stream for its context
}

// Context implements grpc.ServerStream.
func (s streamIn) Context() context.Context { return s.ctx }

// endingStream is a stream of which its handler is told to leave by its context, and
// by an error instead of the next message.
type endingStream struct{ streamIn }

// RecvMsg implements grpc.ServerStream. Once the context has ended, message is not to
// be used any more.
func (s endingStream) RecvMsg(message any) error {
	received := make(chan error, 1)
	go func() { received <- s.ServerStream.RecvMsg(message) }() // ends with the call
	select {
	case err := <-received:
		return err
	case <-s.ctx.Done():
		return s.ctx.Err()
	}
}
