package pebblelog

import (
	"slices"
	"sync"

	"github.com/cockroachdb/pebble/v2"

	"github.com/wabastream/wabastream/server/internal/eventlog"
)

// stateView is a state as of one moment of the store.
type stateView struct {
	log      *Log
	name     string
	mark     mark
	snapshot *pebble.Snapshot
	close    func()
}

var _ eventlog.View = (*stateView)(nil)

// View implements eventlog.State.
func (s *state) View() (eventlog.View, error) {
	release, err := s.log.use()
	if err != nil {
		return nil, err
	}
	v := &stateView{log: s.log, name: s.name, snapshot: s.log.db.NewSnapshot()}
	v.close = sync.OnceFunc(func() {
		_ = v.snapshot.Close() // has no errors but that of a second close
		release()
	})
	value, err := v.get(stateKey(s.name, stateMark))
	if err == nil {
		v.mark, err = decodeMark(value)
	}
	if err != nil {
		v.close()
		return nil, err
	}
	return v, nil
}

func (v *stateView) get(key []byte) ([]byte, error) { return readFrom(v.snapshot, key) }

// Position implements eventlog.View.
func (v *stateView) Position() eventlog.Position { return v.log.positionAt(v.mark.at) }

// Get implements eventlog.View.
func (v *stateView) Get(key []byte) ([]byte, error) {
	return v.get(append(valuesPrefix(v.name, v.mark.generation), key...))
}

// Scan implements eventlog.View.
func (v *stateView) Scan(from, to []byte, reverse bool, yield func(key, value []byte) bool) error {
	prefix := valuesPrefix(v.name, v.mark.generation)
	bounds := &pebble.IterOptions{LowerBound: slices.Concat(prefix, from), UpperBound: past(prefix)}
	if to != nil {
		bounds.UpperBound = slices.Concat(prefix, to)
	}
	iter, err := v.snapshot.NewIter(bounds)
	if err != nil {
		return err
	}
	defer iter.Close()
	first, next := iter.First, iter.Next
	if reverse {
		first, next = iter.Last, iter.Prev
	}
	for ok := first(); ok && yield(iter.Key()[len(prefix):], iter.Value()); ok = next() {
	}
	return iter.Error()
}

// Notes implements eventlog.View.
func (v *stateView) Notes(after eventlog.Sequence, yield func(eventlog.Note) bool) error {
	iter, err := v.snapshot.NewIter(&pebble.IterOptions{
		LowerBound: noteKey(v.name, v.mark.generation, after+1), UpperBound: past(notesPrefix(v.name, v.mark.generation)),
	})
	if err != nil {
		return err
	}
	defer iter.Close()
	for ok := iter.First(); ok && yield(eventlog.Note{At: sequenceOf(iter.Key()), Value: iter.Value()}); ok = iter.Next() {
	}
	return iter.Error()
}

// Close implements eventlog.View.
func (v *stateView) Close() { v.close() }
