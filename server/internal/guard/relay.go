package guard

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"net"
	"net/netip"
	"sync"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"

	"github.com/wabastream/wabastream/server/internal/access"
	"github.com/wabastream/wabastream/server/internal/apierror"
)

const (
	// inMemoryNetwork is what bufconn calls its network; no listener of the operating
	// system does.
	inMemoryNetwork = "bufconn"
	// relayKey is the metadata key of a relayed call's handle.
	relayKey = "wabastream-relayed"
	// handleBytes cannot be guessed.
	handleBytes = 32
)

// InMemory reports whether a connection is one inside the process: only requests that
// were let in over HTTP are relayed there.
func InMemory(addr net.Addr) bool { return addr != nil && addr.Network() == inMemoryNetwork }

// relayed are the HTTP requests under way that are answered by gRPC calls. A call
// says by a handle which one it is for: the identity of a caller is no text that a
// client could send, but the session itself, and it counts on connections only that
// do not leave the process.
type relayed struct {
	mu    sync.Mutex // guards calls
	calls map[string]relay
}

// relay is the request that a call is for.
type relay struct {
	session *access.Session
	remote  net.Addr // of the HTTP client
}

// add makes a handle that stands for the request until it is removed.
func (r *relayed) add(call relay) (handle string) {
	secret := make([]byte, handleBytes)
	_, _ = rand.Read(secret) // never fails
	handle = base64.RawURLEncoding.EncodeToString(secret)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.calls == nil {
		r.calls = make(map[string]relay)
	}
	r.calls[handle] = call
	return handle
}

func (r *relayed) remove(handle string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.calls, handle)
}

// of returns the request that a call over memory is for, with a context that has the
// address of its client.
func (r *relayed) of(ctx context.Context) (context.Context, *access.Session, error) {
	handles := metadata.ValueFromIncomingContext(ctx, relayKey)
	if len(handles) != 1 {
		return ctx, nil, unauthenticated(access.ErrMissing)
	}
	r.mu.Lock()
	call, ok := r.calls[handles[0]]
	r.mu.Unlock()
	if !ok { // the request has ended
		return ctx, nil, apierror.New(codes.Canceled, "CLIENT_LEFT", "the request has ended")
	}
	if p, ok := peer.FromContext(ctx); ok {
		from := *p
		from.Addr = call.remote
		ctx = peer.NewContext(ctx, &from)
	}
	return ctx, call.session, nil
}

// handleKey is the context key of a request's handle.
type handleKey struct{}

// Metadata is what a gRPC call over memory has to carry to be answered in the name of
// the request that the context belongs to.
func Metadata(ctx context.Context) metadata.MD {
	handle, _ := ctx.Value(handleKey{}).(string)
	return metadata.Pairs(relayKey, handle)
}

// remoteAddr is the address as net/http writes it.
func remoteAddr(text string) net.Addr {
	if addr, err := netip.ParseAddrPort(text); err == nil {
		return net.TCPAddrFromAddrPort(addr)
	}
	return &net.TCPAddr{}
}
