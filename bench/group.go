package main

import (
	"context"
	"sync"

	"github.com/wabastream/wabastream/server/internal/eventlog"
)

// groups commits what concurrent callers bring together: while one group is
// being committed the next one gathers.
type groups[T any] struct {
	commit func([]T) error
	most   int // items of one group
	ready  chan struct{}
	worker sync.WaitGroup

	mu      sync.Mutex // guards fields below it
	waiting []*group[T]
	closed  bool
}

type group[T any] struct {
	items []T
	err   error
	done  chan struct{}
}

func newGroups[T any](most int, commit func([]T) error) *groups[T] {
	g := &groups[T]{commit: commit, most: most, ready: make(chan struct{}, 1)}
	g.worker.Go(g.work)
	return g
}

// add returns once the items' group is committed.
func (g *groups[T]) add(ctx context.Context, items ...T) error {
	mine, err := g.join(items)
	if err != nil {
		return err
	}
	select {
	case <-mine.done:
		return mine.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (g *groups[T]) join(items []T) (*group[T], error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return nil, eventlog.ErrClosed
	}
	n := len(g.waiting)
	if n == 0 || len(g.waiting[n-1].items)+len(items) > g.most {
		g.waiting = append(g.waiting, &group[T]{done: make(chan struct{})})
		n++
	}
	mine := g.waiting[n-1]
	mine.items = append(mine.items, items...)
	g.wake()
	return mine, nil
}

func (g *groups[T]) wake() {
	select {
	case g.ready <- struct{}{}:
	default:
	}
}

func (g *groups[T]) work() {
	for range g.ready {
		for next := g.take(); next != nil; next = g.take() {
			next.err = g.commit(next.items)
			close(next.done)
		}
		if g.isClosed() {
			return
		}
	}
}

func (g *groups[T]) take() *group[T] {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.waiting) == 0 {
		return nil
	}
	next := g.waiting[0]
	g.waiting = g.waiting[1:]
	return next
}

func (g *groups[T]) isClosed() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.closed
}

// close commits what waits and ends.
func (g *groups[T]) close() {
	g.mu.Lock()
	g.closed = true
	g.wake()
	g.mu.Unlock()
	g.worker.Wait()
}
