package natslog

import (
	"context"
	"errors"
	"fmt"

	"github.com/wabastream/wabastream/server/internal/eventlog"
	"github.com/wabastream/wabastream/server/internal/eventlog/pebblelog"
)

// beginAnew has the copy begin where the stream says that a new one does: it is empty,
// or so old that the stream does not have what follows it any more. It returns that
// place, and a message up to which the states there are not ahead of the log any more.
func (l *Log) beginAnew(ctx context.Context) (place, uint64, error) {
	for tries, wait := 1, minRetry; ; tries, wait = tries+1, 2*wait {
		at, upTo, err := l.beginOnce(ctx)
		if err == nil {
			return at, upTo, nil
		}
		// Another replica may have stored a newer base meanwhile, and removed this one.
		if _, ok := errors.AsType[*objectError](err); !ok || tries == objectTries || !pause(ctx, wait) {
			return place{}, 0, err
		}
		l.logger.Warn("cannot begin with the stream's base; trying again", "error", err)
	}
}

func (l *Log) beginOnce(ctx context.Context) (place, uint64, error) {
	info, err := l.stream.Info(ctx)
	if err != nil {
		return place{}, 0, fmt.Errorf("ask for the state of the stream: %w", err)
	}
	newest, err := l.newestBase(ctx)
	if err != nil {
		return place{}, 0, err
	}
	if err := l.checkBegins(newest, info.State.FirstSeq); err != nil {
		return place{}, 0, err
	}
	if err := l.beginAt(ctx, newest); err != nil {
		return place{}, 0, err
	}
	return newest.place(), max(info.State.LastSeq, newest.message), nil
}

// checkBegins wants a base to be where a replica can begin.
func (l *Log) checkBegins(newest *baseMessage, first uint64) error {
	if newest == nil {
		return fmt.Errorf("the stream begins with message %d, and nothing says what was before: messages were removed that wabastream had not trimmed", first)
	}
	if k := newest.entry.kind; k != base && k != stateBase || first > l.leadIn(newest.place()) {
		return fmt.Errorf("the stream begins with message %d, behind where a new replica begins: messages were removed that wabastream had not trimmed", first)
	}
	return nil
}

func (l *Log) beginAt(ctx context.Context, b *baseMessage) error {
	bounds, err := l.local.Bounds(ctx)
	if err != nil {
		return err
	}
	if bounds.Head.Sequence != 0 {
		l.logger.Warn("the replica's copy is older than what the stream still has; it is made anew", "folder", l.folder())
		if b.entry.kind == stateBase { // look before the old one is gone
			if err := l.checkBase(ctx, b.entry.objects[0], b.place()); err != nil {
				return err
			}
		}
		if err := l.discard(ctx); err != nil {
			return err
		}
	}
	at := b.place()
	begin := pebblelog.Beginning{
		Behind: eventlog.Position{Log: l.id, Sequence: at.head, Fingerprint: at.fingerprint},
		Stamp:  timeOf(at.stamp),
		Mark:   l.mark(at, nil),
	}
	if b.entry.kind == base {
		return l.copy.Begin(begin)
	}
	r, head, err := l.openBase(ctx, b.entry.objects[0], at)
	if err != nil {
		return err
	}
	begin.Hidden = head.trimmed
	begin.States = func(begin func(pebblelog.StoredState) (eventlog.StateImport, error)) error {
		return l.explain(b.entry.objects[0], r.parts(begin))
	}
	return l.copy.Begin(begin)
}

// explain says which object an error is of, unless it is one of this replica.
func (l *Log) explain(object string, err error) error {
	if err == nil || errors.Is(err, eventlog.ErrFailed) || errors.Is(err, eventlog.ErrClosed) {
		return err
	}
	return &objectError{object, err}
}

// hide trims what the stream still had of what was trimmed before the base, for ids
// alone, before anybody reads it: the states lack what they had noted of it.
func (l *Log) hide(ctx context.Context) error {
	upTo, err := l.copy.Hidden()
	if err != nil {
		return err
	}
	bounds, err := l.local.Bounds(ctx)
	if err != nil || upTo <= bounds.Start.Sequence {
		return err
	}
	return l.local.Trim(ctx, upTo)
}

// beginImported has the copy, which is empty, begin as an import says, at the place of
// the fold. What it needs is stored before the message is sent: it waits for it.
func (l *Log) beginImported(e *entry) error {
	for tries, wait := 1, minRetry; ; wait = min(2*wait, maxRetry) {
		err := l.copy.Begin(l.importedBeginning(e))
		_, ofObject := errors.AsType[*objectError](err)
		switch {
		case err == nil, l.running.Err() != nil:
			return err
		case damaged(err) && tries == objectTries, !ofObject && !errors.Is(err, eventlog.ErrFull):
			return fmt.Errorf("begin with what was imported: %w: start again", err)
		case damaged(err):
			tries++
		}
		l.logger.Warn("cannot begin with what was imported; trying again", "error", err)
		if !pause(l.running, wait) {
			return context.Cause(l.running)
		}
	}
}

func (l *Log) importedBeginning(e *entry) pebblelog.Beginning {
	at := l.fold.at
	l.mu.Lock()
	mark := l.mark(at, l.trims)
	l.mu.Unlock()
	return pebblelog.Beginning{
		Behind: eventlog.Position{Log: l.id, Sequence: at.head},
		Stamp:  timeOf(at.stamp),
		Mark:   mark,
		States: func(begin func(pebblelog.StoredState) (eventlog.StateImport, error)) error {
			for _, name := range e.objects {
				r, _, err := l.openBase(l.running, name, place{})
				if err != nil {
					return err
				}
				if err := r.parts(movedTo(at.head, begin)); err != nil {
					return l.explain(name, err)
				}
			}
			return nil
		},
	}
}
