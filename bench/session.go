package main

import (
	"context"
	"errors"
	"os"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

const (
	// quiet is a heartbeat that comes after any measurement.
	quiet = 5 * time.Minute
	// dialing is how many subscribers connect at a time.
	dialing = 16
)

// audience says who subscribes.
type audience struct {
	subscribers int
	// perConnection is how many share a connection.
	perConnection int
	// oneTaker gives each subscriber an account of its own, so that each event has
	// one taker. Otherwise all take everything.
	oneTaker  bool
	decode    bool
	heartbeat time.Duration
	// started is called before anybody subscribes, prepare with each receiver
	// before it does; both may be nil.
	started func(*remote) error
	prepare func(*receiver)
}

// session is a broker in a process of its own, and its subscribers in this one.
type session struct {
	audience
	remote    *remote // nil for a server that is not told what to publish
	receivers []*receiver
	failed    chan error

	mu          sync.Mutex // guards fields below it
	connections []connection
}

// withSession starts a broker, subscribes, calls use, and ends all of it.
func (b *bench) withSession(ctx context.Context, c streamContender, a audience, use func(context.Context, *session) error) (err error) {
	dir, err := b.folder()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	r, err := b.remote(ctx, c, dir)
	if err != nil {
		return err
	}
	s := &session{audience: a, remote: r, failed: make(chan error, 1)}
	defer func() { err = errors.Join(err, r.close()) }()
	if s.started != nil {
		if err := s.started(r); err != nil {
			return err
		}
	}
	return s.whileSubscribed(ctx, r.Addr, c.dial, use)
}

// subscribed subscribes to a server, calls use, and ends the subscriptions.
func subscribed(ctx context.Context, addr string, dial dialer, a audience, use func(context.Context, *session) error) error {
	s := &session{audience: a, failed: make(chan error, 1)}
	return s.whileSubscribed(ctx, addr, dial, use)
}

func (s *session) whileSubscribed(ctx context.Context, addr string, dial dialer, use func(context.Context, *session) error) (err error) {
	reading, cancel := context.WithCancel(ctx)
	defer func() {
		cancel()
		err = errors.Join(err, s.disconnect())
	}()
	if err := s.subscribe(reading, addr, dial); err != nil {
		return err
	}
	return use(ctx, s)
}

// subscribe returns once the broker knows of all subscribers.
func (s *session) subscribe(ctx context.Context, addr string, dial dialer) error {
	for i := range s.subscribers {
		s.receivers = append(s.receivers, s.receiver(uint64(i)))
	}
	group, dialed := errgroup.WithContext(ctx)
	group.SetLimit(dialing)
	for first := 0; first < s.subscribers; first += s.perConnection {
		share := s.receivers[first:min(first+s.perConnection, s.subscribers)]
		group.Go(func() error {
			if err := dialed.Err(); err != nil {
				return err
			}
			return s.connect(ctx, addr, dial, share)
		})
	}
	return group.Wait()
}

func (s *session) receiver(index uint64) *receiver {
	r := &receiver{index: index, decode: s.decode, heartbeat: s.heartbeat, failed: s.failed}
	if s.oneTaker {
		r.account = account(index)
	}
	if s.prepare != nil {
		s.prepare(r)
	}
	return r
}

func (s *session) connect(ctx context.Context, addr string, dial dialer, share []*receiver) error {
	conn, err := dial(ctx, addr)
	if err != nil {
		return err
	}
	s.mu.Lock()
	s.connections = append(s.connections, conn)
	s.mu.Unlock()
	for _, r := range share {
		if err := conn.subscribe(ctx, r); err != nil {
			return err
		}
	}
	return nil
}

func (s *session) disconnect() error {
	var group errgroup.Group
	group.SetLimit(dialing)
	for _, conn := range s.connections {
		group.Go(conn.close)
	}
	return group.Wait()
}
