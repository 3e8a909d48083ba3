package pebblelog

import (
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
	oldest      int64         // stamp of the oldest record held
	changed     chan struct{} // closed when the head has moved on
}

func (v *view) empty() bool { return v.head.seq == v.start.seq }

// advance makes everything up to head visible and wakes who waits for it.
func (l *Log) advance(head point) {
	l.viewMu.Lock()
	defer l.viewMu.Unlock()
	old := l.view.Load()
	next := &view{start: old.start, head: head, oldest: old.oldest, changed: make(chan struct{})}
	if old.empty() {
		next.oldest = head.stamp
	}
	l.view.Store(next)
	close(old.changed)
}

// hide makes everything up to start invisible.
func (l *Log) hide(start point, oldest int64) {
	l.viewMu.Lock()
	defer l.viewMu.Unlock()
	old := l.view.Load()
	if start.seq <= old.start.seq {
		return
	}
	l.view.Store(&view{start: start, head: old.head, oldest: oldest, changed: old.changed})
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
