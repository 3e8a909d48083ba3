package main

import (
	"context"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wabastream/wabastream/server/internal/guarantees"
)

// link is the network between one client and the server: a TCP proxy that can be
// cut, and stalled so that it holds everything back. It survives the server, whose
// next process may have another port.
type link struct {
	listener net.Listener
	target   func() string // the server's address; empty when there is none

	mu      sync.Mutex // guards fields below it
	severed bool
	pipes   map[*pipe]bool
	stalled chan struct{} // closed when the stall is over; nil outside one
	stalls  []guarantees.Span
	cuts    int
	workers sync.WaitGroup
}

// pipe is one connection through a link.
type pipe struct{ client, server net.Conn }

func (p *pipe) close() {
	_ = p.client.Close()
	_ = p.server.Close()
}

func newLink(t *testing.T, target func() string) *link {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	l := &link{listener: listener, target: target, pipes: make(map[*pipe]bool)}
	l.workers.Go(l.accept)
	t.Cleanup(l.close)
	return l
}

func (l *link) addr() string { return l.listener.Addr().String() }

func (l *link) close() {
	_ = l.listener.Close()
	l.sever()
	l.workers.Wait()
}

func (l *link) accept() {
	for {
		client, err := l.listener.Accept()
		if err != nil {
			return // closed
		}
		l.workers.Go(func() { l.carry(client) })
	}
}

func (l *link) carry(client net.Conn) {
	server, err := net.Dial("tcp", l.target())
	if err != nil {
		_ = client.Close()
		return
	}
	p := &pipe{client, server}
	defer p.close()
	if !l.add(p) {
		return
	}
	defer l.remove(p)
	var back sync.WaitGroup
	back.Go(func() {
		defer p.close()
		l.copy(client, server)
	})
	l.copy(server, client)
	p.close()
	back.Wait()
}

func (l *link) add(p *pipe) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.severed {
		return false
	}
	l.pipes[p] = true
	return true
}

func (l *link) remove(p *pipe) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.pipes, p)
}

// copy carries bytes one way until a side is closed.
func (l *link) copy(to io.Writer, from io.Reader) {
	buffer := make([]byte, 16<<10)
	for {
		n, err := from.Read(buffer)
		if err != nil {
			return
		}
		l.waitOutStall()
		if _, err := to.Write(buffer[:n]); err != nil {
			return
		}
	}
}

func (l *link) waitOutStall() {
	l.mu.Lock()
	stalled := l.stalled
	l.mu.Unlock()
	if stalled != nil {
		<-stalled
	}
}

// sever cuts every connection and lets no new one through. When it returns, no
// byte reaches the client any more.
func (l *link) sever() {
	l.cutThen(func() { l.severed = true })
}

// restore ends what sever began.
func (l *link) restore() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.severed = false
}

// cut cuts every connection; new ones may be made at once.
func (l *link) cut() {
	l.cutThen(func() { l.cuts += min(1, len(l.pipes)) })
}

func (l *link) cutThen(note func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	note()
	for p := range l.pipes {
		p.close() // waits for a write under way
	}
}

// stall holds back everything for a while.
func (l *link) stall(ctx context.Context, d time.Duration) {
	over := make(chan struct{})
	begin := time.Now()
	l.mu.Lock()
	l.stalled = over
	l.mu.Unlock()
	pause(ctx, d)
	l.mu.Lock()
	l.stalled = nil
	l.stalls = append(l.stalls, guarantees.Span{From: begin, To: time.Now()})
	l.mu.Unlock()
	close(over)
}

// weather cuts and stalls the link now and then, until the context ends.
func (l *link) weather(ctx context.Context, random *rand.Rand) {
	for ctx.Err() == nil {
		pause(ctx, time.Duration(100+random.IntN(900))*time.Millisecond)
		if random.IntN(3) > 0 {
			l.cut()
		} else {
			l.stall(ctx, time.Duration(50+random.IntN(600))*time.Millisecond)
		}
	}
}

// troubles returns the stalls, and how often connections were cut.
func (l *link) troubles() (stalls []guarantees.Span, cuts int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.stalls, l.cuts
}

// pause lets time pass, of which these tests are made; it ends early with the
// context.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
