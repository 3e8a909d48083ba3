package pebblelog

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"github.com/wabastream/wabastream/server/internal/eventlog"
)

// TrimType implements eventlog.Log. As with Trim, readers see how far it goes
// before anything is removed.
func (l *Log) TrimType(ctx context.Context, path string, upTo eventlog.Sequence) error {
	release, err := l.use()
	if err != nil {
		return err
	}
	defer release()
	if err := checkPath(path); err != nil {
		return err
	}
	l.trimMu.Lock()
	defer l.trimMu.Unlock()
	v := l.view.Load()
	if upTo > v.head.seq {
		return fmt.Errorf("trim type %s up to %d: %w", path, upTo, eventlog.ErrAhead)
	}
	// The newest record tells where the log stands: it stays.
	upTo = min(upTo, max(v.head.seq, 1)-1)
	t := typeTrim{log: l, path: path, matcher: pathMatcher(path)}
	if err := t.run(ctx, max(v.start.seq, l.typeTrimmed[path].seq), upTo); err != nil {
		return fmt.Errorf("trim type %s up to %d: %w", path, upTo, err)
	}
	return nil
}

func checkPath(path string) error {
	if path == "" || len(path) > eventlog.MaxTextBytes {
		return fmt.Errorf("type path must have 1 to %d bytes, not %d", eventlog.MaxTextBytes, len(path))
	}
	return nil
}

func pathMatcher(path string) *eventlog.Matcher {
	return eventlog.NewMatcher([]eventlog.Filter{{Types: []string{path}}})
}

// typeTrim is one call of TrimType. It runs under trimMu.
type typeTrim struct {
	log     *Log
	path    string
	matcher *eventlog.Matcher
}

func (t *typeTrim) run(ctx context.Context, after, upTo eventlog.Sequence) error {
	if after >= upTo {
		return nil
	}
	// The index must be complete before what it is built from goes, and it is what
	// the records are found by.
	if err := t.log.index.reach(upTo); err != nil {
		return err
	}
	last, err := t.last(ctx, after, upTo)
	if err != nil || last.seq == 0 {
		return err
	}
	release, err := t.log.keepStates(ctx, last.seq)
	if err != nil {
		return err
	}
	defer release()
	if err := t.log.settle(ctx, last.seq); err != nil {
		return err
	}
	t.log.announce(t.path, t.log.position(last))
	for more := true; more && after < last.seq; after = t.log.typeTrimmed[t.path].seq {
		if err := t.log.giveWay(ctx); err != nil {
			return err
		}
		if more, err = t.removeSome(ctx, after, last.seq); err != nil {
			return err
		}
	}
	if err := t.log.sweepIDs(); err != nil {
		return fmt.Errorf("forget expired ids: %w", err)
	}
	return nil
}

// last is the last record that is to go; its sequence is zero if there is none. The
// trim point is there and not where the trim was asked to end, so that no reader is
// told of a loss where nothing was.
func (t *typeTrim) last(ctx context.Context, after, upTo eventlog.Sequence) (point, error) {
	var last point
	err := t.log.each(ctx, span{after: after, upTo: upTo, reverse: true}, t.matcher, func(s *stored) bool {
		last = s.point
		return false
	})
	return last, err
}

// removeSome removes the next records in one batch: together with their index keys,
// the gaps that they leave and the trim point, so that a crash leaves all or
// nothing of it. It reports that there may be more. A record that cannot be read
// stays, and is reported to readers, until everything there is trimmed.
func (t *typeTrim) removeSome(ctx context.Context, after, upTo eventlog.Sequence) (more bool, err error) {
	l := t.log
	doomed := make([]placed, 0, trimBatch)
	err = l.each(ctx, span{after: after, upTo: upTo}, t.matcher, func(s *stored) bool {
		doomed = append(doomed, placedAgain(s))
		return len(doomed) < trimBatch
	})
	if err != nil || len(doomed) == 0 {
		return false, err
	}
	batch := l.db.NewBatch()
	defer batch.Close()
	end := doomed[len(doomed)-1].point()
	gone := l.view.Load().gone + uint64(len(doomed))
	if err := errors.Join(
		l.removeRecords(batch, doomed),
		batch.Set(typeTrimKey(t.path), encodePoint(end), nil),
		batch.Set(goneMetaKey(), binary.AppendUvarint(nil, gone), nil),
	); err != nil {
		return false, err
	}
	if err := l.commitRemoval(batch, doomed); err != nil {
		return false, err
	}
	l.typeTrimmed[t.path] = end
	l.change(func(next *view) {
		next.gone, next.oldest = gone, l.oldestAfter(next.start, next.head)
	})
	l.reclaimer.add(t.path, doomed)
	return len(doomed) == trimBatch, nil
}

