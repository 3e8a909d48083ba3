package pebblelog

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/wabastream/wabastream/server/internal/eventlog"
)

// Bounds implements eventlog.Log.
func (l *Log) Bounds(context.Context) (eventlog.Bounds, error) {
	if err := l.usable(); err != nil {
		return eventlog.Bounds{}, err
	}
	v := l.view.Load()
	b := eventlog.Bounds{Start: l.position(v.start), Head: l.position(v.head)}
	if !v.empty() {
		b.OldestTime, b.HeadTime = timeOf(v.oldest), timeOf(v.head.stamp)
	}
	return b, nil
}

// Stats implements eventlog.Log.
func (l *Log) Stats(context.Context) (eventlog.Stats, error) {
	release, err := l.use()
	if err != nil {
		return eventlog.Stats{}, err
	}
	defer release()
	v := l.view.Load()
	trimmed, err := l.db.EstimateDiskUsage(recordKey(0), recordKey(v.start.seq))
	if err != nil {
		return eventlog.Stats{}, fmt.Errorf("measure trimmed records: %w", err)
	}
	m := l.db.Metrics()
	return eventlog.Stats{
		Records:     uint64(v.head.seq - v.start.seq),
		Bytes:       m.DiskSpaceUsage(),
		Reclaimable: trimmed + leftovers(m),
	}, nil
}

// leftovers are the tables that a compaction has replaced or is about to
// replace. Files of the write-ahead log are used again, not given back.
func leftovers(m *pebble.Metrics) uint64 {
	tables := m.Table.Local
	return tables.ObsoleteSize + tables.ZombieSize + uint64(max(m.Compact.InProgressBytes, 0))
}

// Check implements eventlog.Log. A record that cannot be read cannot be compared
// either: the position passes, so that whoever stopped there can go on.
func (l *Log) Check(_ context.Context, p eventlog.Position) error {
	release, err := l.use()
	if err != nil {
		return err
	}
	defer release()
	v := l.view.Load()
	switch {
	case p.Log != l.id:
		return fmt.Errorf("%w: it is of %s, this is %s", eventlog.ErrOtherLog, p.Log, l.id)
	case p.Sequence > v.head.seq:
		return eventlog.ErrAhead
	case p.Sequence < v.start.seq:
		return eventlog.ErrTrimmed
	}
	here, err := l.pointOf(v, p.Sequence)
	if errors.Is(err, eventlog.ErrTrimmed) {
		return err
	}
	if err == nil && here.fingerprint != p.Fingerprint {
		return eventlog.ErrDiverged
	}
	return nil
}

// Lookup implements eventlog.Log.
func (l *Log) Lookup(ctx context.Context, id eventlog.ID) (eventlog.Entry, error) {
	release, err := l.use()
	if err != nil {
		return eventlog.Entry{}, err
	}
	defer release()
	e, ok := l.ids.find(id)
	if !ok {
		if e, ok, err = l.storedID(id); err != nil {
			return eventlog.Entry{}, fmt.Errorf("look id up: %w", err)
		}
	}
	v := l.view.Load()
	if !ok || e.seq <= v.start.seq {
		return eventlog.Entry{}, eventlog.ErrNotFound
	}
	if e.seq > v.head.seq {
		// Durable, and visible in an instant.
		if err := l.Wait(ctx, e.seq-1); err != nil {
			return eventlog.Entry{}, err
		}
	}
	var found eventlog.Entry
	err = l.withRecord(e.seq, func(s *stored) { found = l.entry(s, true) })
	if errors.Is(err, eventlog.ErrTrimmed) {
		err = eventlog.ErrNotFound
	}
	return found, err
}

// Seek implements eventlog.Log.
func (l *Log) Seek(ctx context.Context, t time.Time) (eventlog.Position, error) {
	from := stampFrom(t)
	v := l.view.Load()
	if from > v.head.stamp || v.empty() {
		// A group stamped before t may be on its way to the disk. Whatever is
		// committed after this request is stamped later.
		if err := l.usable(); err != nil {
			return eventlog.Position{}, err
		}
		if err := l.await(ctx, &request{reached: from}); err != nil {
			return eventlog.Position{}, err
		}
	}
	release, err := l.use()
	if err != nil {
		return eventlog.Position{}, err
	}
	defer release()
	v = l.view.Load()
	p, err := l.pointBefore(v, from)
	if err != nil {
		return eventlog.Position{}, fmt.Errorf("seek: %w", err)
	}
	return l.position(p), nil
}

// pointBefore is the last point whose stamp is less than from. Stamps never
// decrease along the log, so it halves the range.
func (l *Log) pointBefore(v *view, from int64) (point, error) {
	if v.empty() || from <= v.oldest {
		return v.start, nil
	}
	if from > v.head.stamp {
		return v.head, nil
	}
	low, high := v.start.seq, v.head.seq // before: low's stamp; not before: high's
	for high-low > 1 {
		middle := low + (high-low)/2
		p, err := l.readablePoint(middle, high)
		if errors.Is(err, eventlog.ErrTrimmed) {
			return l.view.Load().start, nil
		}
		if err != nil {
			return point{}, err
		}
		if p.stamp < from {
			low = p.seq
		} else {
			high = middle
		}
	}
	return l.pointOf(v, low)
}

// readablePoint is the first point at or after seq that can be read; up to is
// known to be one, or the head.
func (l *Log) readablePoint(seq, upTo eventlog.Sequence) (point, error) {
	for {
		p, err := l.pointOf(l.view.Load(), seq)
		var corrupt *eventlog.CorruptError
		if !errors.As(err, &corrupt) {
			return p, err
		}
		if corrupt.Last+1 >= upTo {
			return point{seq: upTo, stamp: math.MaxInt64}, nil
		}
		seq = corrupt.Last + 1
	}
}

// pointOf reads a point that lies between the ends of the view.
func (l *Log) pointOf(v *view, seq eventlog.Sequence) (point, error) {
	switch seq {
	case v.start.seq:
		return v.start, nil
	case v.head.seq:
		return v.head, nil
	}
	var p point
	err := l.withRecord(seq, func(s *stored) { p = s.point })
	return p, err
}

// withRecord reads one record.
func (l *Log) withRecord(seq eventlog.Sequence, read func(*stored)) error {
	only := span{after: seq - 1, upTo: seq}
	value, closer, err := l.db.Get(recordKey(seq))
	if errors.Is(err, pebble.ErrNotFound) {
		err = errMissing
	}
	if err != nil {
		return l.unreadable(only, err)
	}
	defer closer.Close()
	s, err := decode(seq, value, nil)
	if err != nil {
		return &eventlog.CorruptError{First: seq, Last: seq, Cause: err}
	}
	read(&s)
	return nil
}
