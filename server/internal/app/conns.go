package app

import (
	"net"
	"sync"
)

// listener remembers the connections it accepted, so that a shutdown is held up
// neither by those that never sent a byte (health probes, clients that connect
// ahead of need) nor, at its deadline, by any.
type listener struct {
	net.Listener

	mu    sync.Mutex // guards conns
	conns map[*conn]bool
}

// conn tells its listener when it has heard something and when it is closed.
type conn struct {
	net.Conn
	listener *listener
	once     sync.Once
}

func track(l net.Listener) *listener {
	return &listener{Listener: l, conns: make(map[*conn]bool)}
}

// Accept waits for the next connection.
func (l *listener) Accept() (net.Conn, error) {
	accepted, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	c := &conn{Conn: accepted, listener: l}
	l.mu.Lock()
	l.conns[c] = false
	l.mu.Unlock()
	return c, nil
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
	delete(l.conns, c)
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
