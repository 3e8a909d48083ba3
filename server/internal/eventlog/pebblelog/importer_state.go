package pebblelog

import (
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"github.com/wabastream/wabastream/server/internal/eventlog"
)

// StateImporter takes the base of a projection's state, before any record: its values
// and notes in any order, then End. [Importer.ImportState] makes one.
type StateImporter struct {
	importer *Importer
	state    StoredState
	batch    *pebble.Batch
	held     bool // the store has it already
}

// firstGeneration is that of a state that was imported, or never made again.
const firstGeneration = 1

// ImportState begins to import a state. If the store holds it, as it was left by an
// import that was cut off later, what is added is passed over.
func (i *Importer) ImportState(s StoredState) (*StateImporter, error) {
	if err := (&eventlog.Projection{Name: s.Name, Version: s.Version, Fold: none}).Check(); err != nil {
		return nil, err
	}
	if i.last != 0 {
		return nil, fmt.Errorf("the state of projection %s comes after records", s.Name)
	}
	_, base, ok, err := i.log.readState(s.Name)
	if err != nil {
		return nil, fmt.Errorf("read the state of projection %s: %w", s.Name, err)
	}
	out := &StateImporter{importer: i, state: s, batch: i.log.db.NewBatch(), held: ok}
	if ok && base.seq != s.Base.Sequence {
		return nil, fmt.Errorf("the folder holds another state of projection %s: %w", s.Name, errOtherImport)
	}
	if !ok { // what a cut-off import has left of it
		prefix := stateKey(s.Name, 0)[:len(s.Name)+2]
		if err := out.batch.DeleteRange(prefix, past(prefix), nil); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func none(func([]byte) ([]byte, error), []eventlog.Entry) (eventlog.Changes, error) {
	return eventlog.Changes{}, nil
}

// Value adds a value: to the base, and to the state, which is that of the base.
func (i *StateImporter) Value(key, value []byte) error {
	if i.held {
		return nil
	}
	if len(key) == 0 || len(key) > eventlog.MaxStateKeyBytes || len(value) > eventlog.MaxStateValueBytes {
		return fmt.Errorf("a value of %d bytes under a key of %d is no state's", len(value), len(key))
	}
	for _, prefix := range [][]byte{basePrefix(i.state.Name), valuesPrefix(i.state.Name, firstGeneration)} {
		if err := i.batch.Set(append(prefix, key...), value, nil); err != nil {
			return err
		}
	}
	return i.flushLarge()
}

// Note adds the note of a record up to the base.
func (i *StateImporter) Note(n eventlog.Note) error {
	if i.held {
		return nil
	}
	if n.At > i.state.Base.Sequence || len(n.Value) > eventlog.MaxStateValueBytes {
		return fmt.Errorf("a note of %d bytes of event %d is none of a base of %d", len(n.Value), n.At, i.state.Base.Sequence)
	}
	if err := i.batch.Set(noteKey(i.state.Name, firstGeneration, n.At), n.Value, nil); err != nil {
		return err
	}
	return i.flushLarge()
}

func (i *StateImporter) flushLarge() error {
	if i.batch.Len() < importBytes {
		return nil
	}
	if err := i.importer.log.apply(i.batch, pebble.NoSync); err != nil {
		return err
	}
	err := i.batch.Close()
	i.batch = i.importer.log.db.NewBatch()
	return err
}

// End makes the state durable: before, the store has none.
func (i *StateImporter) End() error {
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
	return i.importer.log.apply(i.batch, pebble.Sync)
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
