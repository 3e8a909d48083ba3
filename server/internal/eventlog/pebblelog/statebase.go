package pebblelog

import (
	"context"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"github.com/wabastream/wabastream/server/internal/eventlog"
)

// keepStates has every state stay as it is while records up to a sequence are removed: it
// is not made again until release is called. It runs under trimMu.
func (l *Log) keepStates(ctx context.Context, upTo eventlog.Sequence) (release func(), err error) {
	for _, name := range l.unprojected {
		// One that has these records in its base loses nothing.
		if _, base, _, err := l.readState(name); err != nil || base.seq < upTo {
			return nil, errors.Join(err, fmt.Errorf("%w: %q", eventlog.ErrUnprojected, l.unprojected))
		}
	}
	var taken []*state
	release = func() {
		for _, s := range taken {
			s.kept <- struct{}{}
		}
	}
	for _, s := range l.states {
		if err := s.take(ctx); err != nil {
			release()
			return nil, err
		}
		taken = append(taken, s)
	}
	return release, nil
}

// take takes the token of a state.
func (s *state) take(ctx context.Context) error {
	select {
	case <-s.kept:
		return nil
	case <-s.log.closing:
	case <-s.log.failure.failed:
	case <-ctx.Done():
		return ctx.Err()
	}
	return s.log.usable()
}

// settle folds what is about to be removed into every state and its base.
func (l *Log) settle(ctx context.Context, upTo eventlog.Sequence) error {
	for _, s := range l.states {
		if err := s.Wait(ctx, upTo-1); err != nil {
			return err
		}
		for s.base.seq < upTo {
			if err := errors.Join(ctx.Err(), l.usable()); err != nil {
				return err
			}
			if err := s.moveBase(ctx, upTo); err != nil {
				return fmt.Errorf("move the base of projection %s: %w", s.name, err)
			}
		}
	}
	return nil
}

// moveBase folds the next records into the base. The batch is not synced: what removes
// the records is, behind it.
func (s *state) moveBase(ctx context.Context, upTo eventlog.Sequence) error {
	prefix := basePrefix(s.name)
	folded, err := s.log.foldAfter(ctx, &s.projection, s.base.seq, upTo, prefix)
	if err != nil {
		return err
	}
	batch := s.log.db.NewBatch()
	defer batch.Close()
	if err := errors.Join(
		putWrites(batch, prefix, folded.changes.Writes),
		batch.Set(stateKey(s.name, baseMark), folded.at.append(nil), nil),
	); err != nil {
		return err
	}
	if err := s.log.apply(batch, pebble.NoSync); err != nil {
		return err
	}
	s.base = folded.at
	return nil
}

// forgetNotes deletes the notes of records that are trimmed.
func (l *Log) forgetNotes(batch *pebble.Batch, from, upTo eventlog.Sequence) error {
	for _, s := range l.states {
		gen := s.now.Load().generation
		if err := batch.DeleteRange(noteKey(s.name, gen, from), noteKey(s.name, gen, upTo+1), nil); err != nil {
			return err
		}
	}
	return nil
}