// removeRecords deletes records and their index keys, and leaves gaps.
func (l *Log) removeRecords(batch *pebble.Batch, doomed []placed) error {
	iter, err := l.records(doomed[0].entry.seq, math.MaxUint64)
	if err != nil {
		return err
	}
	defer iter.Close()
	gaps := gapWriter{log: l, batch: batch, iter: iter}
	for i := 0; i < len(doomed); {
		run := stretch{first: doomed[i].entry.seq, removed: true}
		for next := run.first; i < len(doomed) && doomed[i].entry.seq == next; i, next = i+1, next+1 {
			r := &doomed[i]
			run.last = r.point()
			// Pebble is told the size, to know what compacting the deletion frees.
			if err := errors.Join(
				batch.DeleteSized(recordKey(r.entry.seq), r.size, nil),
				deleteIndexKeys(batch, r.header, r.entry.seq),
			); err != nil {
				return err
			}
		}
		if err := gaps.add(run); err != nil {
			return err
		}
	}
	return gaps.flush()
}

// commitRemoval commits a batch that removes records, and adds to it what becomes
// of their ids.
func (l *Log) commitRemoval(batch *pebble.Batch, doomed []placed) error {
	l.index.writing.Lock()
	defer l.index.writing.Unlock()
	byID := slices.Clone(doomed) // in the order of the keys, which are then read faster
	slices.SortFunc(byID, func(a, b placed) int { return bytes.Compare(a.id[:], b.id[:]) })
	now := l.view.Load().head.stamp // later records have later stamps
	for i := range byID {
		if err := l.releaseID(batch, &byID[i], now); err != nil {
			return err
		}
	}
	return l.apply(batch, pebble.Sync)
}

// releaseID forgets the id of a record that is removed, or marks it to be forgotten
// once its horizon is over; not if a newer record has the same.
func (l *Log) releaseID(batch *pebble.Batch, r *placed, now int64) error {
	e, ok, err := l.storedID(r.id)
	if errors.Is(err, errMalformed) || pebble.IsCorruptionError(err) {
		ok, err = false, nil // no duplicate is found by it either
	}
	switch {
	case err != nil:
		return fmt.Errorf("look id up: %w", err)
	case !ok || e.seq != r.entry.seq:
		return nil
	case e.expires() <= now:
		return batch.Delete(idKey(r.id), nil)
	default:
		e.removed = true
		return batch.Set(idKey(r.id), e.encode(), nil)
	}
}

// each hands the records in a span that the matcher selects to a function, in the
// span's direction, until it wants no more. It passes over what cannot be read and
// over what is trimmed meanwhile. What the function gets is valid during the call.
func (l *Log) each(ctx context.Context, s span, m *eventlog.Matcher, yield func(*stored) (more bool)) error {
	for !s.empty() {
		err := l.eachReadable(ctx, &s, m, yield)
		corrupt, ok := errors.AsType[*eventlog.CorruptError](err)
		switch {
		case ok && s.reverse:
			s = s.behind(corrupt.First)
		case ok:
			s = s.behind(corrupt.Last)
		case errors.Is(err, eventlog.ErrTrimmed):
			s.after = max(s.after, l.view.Load().start.seq)
		default:
			return err
		}
	}
	return nil
}

// eachReadable is each up to the first record that cannot be read. The span becomes
// what is left of it.
func (l *Log) eachReadable(ctx context.Context, s *span, m *eventlog.Matcher, yield func(*stored) bool) error {
	src, err := l.sources(*s, m)
	if err != nil {
		return err
	}
	defer src.close()
	n := names{}
	for i := 0; ; i++ {
		if i&255 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		found, err := src.next(n)
		if errors.Is(err, errEnd) {
			return nil
		}
		if err != nil {
			return err
		}
		*s = s.behind(found.seq)
		if m.Match(&found.header) && !yield(&found) {
			return nil
		}
	}
}
