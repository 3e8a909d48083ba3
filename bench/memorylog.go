package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/wabastream/wabastream/server/internal/eventlog"
)

// memoryKept is how many of the newest records a memoryLog holds: more than any
// subscriber may be behind.
const memoryKept = 1 << 17

// memoryLog keeps the newest records in memory and nothing else: no disk, no
// duplicates, no index. With it the product's stream is measured by itself, next
// to contenders that store nothing.
type memoryLog struct {
	id eventlog.LogID

	mu      sync.RWMutex // guards fields below it
	entries []eventlog.Entry
	head    eventlog.Position
	stamp   time.Time
	moved   chan struct{} // closed when the head moves on
	closed  bool
}

func newMemoryLog() *memoryLog {
	id := eventlog.LogID{1}
	return &memoryLog{id: id, entries: make([]eventlog.Entry, memoryKept), head: eventlog.Position{Log: id}, moved: make(chan struct{})}
}

// Append implements engine.
func (l *memoryLog) Append(_ context.Context, records []eventlog.Record) ([]eventlog.Appended, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil, eventlog.ErrClosed
	}
	if now := time.Now().Truncate(time.Microsecond); now.After(l.stamp) {
		l.stamp = now
	}
	appended := make([]eventlog.Appended, len(records))
	for i, r := range records {
		l.head.Sequence++
		l.head.Fingerprint = eventlog.FingerprintOf(r.ID, l.stamp)
		l.entries[l.head.Sequence%memoryKept] = eventlog.Entry{Record: r, Position: l.head, AppendTime: l.stamp}
		appended[i].Position = l.head
	}
	close(l.moved)
	l.moved = make(chan struct{})
	return appended, nil
}

// start is the position before the oldest record held.
func (l *memoryLog) start() eventlog.Position {
	if l.head.Sequence < memoryKept {
		return eventlog.Position{Log: l.id}
	}
	return l.entries[(l.head.Sequence+1)%memoryKept].Position
}

// Read implements the stream's Reader.
func (l *memoryLog) Read(_ context.Context, q eventlog.Query) (eventlog.Page, error) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if l.closed {
		return eventlog.Page{}, eventlog.ErrClosed
	}
	if q.Reverse {
		return eventlog.Page{}, nil // only hints for people are read in reverse
	}
	if q.After < l.start().Sequence {
		return eventlog.Page{}, eventlog.ErrTrimmed
	}
	until := l.head.Sequence
	if q.Until != 0 {
		until = min(until, q.Until)
	}
	if q.Limit == 0 {
		q.Limit, q.Bytes = 1000, 1<<20
	}
	page := eventlog.Page{Scanned: l.at(q.After)}
	for next, bytes := q.After+1, 0; next <= until; next++ {
		if len(page.Entries) == q.Limit || bytes >= q.Bytes {
			page.More = true
			break
		}
		e := &l.entries[next%memoryKept]
		page.Scanned = e.Position
		if q.Filter.Match(&e.Header) {
			page.Entries = append(page.Entries, *e)
			bytes += len(e.Payload)
		}
	}
	return page, nil
}

// at is the position of a sequence that is held, or of the start.
func (l *memoryLog) at(s eventlog.Sequence) eventlog.Position {
	if s == 0 {
		return eventlog.Position{Log: l.id}
	}
	return l.entries[s%memoryKept].Position
}

// Wait implements the stream's Reader.
func (l *memoryLog) Wait(ctx context.Context, after eventlog.Sequence) error {
	for {
		l.mu.RLock()
		head, moved, closed := l.head.Sequence, l.moved, l.closed
		l.mu.RUnlock()
		switch {
		case closed:
			return eventlog.ErrClosed
		case head > after:
			return nil
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Bounds implements the stream's Reader.
func (l *memoryLog) Bounds(context.Context) (eventlog.Bounds, error) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return eventlog.Bounds{Start: l.start(), Head: l.head, OldestTime: l.stamp, HeadTime: l.stamp}, nil
}

// Stats implements the stream's Reader.
func (l *memoryLog) Stats(context.Context) (eventlog.Stats, error) { return eventlog.Stats{}, nil }

// Check implements the stream's Reader; subscribers of the benchmarks resume
// nothing, and neither seek nor look up.
func (l *memoryLog) Check(context.Context, eventlog.Position) error { return errNotInMemory("check") }

// Seek implements the stream's Reader.
func (l *memoryLog) Seek(context.Context, time.Time) (eventlog.Position, error) {
	return eventlog.Position{}, errNotInMemory("seek")
}

// Lookup implements the stream's Reader.
func (l *memoryLog) Lookup(context.Context, eventlog.ID) (eventlog.Entry, error) {
	return eventlog.Entry{}, errNotInMemory("look up")
}

func errNotInMemory(what string) error { return fmt.Errorf("%s: the log in memory cannot", what) }

// Close implements engine.
func (l *memoryLog) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.closed {
		l.closed = true
		close(l.moved)
		l.moved = nil
	}
	return nil
}
