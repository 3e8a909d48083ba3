package pebblelog

import (
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"github.com/wabastream/wabastream/server/internal/eventlog"
)

// StoredState is the base of a projection's state, as a folder holds it.
type StoredState struct {
	// Name and Version are the projection's.
	Name    string
	Version uint64
	// Base is the place that the base is of.
	Base eventlog.Position
}

// States are the states that the folder holds, by name.
func (r *Reader) States() ([]StoredState, error) {
	names, err := r.log.storedStates()
	if err != nil {
		return nil, fmt.Errorf("read states: %w", err)
	}
	var all []StoredState
	for _, name := range names {
		m, base, ok, err := r.log.readState(name)
		if err != nil {
			return nil, fmt.Errorf("read the state of projection %s: %w", name, err)
		}
		if ok {
			all = append(all, StoredState{Name: name, Version: m.version, Base: r.log.positionAt(base)})
		}
	}
	return all, nil
}

// ReadBase hands the values of a state's base to one function, in the order of their
// keys, and the notes of records up to there to another, until they err. What they get
// is valid during the call.
func (r *Reader) ReadBase(name string, value func(key, value []byte) error, note func(eventlog.Note) error) error {
	m, base, _, err := r.log.readState(name)
	if err != nil {
		return fmt.Errorf("read the state of projection %s: %w", name, err)
	}
	prefix := basePrefix(name)
	if err := r.each(prefix, past(prefix), func(key, v []byte) error { return value(key[len(prefix):], v) }); err != nil {
		return fmt.Errorf("read the base of projection %s: %w", name, err)
	}
	err = r.each(notesPrefix(name, m.generation), noteKey(name, m.generation, base.seq+1), func(key, v []byte) error {
		return note(eventlog.Note{At: sequenceOf(key), Value: v})
	})
	if err != nil {
		return fmt.Errorf("read the notes of projection %s: %w", name, err)
	}
	return nil
}

func (r *Reader) each(from, to []byte, do func(key, value []byte) error) error {
	iter, err := r.log.db.NewIter(&pebble.IterOptions{LowerBound: from, UpperBound: to})
	if err != nil {
		return err
	}
	defer iter.Close()
	for ok := iter.First(); ok; ok = iter.Next() {
		if err := do(iter.Key(), iter.Value()); err != nil {
			return err
		}
	}
	return iter.Error()
}
