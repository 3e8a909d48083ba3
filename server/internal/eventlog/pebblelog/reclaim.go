package pebblelog

import (
	"context"
	"fmt"
	"sync"

	"github.com/wabastream/wabastream/server/internal/eventlog"
)

// compactPiece is how much of the disk one compaction rewrites, about: it needs
// that much room for its output.
const compactPiece = 128 << 20

// thinned is a range of the log that records of a type were removed from.
type thinned struct {
	after, upTo eventlog.Sequence
	bytes       uint64 // of the records removed, before compression
}

// reclaimer gives back to the disk what type trims remove. Left to itself Pebble
// keeps much of it: the deletions are small, lie scattered among other records, and
// wait in an upper level until that is full. So a range is compacted once there is
// enough in it to be worth that. A type path's trims go over the log once, so each
// record is written at most once more for each path.
//
// What it knows is lost when the log closes. That is less than enough for each path
// and not lost on Pebble.
type reclaimer struct {
	enough uint64
	wake   chan struct{} // holds a token when some range may have enough

	mu     sync.Mutex // guards fields below it
	ranges map[string]thinned
}

func newReclaimer(enough int) *reclaimer {
	return &reclaimer{enough: uint64(enough), wake: make(chan struct{}, 1), ranges: make(map[string]thinned)}
}

// add takes note of records that were removed for a path, in log order.
func (r *reclaimer) add(path string, removed []placed) {
	r.mu.Lock()
	defer r.mu.Unlock()
	t, ok := r.ranges[path]
	if !ok {
		t.after = removed[0].entry.seq - 1
	}
	t.upTo = removed[len(removed)-1].entry.seq
	for i := range removed {
		t.bytes += uint64(removed[i].size)
	}
	r.ranges[path] = t
	if t.bytes >= r.enough {
		r.signal()
	}
}

// pending is how much there is to give back after the start of the log.
func (r *reclaimer) pending(start eventlog.Sequence) uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	bytes := uint64(0)
	for path, t := range r.ranges {
		if t.upTo <= start {
			delete(r.ranges, path) // trimmed with everything else
			continue
		}
		bytes += t.bytes
	}
	return bytes
}

// next is a range with enough in it.
func (r *reclaimer) next() (path string, t thinned, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for path, t := range r.ranges {
		if t.bytes >= r.enough {
			return path, t, true
		}
	}
	return "", thinned{}, false
}

// settle takes what was compacted from what a path has pending.
func (r *reclaimer) settle(path string, done thinned) {
	r.mu.Lock()
	defer r.mu.Unlock()
	t, ok := r.ranges[path]
	switch {
	case !ok:
	case t.upTo == done.upTo:
		delete(r.ranges, path)
	default:
		r.ranges[path] = thinned{after: done.upTo, upTo: t.upTo, bytes: t.bytes - done.bytes}
	}
}

func (r *reclaimer) signal() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// reclaimAll compacts ranges until the log closes or fails.
func (l *Log) reclaimAll() {
	ctx, cancel := context.WithCancel(context.Background())
	l.workers.Go(func() {
		select {
		case <-l.closing:
		case <-l.failure.failed:
		}
		cancel()
	})
	for {
		select {
		case <-ctx.Done():
			return
		case <-l.reclaimer.wake:
		}
		for path, t, ok := l.reclaimer.next(); ok && ctx.Err() == nil; path, t, ok = l.reclaimer.next() {
			if err := l.compact(ctx, t); err != nil && ctx.Err() == nil {
				l.logger.Warn("space of removed records is not given back yet", "type", path, "error", err)
			}
			l.reclaimer.settle(path, t)
		}
	}
}

// compact rewrites a range of records, piece by piece.
func (l *Log) compact(ctx context.Context, t thinned) (err error) {
	defer func() {
		if p := recover(); p != nil {
			l.failure.poison(fmt.Errorf("compaction panicked: %v", p))
		}
	}()
	size, err := l.db.EstimateDiskUsage(recordKey(t.after+1), gapKey(t.upTo))
	if err != nil {
		return err
	}
	piece := (t.upTo-t.after)/eventlog.Sequence(size/compactPiece+1) + 1
	for after := t.after; after < t.upTo; after += piece {
		if err := l.db.Compact(ctx, recordKey(after+1), gapKey(min(after+piece, t.upTo)), false); err != nil {
			return err
		}
	}
	return nil
}
