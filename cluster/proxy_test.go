package cluster

import (
	"context"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
)

// proxy passes connections on to an address, until it is cut: then nothing gets
// through either way, and nobody is told, as when a cable is pulled. What was on its
// way arrives late, once it is joined again.
//
// It is also what keeps its address while the server behind it comes back with another:
// the old one may be somebody else's by then.
type proxy struct {
	listener net.Listener
	target   atomic.Pointer[string] // nil at first: nobody is there
	gate     sync.RWMutex           // held for reading to pass something on, and for writing while cut

	mu    sync.Mutex // guards conns
	conns map[net.Conn]bool
	done  sync.WaitGroup
}

func newProxy(t *testing.T) *proxy {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	p := &proxy{listener: l, conns: make(map[net.Conn]bool)}
	p.done.Go(p.accept)
	t.Cleanup(p.close)
	return p
}

func (p *proxy) addr() string { return p.listener.Addr().String() }

func (p *proxy) lead(to net.Addr) {
	target := to.String()
	p.target.Store(&target)
}

func (p *proxy) cut()  { p.gate.Lock() }
func (p *proxy) join() { p.gate.Unlock() }

func (p *proxy) close() {
	_ = p.listener.Close()
	p.mu.Lock()
	for c := range p.conns {
		_ = c.Close()
	}
	p.conns = nil
	p.mu.Unlock()
	p.done.Wait()
}

// keep notes a connection to be closed in the end; false says that this is the end.
func (p *proxy) keep(c net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.conns == nil {
		_ = c.Close()
		return false
	}
	p.conns[c] = true
	return true
}

func (p *proxy) forget(c net.Conn) {
	_ = c.Close()
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.conns, c)
}

func (p *proxy) accept() {
	for {
		c, err := p.listener.Accept()
		if err != nil {
			return
		}
		if p.keep(c) {
			p.done.Go(func() { p.serve(c) })
		}
	}
}

func (p *proxy) serve(near net.Conn) {
	defer p.forget(near)
	target := p.target.Load()
	if target == nil {
		return
	}
	p.gate.RLock()
	far, err := new(net.Dialer).DialContext(context.Background(), "tcp", *target)
	p.gate.RUnlock()
	if err != nil || !p.keep(far) {
		return
	}
	defer p.forget(far)
	var both sync.WaitGroup
	for _, way := range [][2]net.Conn{{near, far}, {far, near}} {
		both.Go(func() {
			defer near.Close()
			defer far.Close()
			_, _ = io.Copy(gated{way[1], &p.gate}, way[0])
		})
	}
	both.Wait()
}

// gated writes while the gate is open.
type gated struct {
	to   io.Writer
	gate *sync.RWMutex
}

func (g gated) Write(b []byte) (int, error) {
	g.gate.RLock()
	defer g.gate.RUnlock()
	return g.to.Write(b)
}
