package natslog

import (
	"context"
	"fmt"
	"sync"

	"github.com/wabastream/wabastream/server/internal/eventlog"
)

// heads asks the stream's leader for its newest message. Who asks while another's
// question is under way shares the next one: an answer to a question that was put
// earlier may be too old.
type heads struct {
	mu      sync.Mutex // guards fields below it
	running bool
	next    *headCall
}

type headCall struct {
	done chan struct{} // closed once the rest is set
	last uint64
	err  error
}

func (h *heads) ask(ctx context.Context, fetch func() (uint64, error)) (uint64, error) {
	h.mu.Lock()
	if h.next == nil {
		h.next = &headCall{done: make(chan struct{})}
	}
	call := h.next
	if !h.running {
		h.running = true
		go h.run(fetch)
	}
	h.mu.Unlock()
	select {
	case <-call.done:
		return call.last, call.err
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

func (h *heads) run(fetch func() (uint64, error)) {
	for {
		h.mu.Lock()
		call := h.next
		h.next = nil
		h.running = call != nil
		h.mu.Unlock()
		if call == nil {
			return
		}
		call.last, call.err = fetch()
		close(call.done)
	}
}

// lastMessage asks the leader.
func (l *Log) lastMessage() (uint64, error) {
	ctx, cancel := context.WithTimeout(l.running, requestWait)
	defer cancel()
	info, err := l.stream.Info(ctx)
	if err != nil {
		return 0, fmt.Errorf("ask for the newest message of the stream: %w", err)
	}
	l.pulse.beat()
	return info.State.LastSeq, nil
}

// pass sends a message that says nothing. Once it is taken in, so is everything that
// was acknowledged before it was sent, whoever leads the stream: one that was elected a
// moment ago may not know its newest message yet.
func (l *Log) pass() (uint64, error) {
	ctx, cancel := context.WithTimeout(l.running, l.opts.SyncWait)
	defer cancel()
	seen, _ := l.place()
	_, err := l.submit(ctx, subjectLog, &entry{kind: tick, seen: seen, stamp: seen.stamp})
	return 0, err
}

// sync waits until this replica has taken in what the stream has now, as its leader
// says.
func (l *Log) sync(ctx context.Context) error {
	return l.keepUp(ctx, func(ctx context.Context) error {
		last, err := l.heads.ask(ctx, l.lastMessage)
		if err != nil {
			return err
		}
		return l.reach(ctx, last)
	})
}

// settle waits until this replica has taken in everything that was acknowledged, to
// whomever. It costs a message, which those who ask at the same time share.
func (l *Log) settle(ctx context.Context) error {
	return l.keepUp(ctx, func(ctx context.Context) error {
		_, err := l.passes.ask(ctx, l.pass)
		return err
	})
}

func (l *Log) keepUp(ctx context.Context, wait func(context.Context) error) error {
	if err := l.usable(); err != nil {
		return err
	}
	ctx, stop := l.while(ctx)
	defer stop()
	patient, cancel := context.WithTimeout(ctx, l.opts.SyncWait)
	defer cancel()
	err := wait(patient)
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return endOf(ctx, ctx.Err())
	default:
		return fmt.Errorf("%w: this replica does not keep up with the stream: %w", eventlog.ErrUnavailable, err)
	}
}

// reach waits until a message is taken in.
func (l *Log) reach(ctx context.Context, message uint64) error {
	for {
		at, moved := l.place()
		if at.message >= message {
			return nil
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
