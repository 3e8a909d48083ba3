package client

import (
	"context"
	"sync"
)

// lane names events that are handled one after the other. One of the two is set,
// or none.
type lane struct{ waba, phone string }

// lanes works entries off: those of a lane in their order, lanes beside each
// other. A lane has a goroutine while it has entries, so there are never more
// than the watermark's window.
type lanes struct {
	work    func(context.Context, *entry)
	running sync.WaitGroup

	mu     sync.Mutex
	queues map[lane][]*entry // guarded by mu; one for each lane with a goroutine
}

func newLanes(work func(context.Context, *entry)) *lanes {
	return &lanes{work: work, queues: make(map[lane][]*entry)}
}

// put adds an entry at the end of its lane.
func (l *lanes) put(ctx context.Context, name lane, e *entry) {
	l.mu.Lock()
	defer l.mu.Unlock()
	queue, running := l.queues[name]
	l.queues[name] = append(queue, e)
	if !running {
		l.running.Go(func() { l.run(ctx, name) })
	}
}

// wait returns when no lane has entries. It is for the goroutine that puts.
func (l *lanes) wait() { l.running.Wait() }

func (l *lanes) run(ctx context.Context, name lane) {
	for e := l.next(name); e != nil; e = l.next(name) {
		l.work(ctx, e)
	}
}

// next takes the first entry of a lane. Without one, the lane is no more.
func (l *lanes) next(name lane) *entry {
	l.mu.Lock()
	defer l.mu.Unlock()
	queue := l.queues[name]
	if len(queue) == 0 {
		delete(l.queues, name)
		return nil
	}
	l.queues[name] = queue[1:]
	return queue[0]
}
