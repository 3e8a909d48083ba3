package pebblelog

import (
	"runtime"
	"sync"

	"github.com/wabastream/wabastream/server/internal/eventlog"
)

// What is committed with one sync is bounded, so that a batch stays small beside
// a memory table and the backlog of the index grows by small steps. One append
// may have more bytes and is then alone.
const (
	maxGroupBytes   = 4 << 20
	maxGroupRecords = eventlog.MaxAppendRecords
)

// request is one call of Append, or of Seek if it has no records.
type request struct {
	records []staged
	bytes   int
	answers []eventlog.Appended
	refused error // the log is full; the rest of the group may be stored
	// reached, if set, is a stamp before which nothing may be appended any more
	// once the clock has passed it.
	reached int64
}

// group is what one sync makes durable. Its err and what its requests are
// answered are valid once done is closed.
type group struct {
	requests []*request
	bytes    int
	records  int
	err      error
	done     chan struct{}
}

func (g *group) hasRoom(r *request) bool {
	return g.bytes+r.bytes <= maxGroupBytes && g.records+len(r.records) <= maxGroupRecords
}

// queue collects requests into groups while the committer is busy.
type queue struct {
	ready chan struct{} // holds a token while there may be groups

	mu     sync.Mutex // guards fields below it
	groups []*group
	closed bool
}

func newQueue() *queue { return &queue{ready: make(chan struct{}, 1)} }

// submit puts a request into the last group that has room.
func (q *queue) submit(r *request) (*group, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return nil, eventlog.ErrClosed
	}
	var g *group
	if n := len(q.groups); n > 0 && q.groups[n-1].hasRoom(r) {
		g = q.groups[n-1]
	} else {
		g = &group{done: make(chan struct{})}
		q.groups = append(q.groups, g)
	}
	g.requests = append(g.requests, r)
	g.bytes += r.bytes
	g.records += len(r.records)
	q.wake()
	return g, nil
}

// take waits for the next group; nil says that the queue is closed and empty.
func (q *queue) take() *group {
	for range q.ready {
		// Others that are ready to run have their turn first: what they submit shares
		// the sync. Where many append at once that is a third more of them.
		runtime.Gosched()
		q.mu.Lock()
		if len(q.groups) > 0 {
			g := q.groups[0]
			q.groups = q.groups[1:]
			if len(q.groups) > 0 || q.closed {
				q.wake()
			}
			q.mu.Unlock()
			return g
		}
		closed := q.closed
		q.mu.Unlock()
		if closed {
			return nil
		}
	}
	return nil
}

func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.wake()
}

func (q *queue) wake() {
	select {
	case q.ready <- struct{}{}:
	default:
	}
}
