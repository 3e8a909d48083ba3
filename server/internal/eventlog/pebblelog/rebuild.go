package pebblelog

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"github.com/wabastream/wabastream/server/internal/eventlog"
)

const (
	// copyBytes bounds one batch of what is copied.
	copyBytes = 1 << 20
	// stopEvery is after how many keys it is looked whether to go on.
	stopEvery = 1024
)

// Rebuild implements eventlog.State.
func (s *state) Rebuild(ctx context.Context, progress func(done, total uint64)) (uint64, error) {
	if err := s.take(ctx); err != nil {
		return 0, err
	}
	defer func() { s.kept <- struct{}{} }()
	s.making.Lock()
	defer s.making.Unlock()
	differences, err := s.rebuild(ctx, progress, true)
	if err != nil {
		return 0, fmt.Errorf("make the state of projection %s again: %w", s.name, err)
	}
	return differences, nil
}

// renew makes the state again that another version of the fold has made.
func (s *state) renew() {
	s.log.logger.Info("making the state of a projection again, for a new version of it",
		"projection", s.name, "from", s.now.Load().version, "to", s.projection.Version)
	for {
		if s.take(context.Background()) != nil {
			return
		}
		s.making.Lock()
		_, err := s.rebuild(context.Background(), func(uint64, uint64) {}, false)
		s.making.Unlock()
		s.kept <- struct{}{}
		if err == nil {
			s.log.logger.Info("made the state of a projection again", "projection", s.name)
			return
		}
		if s.log.usable() == nil {
			s.log.logger.Warn("the state of a projection was not made again; it is tried again", "projection", s.name, "error", err)
		}
		if !s.rest(foldRetry, nil) {
			return
		}
	}
}

// remaking is a state that is made again, beside the one there is.
type remaking struct {
	*state
	old  *standing
	next mark
}

func (s *state) rebuild(ctx context.Context, progress func(done, total uint64), compare bool) (differences uint64, err error) {
	release, err := s.log.use()
	if err != nil {
		return 0, err
	}
	defer release()
	old := s.now.Load()
	r := remaking{state: s, old: old, next: mark{version: s.projection.Version, generation: old.generation + 1, at: s.base}}
	if err := s.dropGeneration(r.next.generation); err != nil { // what a crash has left
		return 0, err
	}
	err = r.make(ctx, progress)
	if err == nil && compare {
		differences, err = r.compare(ctx)
	}
	if err != nil {
		return 0, errors.Join(err, s.dropGeneration(r.next.generation))
	}
	batch := s.log.db.NewBatch()
	defer batch.Close()
	if err := batch.Set(stateKey(s.name, stateMark), r.next.encode(), nil); err != nil {
		return 0, err
	}
	if err := s.log.apply(batch, pebble.Sync); err != nil {
		return 0, err
	}
	s.stand(r.next, old.noted)
	return differences, s.dropGeneration(old.generation)
}

func (s *state) dropGeneration(gen uint32) error {
	batch := s.log.db.NewBatch()
	defer batch.Close()
	prefix := generationPrefix(s.name, gen)
	if err := batch.DeleteRange(prefix, past(prefix), nil); err != nil {
		return err
	}
	return s.log.apply(batch, pebble.NoSync)
}

// make makes the state up to where the old one is.
func (r *remaking) make(ctx context.Context, progress func(done, total uint64)) error {
	if err := r.copy(ctx, basePrefix(r.name), valuesPrefix(r.name, r.next.generation)); err != nil {
		return err
	}
	// Notes of records that are folded into the base, some of which may be gone.
	first, behind := noteKey(r.name, r.old.generation, 0), noteKey(r.name, r.old.generation, r.base.seq+1)
	if err := r.copyRange(ctx, first, behind, len(generationPrefix(r.name, 0)), generationPrefix(r.name, r.next.generation)); err != nil {
		return err
	}
	begin, end := r.base.seq, r.old.at.seq
	prefix := valuesPrefix(r.name, r.next.generation)
	for r.next.at.seq < end {
		progress(uint64(r.next.at.seq-begin), uint64(end-begin))
		if err := r.goOn(ctx); err != nil {
			return err
		}
		folded, err := r.log.foldAfter(ctx, &r.projection, r.next.at.seq, end, prefix)
		if err != nil {
			return err
		}
		if err := r.store(folded.changes); err != nil {
			return err
		}
		r.next.at = folded.at
	}
	progress(uint64(end-begin), uint64(end-begin))
	return nil
}

func (r *remaking) store(changes eventlog.Changes) error {
	batch := r.log.db.NewBatch()
	defer batch.Close()
	if _, err := r.put(batch, r.next.generation, changes); err != nil {
		return err
	}
	return r.log.apply(batch, pebble.NoSync)
}

func (r *remaking) goOn(ctx context.Context) error { return errors.Join(ctx.Err(), r.log.usable()) }

// copy copies everything under one prefix to another.
func (r *remaking) copy(ctx context.Context, from, to []byte) error {
	return r.copyRange(ctx, from, past(from), len(from), to)
}

// copyRange copies the keys from one to another, exclusive; cut is how much of a key
// the new prefix stands for.
func (r *remaking) copyRange(ctx context.Context, from, end []byte, cut int, to []byte) error {
	iter, err := r.log.db.NewIter(&pebble.IterOptions{LowerBound: from, UpperBound: end})
	if err != nil {
		return err
	}
	defer iter.Close()
	batch := r.log.db.NewBatch()
	defer func() { _ = batch.Close() }()
	for ok := iter.First(); ok; ok = iter.Next() {
		key := append(append(make([]byte, 0, len(to)+len(iter.Key())), to...), iter.Key()[cut:]...)
		if err := batch.Set(key, iter.Value(), nil); err != nil {
			return err
		}
		if batch.Len() < copyBytes {
			continue
		}
		if err := errors.Join(r.goOn(ctx), r.log.apply(batch, pebble.NoSync), batch.Close()); err != nil {
			return err
		}
		batch = r.log.db.NewBatch()
	}
	if err := iter.Error(); err != nil {
		return err
	}
	return r.log.apply(batch, pebble.NoSync)
}

// compare counts the keys in which the two generations differ.
func (r *remaking) compare(ctx context.Context) (differences uint64, err error) {
	was, is := generationPrefix(r.name, r.old.generation), generationPrefix(r.name, r.next.generation)
	before, err := r.log.db.NewIter(&pebble.IterOptions{LowerBound: was, UpperBound: past(was)})
	if err != nil {
		return 0, err
	}
	defer before.Close()
	after, err := r.log.db.NewIter(&pebble.IterOptions{LowerBound: is, UpperBound: past(is)})
	if err != nil {
		return 0, err
	}
	defer after.Close()
	left, right := before.First(), after.First()
	for n := 1; left || right; n++ {
		if n%stopEvery == 0 {
			if err := r.goOn(ctx); err != nil {
				return 0, err
			}
		}
		order := -1
		switch {
		case !left:
			order = 1
		case right:
			order = bytes.Compare(before.Key()[len(was):], after.Key()[len(is):])
		}
		if order != 0 || !bytes.Equal(before.Value(), after.Value()) {
			differences++
		}
		if order <= 0 {
			left = before.Next()
		}
		if order >= 0 {
			right = after.Next()
		}
	}
	return differences, errors.Join(before.Error(), after.Error())
}
