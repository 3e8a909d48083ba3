package pebblelog

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"
)

// checkStates reads the states of projections, and wants them to be of places that the
// log holds. Those that a copy began with may be ahead of what it has taken in. Whether they are what their fold makes, only making them again tells.
func (v *verifier) checkStates() error {
	names, err := v.log.storedStates()
	if err != nil {
		return v.stateProblem("", err)
	}
	copied, err := v.log.readMeta(followMetaKey())
	if err != nil {
		return v.stateProblem("", err)
	}
	for _, name := range names {
		if err := v.checkState(name, copied != nil); err != nil {
			return err
		}
	}
	return nil
}

func (v *verifier) checkState(name string, copied bool) error {
	m, base, ok, err := v.log.readState(name)
	switch {
	case err != nil:
		return v.stateProblem(name, err)
	case !ok:
		v.found(Problem{Kind: ProblemState, Detail: fmt.Sprintf("projection %s: it does not say where it is", name)})
		return nil
	case base.seq < v.start || m.at.seq < base.seq || m.at.seq > v.head && (!copied || m.at.seq > base.seq):
		v.found(Problem{Kind: ProblemState, Detail: fmt.Sprintf("projection %s: it is of %d and its base of %d, and the log holds %d to %d",
			name, m.at.seq, base.seq, v.start+1, v.head)})
	}
	iter, err := v.log.db.NewIter(&pebble.IterOptions{LowerBound: stateKey(name, 0), UpperBound: past(stateKey(name, 0)[:len(name)+2])})
	if err != nil {
		return err
	}
	defer iter.Close()
	var late uint64
	notes := notesPrefix(name, m.generation)
	for ok := iter.First(); ok; ok = iter.Next() {
		if key := iter.Key(); bytes.HasPrefix(key, notes) && sequenceOf(key) > m.at.seq {
			late++
		}
		if err := v.step(); err != nil {
			return err
		}
	}
	if late > 0 {
		v.found(Problem{Kind: ProblemState, Detail: fmt.Sprintf("projection %s: it has %d notes of events behind where it is", name, late)})
	}
	return v.stateProblem(name, iter.Error())
}

// stateProblem reports what cannot be read of a state, and returns any other error.
func (v *verifier) stateProblem(name string, err error) error {
	if err == nil || !pebble.IsCorruptionError(err) && !errors.Is(err, errMalformed) {
		return err
	}
	v.found(Problem{Kind: ProblemState, Detail: fmt.Sprintf("the state of projection %s cannot be read: %s", name, firstLine(err))})
	return nil
}
