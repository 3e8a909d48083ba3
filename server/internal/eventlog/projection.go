package eventlog

import (
	"context"
	"fmt"
	"regexp"
)

// A projection is a state that follows from the log alone: a fold over its records.
// The log keeps it, so that it is as durable as the log, moves with it, and outlives
// the records that it was made of.
//
// The state is keys and values, and notes: each the note of one record, kept for as
// long as the log holds what stands there. The log keeps the state twice: as of the
// newest records, and as of where retention has removed records, the base. So the
// state can be made again at any time, from the base and what the log holds: the same
// bytes, on every copy of the log.

// Limits of a projection's state.
const (
	// MaxStateKeyBytes bounds a key, which has one byte at least.
	MaxStateKeyBytes = 4096
	// MaxStateValueBytes bounds a value and a note.
	MaxStateValueBytes = 4 << 20
)

// Projection says how a state is made.
type Projection struct {
	// Name tells its state from others' in the log: 1 to 32 of a-z, 0-9 and "_".
	Name string
	// Version is that of Fold, from 1. When it changes, the state is made again: from
	// the base, which may be of an older version, and what the log holds.
	Version uint64
	// Fold is called for stretches of records in log order, one at a time, and for the
	// same stretch again whenever the state is made again.
	Fold Fold
	// Late, unless it is nil, is told of what the newest state has taken in how many
	// records were late, as [Changes] say. It is not told again when the state is made
	// again. It is called by one goroutine, and does not wait.
	Late func(records uint64)
}

// Check tells what is wrong with a projection.
func (p *Projection) Check() error {
	switch {
	case !regexp.MustCompile(`^[a-z0-9_]{1,32}$`).MatchString(p.Name):
		return fmt.Errorf(`projection %.40q: its name must be 1 to 32 of a-z, 0-9 and "_"`, p.Name)
	case p.Version == 0 || p.Fold == nil:
		return fmt.Errorf("projection %s: it needs a version and a fold", p.Name)
	}
	return nil
}

// Fold says what records change of a state. It is pure: it knows nothing but its
// arguments, and what it returns for some records does not depend on how the log
// divides them into calls. get returns the value of a key as it was before the call, nil
// if there is none; changes of the same call are the fold's to remember. What get
// returns belongs to the caller, the entries do not, and what is returned belongs to
// the log. An error is one of get's.
//
// Entries have no Raw. Records that cannot be read are left out.
type Fold func(get func(key []byte) ([]byte, error), entries []Entry) (Changes, error)

// Changes are what records change of a state.
type Changes struct {
	// Writes are in any order, at most one of each key.
	Writes []Write
	// Notes are in log order, at most one of each record.
	Notes []Note
	// Late is how many of the records came too late for a value: it is of a later one.
	Late uint64
}

// StateImport takes the base of a projection's state, before any record of the log: its
// values and notes in any order, then End. It is for one goroutine, and keeps nothing
// that it is given. Errors: those of what is none of a state, of a state at its limits,
// and of the log.
type StateImport interface {
	Value(key, value []byte) error
	// Note adds the note of a record up to the base.
	Note(n Note) error
	// End makes the state as durable as the log's records are: before, there is none.
	End() error
}

// CheckStateValue tells what is wrong with a value of a state.
func CheckStateValue(key, value []byte) error {
	if len(key) == 0 || len(key) > MaxStateKeyBytes || len(value) > MaxStateValueBytes {
		return fmt.Errorf("a value of %d bytes under a key of %d is no state's", len(value), len(key))
	}
	return nil
}

// CheckStateNote tells what is wrong with a note of a state whose base is of a sequence.
func CheckStateNote(n Note, base Sequence) error {
	if n.At == 0 || n.At > base || len(n.Value) > MaxStateValueBytes {
		return fmt.Errorf("a note of %d bytes of event %d is none of a base of %d", len(n.Value), n.At, base)
	}
	return nil
}

// Write sets the value of a key; a nil Value removes the key.
type Write struct{ Key, Value []byte }

// Note is what a state notes of a record.
type Note struct {
	At    Sequence
	Value []byte
}

// State is the state of a projection, which follows the log by itself. Its methods are
// safe for concurrent use. Errors of all of them: ErrClosed, ErrFailed, or the
// context's.
type State interface {
	// Get returns the newest value of a key, nil if there is none.
	Get(key []byte) ([]byte, error)

	// View returns the state as it is at one moment. Close it soon: it keeps what is
	// removed meanwhile on the disk.
	View() (View, error)

	// Wait returns nil as soon as the state is of a place after the sequence.
	Wait(ctx context.Context, after Sequence) error

	// WaitNote returns nil as soon as there is a note of a record after the sequence.
	WaitNote(ctx context.Context, after Sequence) error

	// Rebuild makes the state again, from the base and what the log holds, up to where
	// it is; meanwhile it stays there. It tells progress, now and then, how much is
	// done. What was made replaces what there was in one step: until then, and when it
	// ends early, everything is as before. It returns how many keys and notes differed.
	Rebuild(ctx context.Context, progress func(done, total uint64)) (differences uint64, err error)
}

// View is a state as it was at one moment. It is for one goroutine.
type View interface {
	// Position is the place in the log that the state is of.
	Position() Position

	// Get returns the value of a key, nil if there is none.
	Get(key []byte) ([]byte, error)

	// Scan yields the keys from one, inclusive, to another, exclusive, in their order,
	// or backwards if reverse, until yield returns false. A nil end is that of the
	// state. What is yielded is valid during the call.
	Scan(from, to []byte, reverse bool, yield func(key, value []byte) (more bool)) error

	// Notes yields the notes of records after a sequence, in log order, until yield
	// returns false. What is yielded is valid during the call. Notes up to
	// [Bounds.Start] may be gone.
	Notes(after Sequence, yield func(Note) (more bool)) error

	// Close frees what the view holds. Idempotent.
	Close()
}
