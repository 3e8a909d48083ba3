package pebblelog

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/wabastream/wabastream/server/internal/eventlog"
)

const (
	trimBatch  = 2048   // records removed by one batch
	sweepBatch = 10_000 // ids looked at by one trim

	// Between batches a trim looks every trimPause, for at most trimPatience, whether
	// no more than trimMemTables are in memory: the one being filled and the one being
	// written.
	trimPause     = 5 * time.Millisecond
	trimPatience  = 50 * time.Millisecond
	trimMemTables = 2
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
	// The index must be complete before what it is built from goes, and so must states.
	if err := l.index.reach(upTo); err != nil {
		return fmt.Errorf("trim: %w", err)
	}
	released, err := l.keepStates(ctx, upTo)
	if err == nil {
		defer released()
		err = l.settle(ctx, upTo)
	}
	if err != nil {
		return fmt.Errorf("trim up to %d: %w", upTo, err)
	}
	if err := l.moveStart(v, upTo); err != nil {
		return fmt.Errorf("trim up to %d: %w", upTo, err)
	}
	for l.trimmed.seq < upTo {
		if err := l.giveWay(ctx); err != nil {
			return err
		}
		next, err := l.nextBatch(upTo)
		if err == nil {
			err = l.remove(next, upTo)
		}
		if err != nil {
			return fmt.Errorf("trim up to %d: %w", upTo, err)
		}
	}
	if err := l.sweepIDs(); err != nil {
		return fmt.Errorf("forget expired ids: %w", err)
	}
	return nil
}

// giveWay is called before each batch of a trim. Removing costs a few small entries for
// each record, and is done as fast as the store takes them: left to itself it fills all
// memory tables, and appends wait for seconds until one is written. The patience is
// limited, so that retention keeps up with whoever appends without a pause.
func (l *Log) giveWay(ctx context.Context) error {
	patience := time.NewTimer(trimPatience)
	defer patience.Stop()
	for {
		if err := errors.Join(ctx.Err(), l.usable()); err != nil {
			return err
		}
		if l.db.Metrics().MemTable.Count <= trimMemTables {
			return nil
		}
		select {
		case <-time.After(trimPause):
		case <-patience.C:
			return nil
		case <-ctx.Done():
		case <-l.closing:
		}
	}
}

// nextBatch is where the next batch of a trim ends. A gap is passed at once, however
// wide it is.
func (l *Log) nextBatch(upTo eventlog.Sequence) (eventlog.Sequence, error) {
	next := l.trimmed.seq + trimBatch
	gap, ok, err := l.gapOver(l.trimmed.seq + 1)
	if ok {
		next = max(next, gap.last.seq)
	}
	return min(next, upTo), err
}

func (l *Log) moveStart(v *view, upTo eventlog.Sequence) error {
	start, err := l.trimPoint(v, upTo)
	if err != nil {
		return err
	}
	l.hide(start, l.oldestAfter(start, v.head))
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
// stored trim point, all in one batch: a crash leaves a consistent start. Last is
// where the trim ends.
func (l *Log) remove(upTo, last eventlog.Sequence) error {
	end, err := l.storedPoint(upTo)
	if err != nil {
		return err
	}
	batch := l.db.NewBatch()
	defer batch.Close()
	inGaps, err := l.removeIndex(batch, l.trimmed.seq, upTo)
	if err != nil {
		return err
	}
	gone := l.view.Load().gone
	gone -= min(gone, inGaps)
	// Pebble drops a table without reading it once one deletion covers all of it, so
	// each trim ends with one from the start of the log. Between them such would pile up.
	from := l.trimmed.seq + 1
	if upTo == last {
		from = 0
	}
	if err := errors.Join(
		batch.DeleteRange(recordKey(from), recordKey(upTo+1), nil),
		batch.Set(trimMetaKey(), encodePoint(end), nil),
		batch.Set(goneMetaKey(), binary.AppendUvarint(nil, gone), nil),
		l.forgetTypeTrims(batch, upTo),
		l.forgetNotes(batch, from, upTo),
	); err != nil {
		return err
	}
	if err := l.apply(batch, pebble.Sync); err != nil {
		return err
	}
	l.trimmed = end
	maps.DeleteFunc(l.typeTrimmed, func(_ string, p point) bool { return p.seq <= upTo })
	l.change(func(next *view) { next.deleted, next.gone = upTo, gone })
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
		return s.point, nil
	}
	if gap, ok, err := l.gapOver(seq); ok || err != nil {
		return gap.at(seq), err
	}
	return p, nil
}

// forgetTypeTrims deletes the trim points that are trimmed with everything else.
func (l *Log) forgetTypeTrims(batch *pebble.Batch, upTo eventlog.Sequence) error {
	for path, p := range l.typeTrimmed {
		if p.seq > upTo {
			continue
		}
		if err := batch.Delete(typeTrimKey(path), nil); err != nil {
			return err
		}
	}
	return nil
}

// removeIndex deletes the keys of the records that can still be read. What stays
// behind of the others names records that readers skip. It counts the records in
// gaps, which have no keys any more.
func (l *Log) removeIndex(batch *pebble.Batch, after, upTo eventlog.Sequence) (inGaps uint64, err error) {
	iter, err := l.records(after, upTo)
	if err != nil {
		return 0, err
	}
	defer iter.Close()
	for ok := iter.First(); ok; ok = iter.Next() {
		if isGap(iter.Key()) {
			if gap, err := stretchAt(iter); err == nil {
				inGaps += gap.within(after, upTo)
			}
			continue
		}
		s, err := decode(sequenceOf(iter.Key()), iter.Value(), nil)
		if err != nil {
			continue
		}
		if err := deleteIndexKeys(batch, &s.header, s.seq); err != nil {
			return 0, err
		}
	}
	if err := iter.Error(); err != nil && !pebble.IsCorruptionError(err) {
		return 0, err
	}
	gap, ok, err := l.gapOver(upTo)
	if ok && gap.last.seq > upTo {
		inGaps += gap.within(after, upTo)
	}
	return inGaps, err
}

// sweepIDs forgets some of the ids whose record is removed and whose horizon is
// over. The next trim goes on where this one stopped.
func (l *Log) sweepIDs() error {
	l.index.writing.Lock()
	defer l.index.writing.Unlock()
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
		if e, err := decodeID(iter.Value()); err == nil && (e.seq <= start || e.removed) && e.expires() <= now {
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
	if err := iter.Error(); pebble.IsCorruptionError(err) {
		l.logger.Warn("some expired ids stay: they cannot be read", "error", err)
	} else if err != nil {
		return err
	}
	if batch.Empty() {
		return nil
	}
	return l.apply(batch, pebble.NoSync)
}
