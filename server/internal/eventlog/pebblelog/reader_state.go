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

// Bases are the bases of all states of a store, as they were at one moment: see
// [Follower.Bases]. They are for one goroutine.
type Bases struct {
	log   *Log
	from  pebble.Reader
	close func()
}

// States are the states that there are, by name.
func (b *Bases) States() ([]StoredState, error) {
	names, err := statesIn(b.from)
	if err != nil {
		return nil, fmt.Errorf("read states: %w", err)
	}
	var all []StoredState
	for _, name := range names {
		m, base, ok, err := stateIn(b.from, name)
		if err != nil {
			return nil, fmt.Errorf("read the state of projection %s: %w", name, err)
		}
		if ok {
			all = append(all, StoredState{Name: name, Version: m.version, Base: b.log.positionAt(base)})
		}
	}
	return all, nil
}

// Trimmed is up to where everything is removed: there are no notes up to there.
func (b *Bases) Trimmed() (eventlog.Sequence, error) {
	start, err := trimOf(b.from)
	if err != nil {
		return 0, fmt.Errorf("read trim point: %w", err)
	}
	return start.seq, nil
}

// Read hands the values of a state's base to one function, in the order of their keys,
// and the notes of records up to there to another, until they err. What they get is
// valid during the call.
func (b *Bases) Read(name string, value func(key, value []byte) error, note func(eventlog.Note) error) error {
	m, base, _, err := stateIn(b.from, name)
	if err != nil {
		return fmt.Errorf("read the state of projection %s: %w", name, err)
	}
	prefix := basePrefix(name)
	if err := b.each(prefix, past(prefix), func(key, v []byte) error { return value(key[len(prefix):], v) }); err != nil {
		return fmt.Errorf("read the base of projection %s: %w", name, err)
	}
	err = b.each(notesPrefix(name, m.generation), noteKey(name, m.generation, base.seq+1), func(key, v []byte) error {
		return note(eventlog.Note{At: sequenceOf(key), Value: v})
	})
	if err != nil {
		return fmt.Errorf("read the notes of projection %s: %w", name, err)
	}
	return nil
}

func (b *Bases) each(from, to []byte, do func(key, value []byte) error) error {
	iter, err := b.from.NewIter(&pebble.IterOptions{LowerBound: from, UpperBound: to})
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

// Close frees what they hold: what is removed meanwhile stays on the disk. Idempotent.
func (b *Bases) Close() { b.close() }

// States are the states that the folder holds, by name.
func (r *Reader) States() ([]StoredState, error) { return r.bases().States() }

// ReadBase reads one of them; see [Bases.Read].
func (r *Reader) ReadBase(name string, value func(key, value []byte) error, note func(eventlog.Note) error) error {
	return r.bases().Read(name, value, note)
}

func (r *Reader) bases() *Bases { return &Bases{log: r.log, from: r.log.db, close: func() {}} }
