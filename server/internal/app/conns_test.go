package app

import (
	"context"
	"crypto/tls"
	"net"
	"testing"

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

func newCrowded(limit int) *crowded {
	c := &crowded{incoming: make(chan net.Conn, 100)}
	c.listener = track(pipes{c.incoming}, crowd{limit: limit, shed: func() { c.shed++ }})
	return c
}

// connect accepts a connection and returns the client's end and the server's.
func (c *crowded) connect(t *testing.T) (client, server net.Conn) {
	t.Helper()
	client, accepted := net.Pipe()
	c.incoming <- accepted
	server, err := c.Accept()
	require.NoError(t, err)
	t.Cleanup(func() { _ = server.Close() })
	return client, server
}

func isClosed(c net.Conn) bool {
	done := make(chan error, 1)
	go func() {
		_, err := c.Write([]byte{0})
		done <- err
	}()
	select {
	case err := <-done:
		return err != nil
	default:
		_ = c.Close() // it is open: end the write
		<-done
		return false
	}
}

func TestOldestStrangerMakesRoom(t *testing.T) {
	t.Parallel()
	c := newCrowded(3)
	_, first := c.connect(t)
	_, second := c.connect(t)
	_, third := c.connect(t)
	trustConn(withConn(context.Background(), tls.Server(first, nil)))
	trustConn(withConn(context.Background(), first)) // once more is fine
	trustConn(context.Background())
	require.Zero(t, c.shed)
	_, fourth := c.connect(t)
	require.Equal(t, 1, c.shed)
	require.Equal(t, 3, c.open())
	_, err := second.Write([]byte{0})
	require.Error(t, err, "the oldest but for one that is trusted")
	require.NoError(t, third.Close())
	require.NoError(t, third.Close())
	require.Equal(t, 2, c.open())
	_, _ = c.connect(t)
	require.Equal(t, 1, c.shed, "there was room")
	require.NoError(t, fourth.Close())
}

// Where everybody is trusted, the newcomer waits for none: it is turned away.
func TestNewcomerIsTurnedAwayFromTheTrusted(t *testing.T) {
	t.Parallel()
	c := newCrowded(1)
	_, first := c.connect(t)
	trustConn(withConn(context.Background(), first))
	client, accepted := net.Pipe()
	c.incoming <- accepted
	close(c.incoming)
	_, err := c.Accept()
	require.ErrorIs(t, err, net.ErrClosed)
	require.True(t, isClosed(client))
	require.Equal(t, 1, c.shed)
	require.Equal(t, 1, c.open())
}

// What made room is not trusted any more, and forgotten once.
func TestTrustTooLate(t *testing.T) {
	t.Parallel()
	c := newCrowded(1)
	_, first := c.connect(t)
	_, second := c.connect(t)
	trustConn(withConn(context.Background(), first))
	require.NoError(t, first.Close())
	require.Equal(t, 1, c.open())
	require.NoError(t, second.Close())
	require.Zero(t, c.open())
	require.Zero(t, c.strangers.Len())
}
