package app

import (
	"container/list"
	"context"
	"crypto/tls"
	"net"
	"sync"
	"sync/atomic"
)

// listener remembers the connections it accepted, so that a shutdown is held up
// neither by those that never sent a byte (health probes, clients that connect
// ahead of need) nor, at its deadline, by any; and bounds how many there are.
type listener struct {
	net.Listener
	crowd crowd

	mu        sync.Mutex       // guards the fields below, and place of each conn
	conns     map[*conn]bool   // whether it was heard
	peers     map[string]*conn // the same, by the client's address
	strangers list.List        // of *conn, the oldest first
}

// crowd is what a listener does about too many connections.
type crowd struct {
	// limit is the most connections at once, and strangers the most over which
	// nothing that was trusted came; zero is without bound. When there is one more,
	// the stranger connected longest makes room. So however many strangers hold
	// connections open, whoever comes with something authentic has as long to show
	// it as it takes them to open as many again, and then stays. A newcomer is
	// turned away only where nobody is a stranger.
	limit, strangers int
	// shed is called for each connection closed for this, with the lock held.
	shed func()
}

// conn tells its listener when it has heard something and when it is closed.
type conn struct {
	net.Conn
	listener *listener
	once     sync.Once
	trusted  atomic.Bool
	place    *list.Element // among the strangers; nil when it is none
}

func track(l net.Listener, c crowd) *listener {
	return &listener{Listener: l, crowd: c, conns: make(map[*conn]bool), peers: make(map[string]*conn)}
}

// Accept waits for the next connection.
func (l *listener) Accept() (net.Conn, error) {
	for {
		accepted, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if c := l.admit(accepted); c != nil {
			return c, nil
		}
		_ = accepted.Close()
	}
}

// admit takes a connection in; nil says that there is no room for it.
func (l *listener) admit(accepted net.Conn) *conn {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.crowd.full(len(l.conns), l.strangers.Len()) {
		l.crowd.shed()
		if !l.closeOldestStranger() {
			return nil
		}
	}
	c := &conn{Conn: accepted, listener: l}
	l.conns[c] = false
	l.peers[accepted.RemoteAddr().String()] = c
	c.place = l.strangers.PushBack(c)
	return c
}

// full reports whether there is no room for one more.
func (c crowd) full(conns, strangers int) bool {
	return c.limit > 0 && conns >= c.limit || c.strangers > 0 && strangers >= c.strangers
}

// closeOldestStranger reports whether there was one. The caller holds mu.
func (l *listener) closeOldestStranger() bool {
	oldest := l.strangers.Front()
	if oldest == nil {
		return false
	}
	c := oldest.Value.(*conn)
	l.remove(c)
	_ = c.Conn.Close()
	return true
}

// Read notes that the peer has spoken.
func (c *conn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if n > 0 {
		c.once.Do(func() { c.listener.heard(c) })
	}
	return n, err
}

// Close forgets the connection.
func (c *conn) Close() error {
	c.listener.forget(c)
	return c.Conn.Close()
}

// trust keeps the connection from making room for others.
func (c *conn) trust() {
	if c.trusted.Swap(true) {
		return
	}
	c.listener.mu.Lock()
	defer c.listener.mu.Unlock()
	c.listener.noStranger(c)
}

// connKey is the context key of the connection that a request came over.
type connKey struct{}

// withConn is for http.Server.ConnContext.
func withConn(ctx context.Context, c net.Conn) context.Context {
	if secure, ok := c.(*tls.Conn); ok {
		c = secure.NetConn()
	}
	return context.WithValue(ctx, connKey{}, c)
}

// trustConn trusts the connection that a request came over, if it is known.
func trustConn(ctx context.Context) {
	if c, ok := ctx.Value(connKey{}).(*conn); ok {
		c.trust()
	}
}

// trustPeer trusts the connection of a client's address, if there is one.
func (l *listener) trustPeer(addr net.Addr) {
	l.mu.Lock()
	c := l.peers[addr.String()]
	l.mu.Unlock()
	if c != nil {
		c.trust()
	}
}

func (l *listener) heard(c *conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, open := l.conns[c]; open {
		l.conns[c] = true
	}
}

func (l *listener) forget(c *conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.remove(c)
}

// remove forgets a connection; one that is forgotten already is no error. The
// caller holds mu.
func (l *listener) remove(c *conn) {
	delete(l.conns, c)
	if addr := c.RemoteAddr().String(); l.peers[addr] == c {
		delete(l.peers, addr)
	}
	l.noStranger(c)
}

func (l *listener) noStranger(c *conn) {
	if c.place != nil {
		l.strangers.Remove(c.place)
		c.place = nil
	}
}

// open is how many connections there are.
func (l *listener) open() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.conns)
}

// closeSilent closes connections that have not sent a byte.
func (l *listener) closeSilent() { l.closeIf(func(heard bool) bool { return !heard }) }

// closeAll closes every connection.
func (l *listener) closeAll() { l.closeIf(func(bool) bool { return true }) }

func (l *listener) closeIf(match func(heard bool) bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for c, heard := range l.conns {
		if match(heard) {
			_ = c.Conn.Close()
		}
	}
}
