package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/wabastream/wabastream/client"
)

// subscriber receives what comes from the moment it is subscribed.
type subscriber struct {
	events, gaps atomic.Uint64

	subscribe  sync.Once
	subscribed chan struct{}
}

func newSubscriber() *subscriber { return &subscriber{subscribed: make(chan struct{})} }

// read receives events until the context or the subscription ends, which is an
// error in any case.
func (s *subscriber) read(ctx context.Context, c *client.Client) error {
	firstFrame := client.WithObserver(func(n client.Notice) {
		if n.Frame != nil {
			s.subscribe.Do(func() { close(s.subscribed) })
		}
	})
	for _, err := range c.Subscribe(ctx, nil, firstFrame) {
		gap := (*client.GapError)(nil)
		switch {
		case errors.As(err, &gap):
			s.gaps.Add(1)
		case err != nil:
			return fmt.Errorf("read events: %w", err)
		default:
			s.events.Add(1)
		}
	}
	return errors.New("read events: the subscription ended by itself")
}

// wait returns once the server has accepted the subscription.
func (s *subscriber) wait(ctx context.Context) error {
	select {
	case <-s.subscribed:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
