package pebblelog

import (
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"github.com/wabastream/wabastream/server/internal/eventlog"
)

// unreadable turns an error at the first record of a span into one that callers
// know: the records were trimmed meanwhile, which ends a reverse read, or removed
// for their type (*removedError), or they are corrupt up to the next one that can
// be read. Anything else stays as it is.
func (l *Log) unreadable(s span, cause error) error {
	at := s.first()
	if !pebble.IsCorruptionError(cause) && !errors.Is(cause, errMissing) {
		return fmt.Errorf("read record %d: %w", at, cause)
	}
	if at <= l.view.Load().start.seq {
		if s.reverse {
			return errEnd
		}
		return eventlog.ErrTrimmed
	}
	if gap, ok, err := l.gapOver(at); err != nil {
		return fmt.Errorf("read record %d: %w", at, err)
	} else if ok {
		return &removedError{gap}
	}
	last := at
	for step := eventlog.Sequence(1); !s.behind(last).empty(); step *= 2 {
		next := s.ahead(last, step)
		if found, ok := l.readableFrom(next, s); ok {
			return l.narrow(s, last, found, cause)
		}
		last = next
	}
	return corruptRange(at, last, cause)
}

// narrow finds the first readable record between one that is not and one that is.
func (l *Log) narrow(s span, bad, good eventlog.Sequence, cause error) error {
	for distance(bad, good) > 1 {
		middle := bad + (good-bad)/2
		if good < bad {
			middle = good + (bad-good)/2
		}
		if found, ok := l.readableFrom(middle, s); ok && distance(bad, found) < distance(bad, good) {
			good = found
		} else {
			bad = middle
		}
	}
	if s.reverse {
		return corruptRange(s.first(), good+1, cause)
	}
	return corruptRange(s.first(), good-1, cause)
}

// readableFrom seeks the next record at or behind seq in the span's direction, or
// the next place in a gap. It is not ok when there is none or it cannot be read.
func (l *Log) readableFrom(seq eventlog.Sequence, s span) (eventlog.Sequence, bool) {
	if _, ok, _ := l.gapOver(seq); ok {
		return seq, true
	}
	iter, err := l.records(s.after, s.upTo)
	if err != nil {
		return 0, false
	}
	defer iter.Close()
	move, to := iter.SeekGE, recordKey(seq)
	if s.reverse {
		move, to = iter.SeekLT, recordKey(seq+1)
	}
	for ok := move(to); ok; ok = s.step(iter) {
		if !isGap(iter.Key()) {
			return sequenceOf(iter.Key()), true
		}
		if gap, err := stretchAt(iter); err == nil {
			return s.entry(gap), true
		}
	}
	return 0, false
}

// entry is where going through the span meets a gap that lies ahead.
func (s span) entry(gap stretch) eventlog.Sequence {
	if s.reverse {
		return gap.last.seq
	}
	return gap.first
}

func (s span) step(iter *pebble.Iterator) bool {
	if s.reverse {
		return iter.Prev()
	}
	return iter.Next()
}

// ahead is step records further in the span's direction, but inside the span.
func (s span) ahead(seq, step eventlog.Sequence) eventlog.Sequence {
	if s.reverse {
		return seq - min(step, seq-s.after-1)
	}
	return seq + min(step, s.upTo-seq)
}

func distance(a, b eventlog.Sequence) eventlog.Sequence { return max(a, b) - min(a, b) }

func corruptRange(a, b eventlog.Sequence, cause error) error {
	return &eventlog.CorruptError{First: min(a, b), Last: max(a, b), Cause: cause}
}
