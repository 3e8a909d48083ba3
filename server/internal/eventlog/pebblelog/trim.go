package pebblelog

import (
	"context"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"github.com/wabastream/wabastream/server/internal/eventlog"
)

const (
	trimBatch  = 2048   // records removed by one batch
	sweepBatch = 10_000 // ids looked at by one trim
)

// Trim implements eventlog.Log. Readers see the new start before anything is
// removed, so that none of them takes a removed record for a lost one.
func (l *Log) Trim(ctx context.Context, upTo eventlog.Sequence) error {
	release, err := l.use()
	if err != nil {
		return err
	}
	defer release()
	l.trimMu.Lock()
	defer l.trimMu.Unlock()
	v := l.view.Load()
	if upTo > v.head.seq {
		return fmt.Errorf("trim up to %d: %w", upTo, eventlog.ErrAhead)
	}
	if upTo <= l.trimmed.seq {
		return nil
	}
	// The index must be complete before what it is built from goes.
	if err := l.index.run(); err != nil {
		return fmt.Errorf("trim: %w", err)
	}
	if err := l.moveStart(v, upTo); err != nil {
		return fmt.Errorf("trim up to %d: %w", upTo, err)
	}
	for l.trimmed.seq < upTo {
		if err := errors.Join(ctx.Err(), l.usable()); err != nil {
			return err
		}
		if err := l.remove(min(upTo, l.trimmed.seq+trimBatch)); err != nil {
			return fmt.Errorf("trim up to %d: %w", upTo, err)
		}
	}
	if err := l.sweepIDs(); err != nil {
		return fmt.Errorf("forget expired ids: %w", err)
	}
	return nil
}

func (l *Log) moveStart(v *view, upTo eventlog.Sequence) error {
	start, err := l.trimPoint(v, upTo)
	if err != nil {
		return err
	}
	oldest := start.stamp
	if next, err := l.readablePoint(upTo+1, v.head.seq); err == nil && upTo < v.head.seq {
		oldest = min(next.stamp, v.head.stamp)
	}
	l.hide(start, oldest)
	return nil
}

// trimPoint reads the point that becomes the start. Of a corrupt record only the
// sequence is known.
func (l *Log) trimPoint(v *view, seq eventlog.Sequence) (point, error) {
	p, err := l.pointOf(v, seq)
	if _, corrupt := errors.AsType[*eventlog.CorruptError](err); corrupt {
		return point{seq: seq, stamp: l.trimmed.stamp}, nil
	}
	return p, err
}

// remove deletes the oldest records together with their index keys and moves the
// stored trim point, all in one batch: a crash leaves a consistent start.
func (l *Log) remove(upTo eventlog.Sequence) error {
	end, err := l.storedPoint(upTo)
	if err != nil {
		return err
	}
	batch := l.db.NewBatch()
	defer batch.Close()
	if err := l.removeIndex(batch, l.trimmed.seq, upTo); err != nil {
		return err
	}
	if err := errors.Join(
		batch.DeleteRange(recordKey(0), recordKey(upTo+1), nil),
		batch.Set(trimMetaKey(), encodePoint(end), nil),
	); err != nil {
		return err
	}
	if err := l.apply(batch, pebble.Sync); err != nil {
		return err
	}
	l.trimmed = end
	return nil
}

// storedPoint reads a point that readers do not see any more.
func (l *Log) storedPoint(seq eventlog.Sequence) (point, error) {
	if v := l.view.Load(); seq == v.start.seq {
		return v.start, nil
	}
	p := point{seq: seq, stamp: l.trimmed.stamp}
	value, err := l.readMeta(recordKey(seq))
	if err != nil && !pebble.IsCorruptionError(err) {
		return point{}, err
	}
	if s, err := decode(seq, value, nil); err == nil {
		p = s.point
	}
	return p, nil
}

// removeIndex deletes the keys of the records that can still be read. What stays
// behind of the others names records that readers skip.
func (l *Log) removeIndex(batch *pebble.Batch, after, upTo eventlog.Sequence) error {
	iter, err := l.records(after, upTo)
	if err != nil {
		return err
	}
	defer iter.Close()
	for ok := iter.First(); ok; ok = iter.Next() {
		seq := sequenceOf(iter.Key())
		s, err := decode(seq, iter.Value(), nil)
		if err != nil {
			continue
		}
		r := indexedFrom(&staged{header: s.header, horizon: s.horizon}, s.point)
		for _, key := range indexKeys(&r) {
			if err := batch.Delete(key, nil); err != nil {
				return err
			}
		}
	}
	if err := iter.Error(); err != nil && !pebble.IsCorruptionError(err) {
		return err
	}
	return nil
}

// sweepIDs forgets some of the ids whose record is trimmed and whose horizon is
// over. The next trim goes on where this one stopped.
func (l *Log) sweepIDs() error {
	l.index.runMu.Lock()
	defer l.index.runMu.Unlock()
	if l.sweepAt == nil {
		l.sweepAt = []byte{idKind}
	}
	iter, err := l.db.NewIter(&pebble.IterOptions{LowerBound: l.sweepAt, UpperBound: []byte{idKind + 1}})
	if err != nil {
		return err
	}
	defer iter.Close()
	batch := l.db.NewBatch()
	defer batch.Close()
	start, now := l.trimmed.seq, l.view.Load().head.stamp // later records have later stamps
	ok := iter.First()
	for n := 0; ok && n < sweepBatch; n++ {
		if e, err := decodeID(iter.Value()); err == nil && e.seq <= start && e.expires() <= now {
			if err := batch.Delete(iter.Key(), nil); err != nil {
				return err
			}
		}
		ok = iter.Next()
	}
	l.sweepAt = nil
	if ok {
		l.sweepAt = append([]byte(nil), iter.Key()...)
	}
	if err := iter.Error(); err != nil {
		return err
	}
	if batch.Empty() {
		return nil
	}
	return l.apply(batch, pebble.NoSync)
}
