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
	return l.bounds(l.view.Load()), nil
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
		Records:     v.records(),
		Bytes:       m.DiskSpaceUsage(),
		Reclaimable: trimmed + l.reclaimer.pending(v.start.seq) + leftovers(m),
	}, nil
}

// leftovers are the tables that a compaction has replaced or is about to
// replace. Files of the write-ahead log are used again, not given back.
func leftovers(m *pebble.Metrics) uint64 {
	tables := m.Table.Local
	return tables.ObsoleteSize + tables.ZombieSize + uint64(max(m.Compact.InProgressBytes, 0))
}

// Check implements eventlog.Log. A record that cannot be read cannot be compared
// either, nor one inside a gap: the position passes, so that whoever stopped there
// can go on.
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
	if err == nil && differ(here, p) {
		return eventlog.ErrDiverged
	}
	return nil
}

// differ says that a position was handed out for another record than is here, if
// the fingerprints of both are known. That of the origin is zero and known.
func differ(here point, p eventlog.Position) bool {
	if here.seq != 0 && (here.fingerprint == 0 || p.Fingerprint == 0) {
		return false
	}
	return here.fingerprint != p.Fingerprint
}

// Lookup implements eventlog.Log.
func (l *Log) Lookup(ctx context.Context, id eventlog.ID) (eventlog.Entry, error) {
	release, err := l.use()
	if err != nil {
		return eventlog.Entry{}, err
	}
	defer release()
	e, ok, _ := l.ids.find(id, 0)
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
	if _, removed := errors.AsType[*removedError](err); removed || errors.Is(err, eventlog.ErrTrimmed) {
		err = eventlog.ErrNotFound
	}
	return found, err
}

// Seek implements eventlog.Log.
func (l *Log) Seek(ctx context.Context, t time.Time) (eventlog.Position, error) {
	from := stampFrom(t)
	v := l.view.Load()
	if l.follows == nil && (from > v.head.stamp || v.empty()) {
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
// decrease along the log, so it halves the range. A gap counts as one point, its
// last: there is nothing to be read inside it.
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
		s, err := l.readable(middle, high)
		if errors.Is(err, eventlog.ErrTrimmed) {
			return l.view.Load().start, nil
		}
		if err != nil {
			return point{}, err
		}
		if s.last.stamp < from {
			low = s.last.seq
		} else {
			high = max(low+1, min(middle, s.first))
		}
	}
	return l.pointOf(v, low)
}

// readable is the first stretch at or after seq, or around it, that can be read;
// up to is known to be one, or the head.
func (l *Log) readable(seq, upTo eventlog.Sequence) (stretch, error) {
	for {
		s, err := l.stretchOf(l.view.Load(), seq)
		corrupt, ok := errors.AsType[*eventlog.CorruptError](err)
		if !ok {
			return s, err
		}
		if corrupt.Last+1 >= upTo {
			return stretch{first: upTo, last: point{seq: upTo, stamp: math.MaxInt64}}, nil
		}
		seq = corrupt.Last + 1
	}
}

// oldestAfter is the stamp of the oldest record after start; that of start if it
// cannot be read.
func (l *Log) oldestAfter(start, head point) int64 {
	for seq := start.seq + 1; seq <= head.seq; {
		s, err := l.readable(seq, head.seq)
		if err != nil {
			break
		}
		if !s.removed {
			return min(s.last.stamp, head.stamp)
		}
		seq = s.last.seq + 1
	}
	return start.stamp
}

// pointOf reads a point that lies between the ends of the view.
func (l *Log) pointOf(v *view, seq eventlog.Sequence) (point, error) {
	s, err := l.stretchOf(v, seq)
	return s.at(seq), err
}

// stretchOf reads the stretch in which a sequence between the ends of the view
// lies.
func (l *Log) stretchOf(v *view, seq eventlog.Sequence) (stretch, error) {
	switch seq {
	case v.start.seq:
		return stretch{first: seq, last: v.start}, nil
	case v.head.seq:
		return stretch{first: seq, last: v.head}, nil
	}
	s := stretch{first: seq}
	err := l.withRecord(seq, func(found *stored) { s.last = found.point })
	if removed, ok := errors.AsType[*removedError](err); ok {
		return removed.gap, nil
	}
	return s, err
}

// withRecord reads one record. If it was removed for its type the error is a
// *removedError.
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
