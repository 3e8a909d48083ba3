package client

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"
	grpcbackoff "google.golang.org/grpc/backoff"
	"google.golang.org/grpc/keepalive"

	wabastreamv1 "github.com/wabastream/wabastream/gen/wabastream/v1"
)

// ErrClosed ends the iterations of a client that was closed.
var ErrClosed = errors.New("client is closed")

// Client is a connection to one server. All its methods are safe for concurrent
// use; any number of subscriptions share the connection.
type Client struct {
	conn   *grpc.ClientConn
	api    wabastreamv1.EventServiceClient
	logger *slog.Logger
	retry  backoffLimits

	closing sync.Once
	closed  chan struct{}
}

// New makes a client for a server's gRPC address, such as "127.0.0.1:9090",
// "events.example.com:443" or "unix:///run/wabastream.sock". Every name that
// grpc.NewClient takes will do. Name the port: without one grpc-go takes 443,
// not the 9090 that a server listens on by default.
//
// It does not connect: the first call does, so a server that is not there shows
// in that call. An error means that the target or an option cannot work.
//
// A loopback or Unix socket target is spoken to in plaintext, any other over TLS
// with the system's roots; see [WithTransportCredentials]. A server elsewhere that
// speaks no TLS needs [WithInsecure]: without it a subscription ends with
// [ReasonNoTLS].
func New(target string, opts ...Option) (*Client, error) {
	if err := checkTarget(target); err != nil {
		return nil, err
	}
	o := defaultOptions()
	for _, opt := range opts {
		opt.apply(&o)
	}
	if err := o.validate(); err != nil {
		return nil, err
	}
	conn, err := grpc.NewClient(target, dialOptions(target, &o)...)
	if err != nil {
		return nil, fmt.Errorf("client for %s: %w", target, err)
	}
	return &Client{
		conn:   conn,
		api:    wabastreamv1.NewEventServiceClient(conn),
		logger: o.logger,
		retry:  o.retry,
		closed: make(chan struct{}),
	}, nil
}

// checkTarget refuses what grpc-go would only fail to resolve, again and again.
func checkTarget(target string) error {
	switch {
	case target == "":
		return errors.New("target is empty: give the server's gRPC address, such as 127.0.0.1:9090")
	case strings.HasPrefix(target, "http://"), strings.HasPrefix(target, "https://"):
		return fmt.Errorf("target %q is a web address: give the server's gRPC address, such as events.example.com:443", target)
	default:
		return nil
	}
}

// API returns the generated client on the same connection, for the unary calls:
// ListEvents, GetEvent, GetLogInfo. Its Subscribe is one bare stream without any
// of this package's care.
func (c *Client) API() wabastreamv1.EventServiceClient { return c.api }

// Close ends every subscription with [ErrClosed] and closes the connection. It
// does not wait for loops to return. Closing again does nothing.
func (c *Client) Close() error {
	var err error
	c.closing.Do(func() {
		close(c.closed)
		err = c.conn.Close()
	})
	return err
}

func (c *Client) isClosed() bool {
	select {
	case <-c.closed:
		return true
	default:
		return false
	}
}

// A stream holds up to streamWindowBytes that its loop has not come for yet. That is
// enough for 2 MiB a second over an ocean.
const (
	streamWindowBytes = 256 << 10
	connWindowBytes   = 4 * streamWindowBytes
)

func dialOptions(target string, o *options) []grpc.DialOption {
	creds, plaintext := o.transportFor(target)
	dial := []grpc.DialOption{
		grpc.WithTransportCredentials(creds),
		grpc.WithUserAgent("wabastream-go"),
		// A connection that lost its peer is found within 40 s. The server permits
		// pings every 5 s; load balancers do not count them as traffic, which is
		// why the stream has heartbeats of its own.
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 30 * time.Second, Timeout: 10 * time.Second}),
		// Windows of a fixed size: what a stream holds that is not read is bounded, and
		// grpc-go need not ping for every batch to find out how much to allow.
		grpc.WithInitialWindowSize(streamWindowBytes),
		grpc.WithInitialConnWindowSize(connWindowBytes),
		// grpc-go would wait up to two minutes between connection attempts, and
		// fail ours meanwhile: then WithBackoff's maximum would not be one.
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           grpcbackoff.Config{BaseDelay: o.retry.min, Multiplier: 2, Jitter: 0.2, MaxDelay: o.retry.max},
			MinConnectTimeout: 10 * time.Second,
		}),
	}
	if o.token != nil {
		dial = append(dial, grpc.WithPerRPCCredentials(bearer{source: o.token, plaintext: plaintext}))
	}
	return append(dial, o.dial...)
}
