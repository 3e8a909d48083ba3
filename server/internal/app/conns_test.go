package app

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// pipes is a listener whose connections a test makes.
type pipes struct {
	incoming chan net.Conn
}

func (p pipes) Accept() (net.Conn, error) {
	c, ok := <-p.incoming
	if !ok {
		return nil, net.ErrClosed
	}
	return c, nil
}
func (pipes) Close() error   { return nil }
func (pipes) Addr() net.Addr { return &net.TCPAddr{} }

// crowded is a listener with a limit.
type crowded struct {
	*listener
	incoming chan net.Conn
	shed     int
}

func newCrowded(limit int) *crowded { return newCrowdedOf(crowd{limit: limit}) }

func newCrowdedOf(bounds crowd) *crowded {
	c := &crowded{incoming: make(chan net.Conn, 100)}
	bounds.shed = func() { c.shed++ }
	c.listener = track(pipes{c.incoming}, bounds)
	return c
}

// connect accepts a connection and returns the server's end.
func (c *crowded) connect(t *testing.T) (server net.Conn) {
	t.Helper()
	_, accepted := net.Pipe()
	c.incoming <- accepted
	server, err := c.Accept()
	require.NoError(t, err)
	t.Cleanup(func() { _ = server.Close() })
	return server
}

func TestOldestStrangerMakesRoom(t *testing.T) {
	t.Parallel()
	c := newCrowded(3)
	first := c.connect(t)
	second := c.connect(t)
	third := c.connect(t)
	trustConn(withConn(context.Background(), tls.Server(first, nil)))
	trustConn(withConn(context.Background(), first)) // once more is fine
	trustConn(context.Background())
	require.Zero(t, c.shed)
	fourth := c.connect(t)
	require.Equal(t, 1, c.shed)
	require.Equal(t, 3, c.open())
	_, err := second.Write([]byte{0})
	require.Error(t, err, "the oldest but for one that is trusted")
	require.NoError(t, third.Close())
	require.NoError(t, third.Close())
	require.Equal(t, 2, c.open())
	_ = c.connect(t)
	require.Equal(t, 1, c.shed, "there was room")
	require.NoError(t, fourth.Close())
}

// Of the trusted there may be any number where strangers only are bounded, and a
// stranger makes room for a stranger.
func TestStrangersOnlyAreBounded(t *testing.T) {
	t.Parallel()
	c := newCrowdedOf(crowd{strangers: 1})
	for range 3 {
		trustConn(withConn(context.Background(), c.connect(t)))
	}
	require.Zero(t, c.shed)
	stranger := c.connect(t)
	c.connect(t)
	require.Equal(t, 1, c.shed)
	require.Equal(t, 4, c.open())
	_, err := stranger.Write([]byte{0})
	require.Error(t, err, "it made room")
}

// Where everybody is trusted, the newcomer is turned away.
func TestNewcomerIsTurnedAwayFromTheTrusted(t *testing.T) {
	t.Parallel()
	c := newCrowded(1)
	first := c.connect(t)
	trustConn(withConn(context.Background(), first))
	client, accepted := net.Pipe()
	require.NoError(t, client.SetWriteDeadline(time.Unix(1, 0))) // else a write to an open end waits for a reader
	c.incoming <- accepted
	close(c.incoming)
	_, err := c.Accept()
	require.ErrorIs(t, err, net.ErrClosed)
	_, err = client.Write([]byte{0})
	require.ErrorIs(t, err, io.ErrClosedPipe)
	require.Equal(t, 1, c.shed)
	require.Equal(t, 1, c.open())
}

// What made room is not trusted any more, and forgotten once.
func TestTrustTooLate(t *testing.T) {
	t.Parallel()
	c := newCrowded(1)
	first := c.connect(t)
	second := c.connect(t)
	trustConn(withConn(context.Background(), first))
	require.NoError(t, first.Close())
	require.Equal(t, 1, c.open())
	require.NoError(t, second.Close())
	require.Zero(t, c.open())
	require.Zero(t, c.strangers.Len())
}
