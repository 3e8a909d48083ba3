package natslog

import (
	"context"
	"errors"
	"time"

	"github.com/wabastream/wabastream/server/internal/eventlog"
)

// Read implements eventlog.Log. It reads what this replica has taken in.
func (l *Log) Read(ctx context.Context, query eventlog.Query) (eventlog.Page, error) {
	if err := l.usable(); err != nil {
		return eventlog.Page{}, err
	}
	return l.local.Read(ctx, query)
}

// Wait implements eventlog.Log.
func (l *Log) Wait(ctx context.Context, after eventlog.Sequence) error {
	if err := l.usable(); err != nil {
		return err
	}
	ctx, cancel := l.while(ctx)
	defer cancel()
	return endOf(ctx, l.local.Wait(ctx, after))
}

// Check implements eventlog.Log. Whoever comes from another replica may be ahead of
// this one: it is waited for.
func (l *Log) Check(ctx context.Context, p eventlog.Position) error {
	if err := l.usable(); err != nil {
		return err
	}
	err := l.local.Check(ctx, p)
	if !errors.Is(err, eventlog.ErrAhead) {
		return err
	}
	if err := l.settle(ctx); err != nil {
		return err
	}
	return l.local.Check(ctx, p)
}

// Lookup implements eventlog.Log.
func (l *Log) Lookup(ctx context.Context, id eventlog.ID) (eventlog.Entry, error) {
	if err := l.usable(); err != nil {
		return eventlog.Entry{}, err
	}
	e, err := l.local.Lookup(ctx, id)
	if !errors.Is(err, eventlog.ErrNotFound) {
		return e, err
	}
	if err := l.settle(ctx); err != nil {
		return eventlog.Entry{}, err
	}
	return l.local.Lookup(ctx, id)
}

// Bounds implements eventlog.Log. The head is that of everything which was acknowledged
// before, to whomever.
func (l *Log) Bounds(ctx context.Context) (eventlog.Bounds, error) {
	if err := l.settle(ctx); err != nil {
		return eventlog.Bounds{}, err
	}
	return l.local.Bounds(ctx)
}

// Stats implements eventlog.Log. Sizes are those of this replica's copy.
func (l *Log) Stats(ctx context.Context) (eventlog.Stats, error) {
	if err := l.usable(); err != nil {
		return eventlog.Stats{}, err
	}
	return l.local.Stats(ctx)
}

// MeasureType implements eventlog.Log, on this replica's copy.
func (l *Log) MeasureType(ctx context.Context, path string, after eventlog.Sequence, limit uint64) (eventlog.Measure, error) {
	if err := l.usable(); err != nil {
		return eventlog.Measure{}, err
	}
	return l.local.MeasureType(ctx, path, after, limit)
}

// Seek implements eventlog.Log. Messages may be on their way whose writers' clocks
// said less than t. Once the stream has a message with a later stamp they are stamped
// later too, and if there is none yet, one is sent.
func (l *Log) Seek(ctx context.Context, t time.Time) (eventlog.Position, error) {
	if err := l.settle(ctx); err != nil {
		return eventlog.Position{}, err
	}
	done, err := l.begin()
	if err != nil {
		return eventlog.Position{}, err
	}
	defer done()
	at, _ := l.place()
	if passed := l.opts.Now(); timeOf(at.stamp).Before(t) && !passed.Before(t) {
		ctx, cancel := l.while(ctx)
		defer cancel()
		// To the microsecond above, as the clock may be within it.
		stamp := max(passed.UnixMicro(), t.Add(time.Microsecond-1).UnixMicro())
		if _, err := l.submit(ctx, subjectLog, &entry{kind: tick, seen: at, stamp: stamp}); err != nil {
			return eventlog.Position{}, endOf(ctx, err)
		}
	}
	return l.local.Seek(ctx, t)
}

// Project implements eventlog.Log. Each replica folds the state by itself, in its copy. A
// new one begins with what is stored of it beside the stream, and may hold states of
// projections that nobody has named: nothing is trimmed before they are.
func (l *Log) Project(ctx context.Context, projection eventlog.Projection) (eventlog.State, error) {
	if err := l.usable(); err != nil {
		return nil, err
	}
	state, err := l.local.Project(ctx, projection)
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.wakeTrims() // those that waited for it
	return state, nil
}
