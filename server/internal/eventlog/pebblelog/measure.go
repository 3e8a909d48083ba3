package pebblelog

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"github.com/wabastream/wabastream/server/internal/eventlog"
)

// MeasureType implements eventlog.Log. Where the index is complete it reads the
// sizes from there, and records only where format 1 has written none.
func (l *Log) MeasureType(ctx context.Context, path string, after eventlog.Sequence, limit uint64) (eventlog.Measure, error) {
	release, err := l.use()
	if err != nil {
		return eventlog.Measure{}, err
	}
	defer release()
	if err := checkPath(path); err != nil {
		return eventlog.Measure{}, err
	}
	v := l.view.Load()
	m := measuring{log: l, limit: limit, matcher: pathMatcher(path)}
	m.UpTo = max(after, v.start.seq)
	if err := m.run(ctx, v.head.seq); err != nil {
		return eventlog.Measure{}, fmt.Errorf("measure type %s: %w", path, err)
	}
	return m.Measure, nil
}

// measuring is one call of MeasureType; its measure is of what was looked at.
type measuring struct {
	eventlog.Measure
	log     *Log
	matcher *eventlog.Matcher
	limit   uint64
}

func (m *measuring) full() bool { return m.limit > 0 && m.Bytes >= m.limit }

func (m *measuring) add(seq eventlog.Sequence, size uint64) {
	m.Records++
	m.Bytes += size
	m.UpTo = seq
}

func (m *measuring) run(ctx context.Context, head eventlog.Sequence) error {
	if err := m.index(ctx, span{after: m.UpTo, upTo: min(head, m.log.index.stored())}); err != nil {
		return err
	}
	if m.full() {
		return nil
	}
	err := m.log.each(ctx, span{after: m.UpTo, upTo: head}, m.matcher, func(s *stored) bool {
		m.add(s.seq, uint64(s.size))
		return !m.full()
	})
	if err == nil && !m.full() {
		m.UpTo = max(m.UpTo, head)
	}
	return err
}

// index measures a span for which the index is complete. What it leaves out is for
// a scan to measure.
func (m *measuring) index(ctx context.Context, s span) error {
	if s.empty() {
		return nil
	}
	ranges, _ := planOf(m.matcher)
	prefixes, ok, err := m.log.lists(ranges)
	if err == nil && ok {
		lists := &postings{}
		defer lists.close()
		if err = lists.open(m.log.db, s, prefixes); err == nil {
			err = m.walk(ctx, lists)
		}
	}
	if pebble.IsCorruptionError(err) {
		m.log.logger.Warn("index cannot be read; scanning", "error", err)
		return nil
	}
	if err == nil && ok && !m.full() {
		m.UpTo = s.upTo
	}
	return err
}

func (m *measuring) walk(ctx context.Context, lists *postings) error {
	for i := 0; lists.Len() > 0 && !m.full(); i++ {
		if i&1023 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		top := &lists.lists[0]
		size, n := binary.Uvarint(top.iter.Value())
		held := true
		if n <= 0 {
			var err error
			if size, held, err = m.log.storedSize(top.seq); err != nil {
				return err
			}
		}
		if held {
			m.add(top.seq, size)
		}
		if err := lists.step(); err != nil {
			return err
		}
	}
	return nil
}

// storedSize is the size of a record; zero if it is there but cannot be read.
func (l *Log) storedSize(seq eventlog.Sequence) (size uint64, held bool, err error) {
	value, closer, err := l.db.Get(recordKey(seq))
	switch {
	case errors.Is(err, pebble.ErrNotFound):
		return 0, false, nil
	case pebble.IsCorruptionError(err):
		return 0, true, nil
	case err != nil:
		return 0, false, err
	}
	return uint64(len(value)), true, closer.Close()
}
