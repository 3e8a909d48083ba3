package pebblelog

import (
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"github.com/wabastream/wabastream/server/internal/eventlog"
)

// stateImport puts the base of a state into a store that has no records.
type stateImport struct {
	log   *Log
	state StoredState
	batch *pebble.Batch
	held  bool // the store has it already
}

var _ eventlog.StateImport = (*stateImport)(nil)

// firstGeneration is that of a state that was imported, or never made again.
const firstGeneration = 1

// Check tells what is wrong with the name and version of a state.
func (s *StoredState) Check() error {
	return (&eventlog.Projection{Name: s.Name, Version: s.Version, Fold: none}).Check()
}

// ImportState begins to import a state, before any record. If the store holds it, as it
// was left by an import that was cut off later, what is added is passed over.
func (i *Importer) ImportState(s StoredState) (eventlog.StateImport, error) {
	if err := s.Check(); err != nil {
		return nil, err
	}
	if i.last != 0 {
		return nil, fmt.Errorf("the state of projection %s comes after records", s.Name)
	}
	_, base, ok, err := i.log.readState(s.Name)
	if err != nil {
		return nil, fmt.Errorf("read the state of projection %s: %w", s.Name, err)
	}
	if ok && base.seq != s.Base.Sequence {
		return nil, fmt.Errorf("the folder holds another state of projection %s: %w", s.Name, errOtherImport)
	}
	if ok {
		return &stateImport{log: i.log, state: s, batch: i.log.db.NewBatch(), held: true}, nil
	}
	return i.log.importState(s)
}

// importState begins a state anew: what a cut-off import has left of it goes.
func (l *Log) importState(s StoredState) (*stateImport, error) {
	i := &stateImport{log: l, state: s, batch: l.db.NewBatch()}
	prefix := stateKey(s.Name, 0)[:len(s.Name)+2]
	return i, i.batch.DeleteRange(prefix, past(prefix), nil)
}

func none(func([]byte) ([]byte, error), []eventlog.Entry) (eventlog.Changes, error) {
	return eventlog.Changes{}, nil
}

// Value implements eventlog.StateImport: the value is one of the base, and of the state,
// which is that of the base.
func (i *stateImport) Value(key, value []byte) error {
	if i.held {
		return nil
	}
	if err := eventlog.CheckStateValue(key, value); err != nil {
		return err
	}
	for _, prefix := range [][]byte{basePrefix(i.state.Name), valuesPrefix(i.state.Name, firstGeneration)} {
		if err := i.batch.Set(append(prefix, key...), value, nil); err != nil {
			return err
		}
	}
	return i.flushLarge()
}

// Note implements eventlog.StateImport.
func (i *stateImport) Note(n eventlog.Note) error {
	if i.held {
		return nil
	}
	if err := eventlog.CheckStateNote(n, i.state.Base.Sequence); err != nil {
		return err
	}
	if err := i.batch.Set(noteKey(i.state.Name, firstGeneration, n.At), n.Value, nil); err != nil {
		return err
	}
	return i.flushLarge()
}

func (i *stateImport) flushLarge() error {
	if i.batch.Len() < importBytes {
		return nil
	}
	if err := i.log.apply(i.batch, pebble.NoSync); err != nil {
		return err
	}
	err := i.batch.Close()
	i.batch = i.log.db.NewBatch()
	return err
}

// End implements eventlog.StateImport: before, the store has no such state.
func (i *stateImport) End() error {
	defer i.batch.Close()
	if i.held {
		return nil
	}
	base := placeOf(i.state.Base)
	m := mark{version: i.state.Version, generation: firstGeneration, at: base}
	if err := errors.Join(
		i.batch.Set(stateKey(i.state.Name, stateMark), m.encode(), nil),
		i.batch.Set(stateKey(i.state.Name, baseMark), base.append(nil), nil),
	); err != nil {
		return err
	}
	return i.log.apply(i.batch, pebble.Sync)
}

// moveStates has states that were imported begin where the records do, if they are of
// a place before: nothing between was imported.
func (i *Importer) moveStates(batch *pebble.Batch, start eventlog.Sequence) error {
	names, err := i.log.storedStates()
	if err != nil {
		return err
	}
	for _, name := range names {
		m, base, _, err := i.log.readState(name)
		if err != nil {
			return err
		}
		if base.seq >= start {
			continue
		}
		m.at = place{seq: start}
		if err := errors.Join(
			batch.Set(stateKey(name, stateMark), m.encode(), nil),
			batch.Set(stateKey(name, baseMark), m.at.append(nil), nil),
		); err != nil {
			return err
		}
	}
	return nil
}

// beginBehindStates has a store of nothing but imported states begin where the newest of
// them is, so that what is appended comes behind it.
func (i *Importer) beginBehindStates() error {
	if v := i.log.view.Load(); i.last != 0 || v.head.seq != 0 {
		return nil
	}
	names, err := i.log.storedStates()
	if err != nil {
		return err
	}
	var newest eventlog.Sequence
	for _, name := range names {
		_, base, _, err := i.log.readState(name)
		if err != nil {
			return err
		}
		newest = max(newest, base.seq)
	}
	if newest == 0 {
		return nil
	}
	return i.begin(newest + 1)
}
