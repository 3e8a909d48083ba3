package access

import (
	"container/heap"
	"context"
	"sync"
	"time"
)

// maxWait bounds how long expiry is not looked at: a clock that is set, or a machine
// that slept, does not move timers.
const maxWait = time.Second

// tracker knows the sessions that somebody listens to, and which ends next.
type tracker struct {
	wake chan struct{} // holds one token when there is something to do

	mu       sync.Mutex // guards the rest; taken after a session's
	sessions map[*Session]*tracked
	ends     endHeap    // of those with an end
	doubtful []*Session // added although the rules have changed since they were judged
}

type tracked struct {
	session    *Session
	expireTime time.Time
	index      int // in ends; -1 if not there
}

func newTracker() *tracker {
	return &tracker{wake: make(chan struct{}, 1), sessions: make(map[*Session]*tracked)}
}

// track has a session told of changes since the generation that it was judged by.
func (p *Policy) track(s *Session, expireTime time.Time, generation uint64) {
	t := p.tracker
	t.mu.Lock()
	defer t.mu.Unlock()
	entry := &tracked{session: s, index: -1}
	t.sessions[s] = entry
	t.schedule(entry, expireTime)
	// Whoever judges all sessions takes them under the same lock, after the
	// generation was raised: either it finds this one, or this sees the generation.
	if p.generation.Load() != generation {
		t.doubtful = append(t.doubtful, s)
		t.wakeUp()
	}
}

func (t *tracker) remove(s *Session) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if entry, ok := t.sessions[s]; ok {
		t.schedule(entry, time.Time{})
		delete(t.sessions, s)
	}
}

// reschedule changes when a session ends, if it is tracked.
func (t *tracker) reschedule(s *Session, expireTime time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if entry, ok := t.sessions[s]; ok {
		t.schedule(entry, expireTime)
	}
}

func (t *tracker) schedule(entry *tracked, expireTime time.Time) {
	if entry.index >= 0 {
		heap.Remove(&t.ends, entry.index)
	}
	if entry.expireTime = expireTime; !expireTime.IsZero() {
		heap.Push(&t.ends, entry)
	}
	if entry.index == 0 {
		t.wakeUp()
	}
}

func (t *tracker) wakeUp() {
	select {
	case t.wake <- struct{}{}:
	default:
	}
}

// due takes those that are to be judged now, all of them or what is doubtful or has
// expired, and returns how long until the next one has; negative is not at all.
func (t *tracker) due(now time.Time, all bool) (due []*Session, wait time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	due, t.doubtful = t.doubtful, nil
	if all {
		for s := range t.sessions {
			due = append(due, s)
		}
	}
	for len(t.ends) > 0 && expired(t.ends[0].expireTime, now) {
		entry := t.ends[0]
		t.schedule(entry, time.Time{})
		due = append(due, entry.session)
	}
	if len(t.ends) == 0 {
		return due, -1
	}
	return due, min(max(t.ends[0].expireTime.Sub(now), 0), maxWait)
}

// followSessions tells tracked sessions of what changes for them.
func (p *Policy) followSessions(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	var seen uint64
	for {
		select {
		case <-ctx.Done():
			return
		case <-p.tracker.wake:
		case <-timer.C:
		}
		generation := p.generation.Load()
		due, wait := p.tracker.due(p.config.Now(), generation != seen)
		seen = generation
		for _, s := range due {
			p.judge(s)
		}
		timer.Stop()
		if wait >= 0 {
			timer.Reset(wait)
		}
	}
}

// judge has a session follow the rules of the moment.
func (p *Policy) judge(s *Session) {
	if s.Err() != nil {
		return
	}
	generation := p.generation.Load()
	owner, expireTime, err := p.rules.Load().judge(s.credential, p.config.Now())
	if err != nil {
		p.tracker.reschedule(s, time.Time{})
		s.End(err)
		return
	}
	p.tracker.reschedule(s, expireTime)
	s.follow(owner, expireTime, generation)
}

// endHeap is a heap of sessions, that which ends first at its root.
type endHeap []*tracked

func (h endHeap) Len() int           { return len(h) }
func (h endHeap) Less(i, j int) bool { return h[i].expireTime.Before(h[j].expireTime) }

func (h endHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}

// Push implements heap.Interface.
func (h *endHeap) Push(x any) {
	entry := x.(*tracked)
	entry.index = len(*h)
	*h = append(*h, entry)
}

// Pop implements heap.Interface.
func (h *endHeap) Pop() any {
	last := len(*h) - 1
	entry := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	entry.index = -1
	return entry
}
