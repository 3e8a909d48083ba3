//go:build examples

package behaviour_test

import (
	"io"
	"net"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// network is what is between consumers and a server: connections pass through it, to
// wherever the server is at the time, and it can lose them without telling anyone.
type network struct {
	listener net.Listener
	workers  sync.WaitGroup

	mu     sync.Mutex // guards fields below it
	target string     // the server's address; empty when there is none
	pipes  map[*pipe]bool
}

// pipe is one connection.
type pipe struct {
	client, server net.Conn

	mu   sync.Mutex // guards lost
	lost bool       // nothing passes any more
}

// newNetwork makes one that leads nowhere yet.
func newNetwork(t *testing.T) *network {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	n := &network{listener: listener, pipes: make(map[*pipe]bool)}
	n.workers.Go(n.accept)
	t.Cleanup(n.close)
	return n
}

func (n *network) address() string { return n.listener.Addr().String() }

// leadTo has new connections pass to the server's address, or nowhere if it is empty.
func (n *network) leadTo(address string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.target = address
}

// end is where it leads to.
func (n *network) end() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.target
}

func (n *network) close() {
	_ = n.listener.Close()
	n.mu.Lock()
	for p := range n.pipes {
		p.close()
	}
	n.mu.Unlock()
	n.workers.Wait()
}

func (n *network) accept() {
	for {
		conn, err := n.listener.Accept()
		if err != nil {
			return // closed
		}
		n.workers.Go(func() { n.carry(conn) })
	}
}

func (n *network) carry(client net.Conn) {
	server, err := net.Dial("tcp", n.end())
	if err != nil {
		_ = client.Close()
		return
	}
	p := &pipe{client: client, server: server}
	n.mu.Lock()
	n.pipes[p] = true
	n.mu.Unlock()
	var back sync.WaitGroup
	back.Go(func() { p.copy(client, server) })
	p.copy(server, client)
	back.Wait()
	n.mu.Lock()
	delete(n.pipes, p)
	n.mu.Unlock()
}

// lose makes every connection of this moment silent, without closing it: what is sent
// on it gets nowhere.
func (n *network) lose() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for p := range n.pipes {
		p.mu.Lock()
		p.lost = true
		p.mu.Unlock()
	}
}

// breakLost closes the connections that were lost.
func (n *network) breakLost() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for p := range n.pipes {
		p.mu.Lock()
		lost := p.lost
		p.mu.Unlock()
		if lost {
			p.close()
		}
	}
}

// copy carries bytes one way until a side is closed.
func (p *pipe) copy(to io.Writer, from io.Reader) {
	defer p.close()
	buffer := make([]byte, 16<<10)
	for {
		n, err := from.Read(buffer)
		if err != nil {
			return
		}
		p.mu.Lock()
		if !p.lost {
			_, err = to.Write(buffer[:n])
		}
		p.mu.Unlock()
		if err != nil {
			return
		}
	}
}

func (p *pipe) close() {
	_ = p.client.Close()
	_ = p.server.Close()
}
