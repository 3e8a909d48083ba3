package pebblelog

import (
	"slices"
	"time"

	"github.com/wabastream/wabastream/server/internal/eventlog"
)

// point is a place in the log together with what is known of the record there.
type point struct {
	seq         eventlog.Sequence
	fingerprint uint32
	stamp       int64 // microseconds since 1970
}

func (l *Log) position(p point) eventlog.Position {
	return eventlog.Position{Log: l.id, Sequence: p.seq, Fingerprint: p.fingerprint}
}

// view is one consistent state of the log's ends; it is never changed, only
// replaced.
type view struct {
	start, head point
	oldest      int64               // stamp of the oldest record held
	typeTrims   []eventlog.TypeTrim // each of another path and up to after start
	changed     chan struct{}       // closed when the head has moved on

	// What is gone from the store, which lags behind what is hidden: the records up
	// to deleted, and after it as many as gone, removed for their type.
	deleted eventlog.Sequence
	gone    uint64
}

func (v *view) empty() bool { return v.head.seq == v.start.seq }

// records is how many the store holds.
func (v *view) records() uint64 { return uint64(v.head.seq-v.deleted) - v.gone }

// advance makes everything up to head visible and wakes who waits for it.
func (l *Log) advance(head point) {
	l.viewMu.Lock()
	defer l.viewMu.Unlock()
	old := l.view.Load()
	next := *old
	next.head, next.changed = head, make(chan struct{})
	if old.empty() {
		next.oldest = head.stamp
	}
	l.view.Store(&next)
	close(old.changed)
}

// change replaces the view by a changed copy whose head is the same.
func (l *Log) change(edit func(next *view)) {
	l.viewMu.Lock()
	defer l.viewMu.Unlock()
	next := *l.view.Load()
	edit(&next)
	l.view.Store(&next)
}

// hide makes everything up to start invisible.
func (l *Log) hide(start point, oldest int64) {
	l.change(func(next *view) {
		if start.seq <= next.start.seq {
			return
		}
		next.start, next.oldest = start, oldest
		next.typeTrims = slices.DeleteFunc(slices.Clone(next.typeTrims), func(t eventlog.TypeTrim) bool {
			return t.UpTo.Sequence <= start.seq
		})
		if len(next.typeTrims) == 0 {
			next.typeTrims = nil
		}
	})
}

// announce says that the records of a type are removed up to a position.
func (l *Log) announce(path string, upTo eventlog.Position) {
	l.change(func(next *view) {
		trims := slices.Clone(next.typeTrims)
		i := slices.IndexFunc(trims, func(t eventlog.TypeTrim) bool { return t.Path == path })
		if i < 0 {
			i, trims = len(trims), append(trims, eventlog.TypeTrim{Path: path})
		}
		if upTo.Sequence > trims[i].UpTo.Sequence {
			trims[i].UpTo = upTo
		}
		next.typeTrims = trims
	})
}

// bounds are the view's ends, as callers see them.
func (l *Log) bounds(v *view) eventlog.Bounds {
	b := eventlog.Bounds{Start: l.position(v.start), Head: l.position(v.head), TypeTrims: v.typeTrims}
	if !v.empty() {
		b.OldestTime, b.HeadTime = timeOf(v.oldest), timeOf(v.head.stamp)
	}
	return b
}

func stampOf(t time.Time) int64 { return t.UnixMicro() }

// stampFrom is the least stamp that is not before t.
func stampFrom(t time.Time) int64 {
	stamp := t.UnixMicro()
	if time.UnixMicro(stamp).Before(t) {
		stamp++
	}
	return stamp
}

func timeOf(stamp int64) time.Time { return time.UnixMicro(stamp).UTC() }
