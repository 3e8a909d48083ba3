package main

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wabastream/wabastream/client"
	wabastreamv1 "github.com/wabastream/wabastream/gen/wabastream/v1"
)

// follower is a subscriber through the SDK that notes what comes.
type follower struct {
	cancel context.CancelFunc
	done   chan struct{}
	err    error // why it ended; read after done

	noted      chan struct{} // has a token when something was noted since it was read
	mu         sync.Mutex    // guards fields below it
	events     []string      // WABA ids, in the order received
	streams    int           // opened
	heartbeats int
	lost       []error // why streams were lost
	last       time.Time
	gap        time.Duration // the longest between two events
}

// following is one of the SDK's ways to take events, until the context ends.
type following func(ctx context.Context, c *client.Client, request *wabastreamv1.SubscribeRequest, f *follower) error

func bySubscribe(ctx context.Context, c *client.Client, request *wabastreamv1.SubscribeRequest, f *follower) error {
	for event, err := range c.Subscribe(ctx, request, client.WithObserver(f.observe)) {
		if err != nil {
			return err
		}
		f.receive(event)
	}
	return nil
}

func byHandle(ctx context.Context, c *client.Client, request *wabastreamv1.SubscribeRequest, f *follower) error {
	return c.Handle(ctx, request, func(_ context.Context, event *wabastreamv1.Event) error {
		f.receive(event)
		return nil
	}, client.WithConcurrency(16), client.WithObserver(f.observe))
}

// follow subscribes with the SDK's own settings, and waits for the first frame.
func follow(t *testing.T, target string, request *wabastreamv1.SubscribeRequest, how following) *follower {
	t.Helper()
	c, err := client.New(target)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	f := &follower{cancel: cancel, done: make(chan struct{}), noted: make(chan struct{}, 1)}
	go func() {
		defer close(f.done)
		defer c.Close()
		f.err = how(ctx, c, request, f)
	}()
	t.Cleanup(func() {
		cancel()
		<-f.done
	})
	f.await(t, "the first frame", func() bool { return f.streams > 0 })
	return f
}

func (f *follower) observe(n client.Notice) {
	f.note(func() {
		switch {
		case n.Err != nil:
			f.lost = append(f.lost, n.Err)
		case n.Frame.GetReady() != nil:
			f.streams++
		case n.Frame.GetProgress() != nil:
			f.heartbeats++
		}
	})
}

func (f *follower) receive(event *wabastreamv1.Event) {
	f.note(func() {
		now := time.Now()
		if !f.last.IsZero() {
			f.gap = max(f.gap, now.Sub(f.last))
		}
		f.last = now
		f.events = append(f.events, event.GetWabaId())
	})
}

func (f *follower) note(change func()) {
	f.mu.Lock()
	change()
	f.mu.Unlock()
	select {
	case f.noted <- struct{}{}:
	default:
	}
}

// await waits until the condition holds, which may read what was noted.
func (f *follower) await(t *testing.T, what string, condition func() bool) {
	t.Helper()
	const patience = 2 * time.Minute
	timeout := time.NewTimer(patience)
	defer timeout.Stop()
	holds := func() bool {
		f.mu.Lock()
		defer f.mu.Unlock()
		return condition()
	}
	for !holds() {
		select {
		case <-f.noted:
		case <-f.done:
			require.NoError(t, f.err, "the subscription ended before %s", what)
			require.FailNow(t, "the subscription ended", "before %s", what)
		case <-timeout.C:
			require.FailNow(t, "waited in vain", "for %s, %v", what, patience)
		}
	}
}

// leave ends the subscription. Afterwards what was noted may be read.
func (f *follower) leave(t *testing.T) {
	t.Helper()
	f.cancel()
	<-f.done
	require.ErrorIs(t, f.err, context.Canceled)
}

// count returns how many events there were.
func (f *follower) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.events)
}
