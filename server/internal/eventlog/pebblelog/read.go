package pebblelog

import (
	"context"
	"errors"

	"github.com/wabastream/wabastream/server/internal/eventlog"
)

const (
	defaultLimit = 1000
	defaultBytes = 1 << 20
	// maxWork bounds one read, in records scanned; one found through the index
	// counts as several.
	maxWork = 10_000
)

// Read implements eventlog.Log.
func (l *Log) Read(ctx context.Context, query eventlog.Query) (eventlog.Page, error) {
	release, err := l.use()
	if err != nil {
		return eventlog.Page{}, err
	}
	defer release()
	r := l.newReader(query)
	if query.Reverse {
		return r.reverse(ctx)
	}
	return r.forward(ctx)
}

func (l *Log) newReader(query eventlog.Query) *reader {
	if query.Limit <= 0 {
		query.Limit = defaultLimit
	}
	if query.Bytes <= 0 {
		query.Bytes = defaultBytes
	}
	return &reader{log: l, query: query, view: l.view.Load(), names: names{}}
}

// thinned tells whether records of a type that the query may select are removed
// after where it begins, and it does not ask for what is held.
func (r *reader) thinned(v *view) bool {
	for _, t := range v.typeTrims {
		if t.UpTo.Sequence > r.query.After && !r.query.Held && r.query.Filter.MaySelect(t.Path) {
			return true
		}
	}
	return false
}

// reader makes one page.
type reader struct {
	log     *Log
	query   eventlog.Query
	view    *view
	names   names
	entries []eventlog.Entry
	bytes   int
	work    int
	last    point // the record looked at last
	moved   bool  // last is set
}

func (r *reader) forward(ctx context.Context) (eventlog.Page, error) {
	after, upTo := r.query.After, r.view.head.seq
	if after < r.view.start.seq || r.thinned(r.view) {
		return eventlog.Page{}, eventlog.ErrTrimmed
	}
	if r.query.Until != 0 {
		upTo = min(upTo, r.query.Until)
	}
	if after >= upTo {
		return r.nothing(after)
	}
	more, err := r.scan(ctx, span{after: after, upTo: upTo})
	if err != nil {
		return eventlog.Page{}, err
	}
	// A trim is in the view before it removes anything, so nothing was passed over
	// that is not told of now.
	if r.thinned(r.log.view.Load()) {
		return eventlog.Page{}, eventlog.ErrTrimmed
	}
	if more {
		return r.page(r.last, r.last.seq < upTo), nil
	}
	return r.finish(upTo)
}

func (r *reader) reverse(ctx context.Context) (eventlog.Page, error) {
	s := span{after: r.view.start.seq, upTo: r.view.head.seq, reverse: true}
	if r.query.After != 0 {
		s.upTo = min(s.upTo, r.query.After-1)
	}
	if s.empty() {
		return r.page(point{seq: min(r.query.After, r.view.head.seq)}, false), nil
	}
	more, err := r.scan(ctx, s)
	if err != nil {
		return eventlog.Page{}, err
	}
	if more {
		return r.page(point{seq: r.last.seq}, r.last.seq > s.after+1), nil
	}
	return r.page(point{seq: s.after + 1}, false), nil
}

// finish ends a page whose whole range was looked at.
func (r *reader) finish(upTo eventlog.Sequence) (eventlog.Page, error) {
	if r.moved && r.last.seq == upTo {
		return r.page(r.last, false), nil
	}
	p, err := r.log.pointOf(r.view, upTo)
	switch {
	case err == nil:
		return r.page(p, false), nil
	case r.moved:
		return r.page(r.last, true), nil
	default:
		return eventlog.Page{}, err
	}
}

// nothing is the page of a range in which there is nothing to look at. A place
// beyond the head is not confirmed; one that cannot be read is told as it is.
func (r *reader) nothing(after eventlog.Sequence) (eventlog.Page, error) {
	after = min(after, r.view.head.seq)
	p, err := r.log.pointOf(r.view, after)
	if _, corrupt := errors.AsType[*eventlog.CorruptError](err); corrupt {
		p, err = point{seq: after}, nil
	}
	if err != nil {
		return eventlog.Page{}, err
	}
	return r.page(p, false), nil
}

func (r *reader) page(scanned point, more bool) eventlog.Page {
	return eventlog.Page{Entries: r.entries, Scanned: r.log.position(scanned), More: more}
}

// scan looks at the candidates in a span until the page is full, the work is
// done, or an error comes; more says that it stopped before the end. An error
// behind something useful is left to the next call.
func (r *reader) scan(ctx context.Context, s span) (more bool, err error) {
	src, err := r.log.sources(s, r.query.Filter)
	if err != nil {
		return false, err
	}
	defer src.close()
	for r.work < maxWork {
		if r.work&255 == 0 && ctx.Err() != nil {
			return false, ctx.Err()
		}
		found, err := src.next(r.names)
		if errors.Is(err, errEnd) {
			return false, nil
		}
		if err != nil && r.moved {
			return true, nil
		}
		if err != nil {
			return false, err
		}
		r.work += src.cost()
		r.last, r.moved = found.point, true
		if r.query.Filter.Match(&found.header) && r.take(&found) {
			return true, nil
		}
	}
	return true, nil
}

// take adds an entry and reports that the page is full.
func (r *reader) take(s *stored) bool {
	r.entries = append(r.entries, r.log.entry(s, r.query.Raw))
	r.bytes += len(s.payload)
	if r.query.Raw {
		r.bytes += len(s.raw)
	}
	return len(r.entries) >= r.query.Limit || r.bytes >= r.query.Bytes
}
