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

// errEnd is returned by a source that has no more.
var errEnd = errors.New("no more records")

// source yields the records of a span that may match a filter, in order. What it
// returns is valid until the next call.
type source interface {
	next(names) (stored, error)
	cost() int
	close()
}

// sources chooses how to go through a span: by the index where it is complete
// and has something to say about the filter, over all records elsewhere.
func (l *Log) sources(s span, filter *eventlog.Matcher) (source, error) {
	mark := l.index.mark()
	within, beyond := s, s
	within.upTo = min(s.upTo, mark)
	beyond.after = max(s.after, mark)
	if filter == nil || within.empty() {
		return l.scanOf(s)
	}
	prefixes, ok, err := l.plan(filter)
	if err != nil {
		l.logger.Warn("index cannot be read; scanning", "error", err)
	}
	if err != nil || !ok {
		return l.scanOf(s)
	}
	c := &chain{parts: []func() (source, error){
		func() (source, error) { return l.lookups(within, prefixes) },
		func() (source, error) { return l.scanOf(beyond) },
	}}
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
		c.close()
	}
}

func (c *chain) cost() int { return c.current.cost() }

func (c *chain) close() {
	if c.current != nil {
		c.current.close()
		c.current = nil
	}
}

// scan goes over all records. As sequences have no gaps, it notices missing ones.
type scan struct {
	log     *Log
	iter    *pebble.Iterator
	rest    span
	started bool
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
	if s.rest.empty() {
		return stored{}, errEnd
	}
	want := s.rest.first()
	ok := s.step()
	if err := s.iter.Error(); err != nil {
		return stored{}, s.log.unreadable(s.rest, err)
	}
	if !ok || sequenceOf(s.iter.Key()) != want {
		return stored{}, s.log.unreadable(s.rest, errMissing)
	}
	found, err := decode(want, s.iter.Value(), n)
	if err != nil {
		return stored{}, &eventlog.CorruptError{First: want, Last: want, Cause: err}
	}
	s.rest = s.rest.behind(want)
	return found, nil
}

func (s *scan) step() bool {
	started := s.started
	s.started = true
	switch {
	case started && s.rest.reverse:
		return s.iter.Prev()
	case started:
		return s.iter.Next()
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
