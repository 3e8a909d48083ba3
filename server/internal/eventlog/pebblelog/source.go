package pebblelog

import (
	"errors"

	"github.com/cockroachdb/pebble/v2"

	"github.com/wabastream/wabastream/server/internal/eventlog"
)

// span is a range of sequences, after exclusive and upTo inclusive, and the
// direction to go through it.
type span struct {
	after, upTo eventlog.Sequence
	reverse     bool
}

func (s span) empty() bool { return s.after >= s.upTo }

// first is where going through the span begins.
func (s span) first() eventlog.Sequence {
	if s.reverse {
		return s.upTo
	}
	return s.after + 1
}

// behind is what is left of the span behind a record.
func (s span) behind(seq eventlog.Sequence) span {
	if s.reverse {
		s.upTo = seq - 1
	} else {
		s.after = seq
	}
	return s
}

// past is what is left of the span behind a gap.
func (s span) past(gap stretch) span {
	if s.reverse {
		return s.behind(gap.first)
	}
	return s.behind(gap.last.seq)
}

// errEnd is returned by a source that has no more.
var errEnd = errors.New("no more records")

// source yields the records of a span that may match a filter, in order. What it
// returns is valid until the next call.
type source interface {
	next(names) (stored, error)
	cost() int
	close()
}

// sources chooses how to go through a span: by the index in the store and the part
// of it in memory where they have something to say about the filter, over all
// records otherwise.
func (l *Log) sources(s span, filter *eventlog.Matcher) (source, error) {
	ranges, ok := planOf(filter)
	if !ok || s.empty() {
		return l.scanOf(s)
	}
	// In this order: what memory names has not been removed from the records yet,
	// and what it does not name any more is in the store's index.
	records, err := l.records(s.after, s.upTo)
	if err != nil {
		return nil, err
	}
	mark, picks := l.index.find(ranges, s)
	found := &picked{log: l, records: records, reverse: s.reverse, picks: picks}
	within := s
	within.upTo = min(s.upTo, mark)
	if within.empty() {
		return found, nil
	}
	c := &chain{parts: []func() (source, error){
		func() (source, error) { return l.lookups(within, ranges) },
		func() (source, error) { return found, nil },
	}, last: found}
	if s.reverse {
		c.parts[0], c.parts[1] = c.parts[1], c.parts[0]
	}
	return c, nil
}

// chain goes through several sources, one behind the other. Each is opened when
// its turn comes.
type chain struct {
	parts   []func() (source, error)
	current source
	last    source // opened already, and to be closed whether or not its turn came
}

func (c *chain) next(n names) (stored, error) {
	for {
		if c.current == nil {
			if len(c.parts) == 0 {
				return stored{}, errEnd
			}
			src, err := c.parts[0]()
			if err != nil {
				return stored{}, err
			}
			c.current, c.parts = src, c.parts[1:]
		}
		s, err := c.current.next(n)
		if !errors.Is(err, errEnd) {
			return s, err
		}
		c.current.close()
		c.current = nil
	}
}

func (c *chain) cost() int { return c.current.cost() }

func (c *chain) close() {
	if c.current != nil {
		c.current.close()
		c.current = nil
	}
	c.last.close()
}

// scan goes over all records and passes over gaps. As every sequence is one of a
// record or in a gap, it notices missing ones.
type scan struct {
	log     *Log
	iter    *pebble.Iterator
	rest    span
	started bool
	ahead   bool // what the iterator stands on is yet to come
}

func (l *Log) scanOf(s span) (source, error) {
	if s.empty() {
		return nothing{}, nil
	}
	iter, err := l.records(s.after, s.upTo)
	if err != nil {
		return nil, err
	}
	return &scan{log: l, iter: iter, rest: s}, nil
}

func (s *scan) next(n names) (stored, error) {
	for !s.rest.empty() {
		want := s.rest.first()
		ok := s.step()
		if err := s.iter.Error(); err != nil {
			if err := s.around(err); err != nil {
				return stored{}, err
			}
			continue
		}
		if !ok || isGap(s.iter.Key()) || sequenceOf(s.iter.Key()) != want {
			if err := s.pass(ok, want); err != nil {
				return stored{}, err
			}
			continue
		}
		found, err := decode(want, s.iter.Value(), n)
		if err != nil {
			return stored{}, &eventlog.CorruptError{First: want, Last: want, Cause: err}
		}
		s.rest = s.rest.behind(want)
		return found, nil
	}
	return stored{}, errEnd
}

// pass goes past a gap, where there is no record with the sequence wanted: the gap
// on which the iterator stands, if it stands on something, or one that ends behind
// the span, which the iterator does not see.
func (s *scan) pass(stands bool, want eventlog.Sequence) error {
	if stands && isGap(s.iter.Key()) {
		if gap, err := stretchAt(s.iter); err == nil && gap.within(want-1, want) == 1 {
			s.rest = s.rest.past(gap)
			return nil
		}
	}
	err := s.log.unreadable(s.rest, errMissing)
	if removed, ok := errors.AsType[*removedError](err); ok {
		s.rest, s.ahead = s.rest.past(removed.gap), true
		return nil
	}
	return err
}

// around begins anew behind a gap, where the iterator cannot go on but the gap can
// be read.
func (s *scan) around(cause error) error {
	err := s.log.unreadable(s.rest, cause)
	removed, ok := errors.AsType[*removedError](err)
	if !ok {
		return err
	}
	s.rest = s.rest.past(removed.gap)
	iter, err := s.log.records(s.rest.after, s.rest.upTo)
	if err != nil {
		return err
	}
	_ = s.iter.Close() // its error is what brought us here
	s.iter, s.started, s.ahead = iter, false, false
	return nil
}

func (s *scan) step() bool {
	if s.ahead {
		s.ahead = false
		return s.iter.Valid()
	}
	started := s.started
	s.started = true
	switch {
	case started:
		return s.rest.step(s.iter)
	case s.rest.reverse:
		return s.iter.Last()
	default:
		return s.iter.First()
	}
}

func (s *scan) cost() int { return 1 }

func (s *scan) close() { _ = s.iter.Close() } // errors were seen at each step

// nothing is the source of an empty span.
type nothing struct{}

func (nothing) next(names) (stored, error) { return stored{}, errEnd }
func (nothing) cost() int                  { return 0 }
func (nothing) close()                     {}
