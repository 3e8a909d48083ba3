package natslog

import (
	"context"
	"fmt"
	"slices"

	"github.com/wabastream/wabastream/server/internal/eventlog"
	"github.com/wabastream/wabastream/server/internal/eventlog/pebblelog"
)

// stateImport stores the base of a state in an object.
type stateImport struct {
	importer *Importer
	state    pebblelog.StoredState
	object   *objectWriter // nil if the stream has the state
	out      *baseWriter
	cancel   context.CancelFunc
}

// ImportState begins to import a state, before any record. Every replica has it when the
// records that follow are in the stream. If the stream has it, as it was left by an import
// that was cut off later, what is added is passed over.
func (i *Importer) ImportState(s pebblelog.StoredState) (eventlog.StateImport, error) {
	if err := s.Check(); err != nil {
		return nil, err
	}
	if i.last != 0 {
		return nil, fmt.Errorf("the state of projection %s comes after records", s.Name)
	}
	if len(i.objects) == maxObjects {
		return nil, fmt.Errorf("the state of projection %s is one more than the %d that a log can have", s.Name, maxObjects)
	}
	held, err := i.holdsState(s)
	if err != nil || held {
		return &stateImport{importer: i, state: s}, err
	}
	ctx, cancel := context.WithTimeout(i.log.running, i.log.opts.ObjectWait/2)
	object := i.log.newObject(ctx, i.log.objectName([]pebblelog.StoredState{s}))
	out := newBaseWriter(object, baseHead{log: i.log.id})
	return &stateImport{importer: i, state: s, object: object, out: out, cancel: cancel}, out.state(s)
}

// holdsState tells whether the stream has the state.
func (i *Importer) holdsState(s pebblelog.StoredState) (bool, error) {
	bases, err := i.log.copy.Bases()
	if err != nil {
		return false, err
	}
	defer bases.Close()
	all, err := bases.States()
	if err != nil {
		return false, err
	}
	at := slices.IndexFunc(all, func(other pebblelog.StoredState) bool { return other.Name == s.Name })
	switch {
	case at < 0 && i.held == 0:
		return false, nil
	case at >= 0 && all[at].Base.Sequence == s.Base.Sequence:
		return true, nil
	case at >= 0 && all[at].Base.Sequence == 0 && i.held == 0: // of a replica of the empty stream
		return false, nil
	}
	return false, fmt.Errorf("the stream holds another state of projection %s: %w", s.Name, errOtherImport)
}

// Value implements eventlog.StateImport.
func (s *stateImport) Value(key, value []byte) error {
	if s.object == nil {
		return nil
	}
	if err := eventlog.CheckStateValue(key, value); err != nil {
		return err
	}
	return s.out.value(key, value)
}

// Note implements eventlog.StateImport.
func (s *stateImport) Note(n eventlog.Note) error {
	if s.object == nil {
		return nil
	}
	if err := eventlog.CheckStateNote(n, s.state.Base.Sequence); err != nil {
		return err
	}
	return s.out.note(n)
}

// End implements eventlog.StateImport: the object is durable, and known to the stream when
// the first record is.
func (s *stateImport) End() error {
	if s.object == nil {
		return nil
	}
	defer s.cancel()
	if err := s.out.end(); err != nil {
		return err
	}
	if err := s.object.close(); err != nil {
		return err
	}
	i := s.importer
	i.objects = append(i.objects, s.object.info.Name)
	i.newest = max(i.newest, s.state.Base.Sequence)
	return nil
}

// checkFirst wants a log that has begun to go on with the first record.
func (i *Importer) checkFirst() error {
	bounds, err := i.log.local.Bounds(i.log.running)
	if err != nil {
		return err
	}
	if i.held == 0 && bounds.Start.Sequence != 0 && bounds.Start.Sequence != i.first-1 {
		return fmt.Errorf("the stream holds a log that begins with record %d: %w", bounds.Start.Sequence+1, errOtherImport)
	}
	return nil
}

// begin has every replica begin behind a sequence, with the states, if this one has not
// begun.
func (i *Importer) begin(upTo eventlog.Sequence, stamp int64) error {
	seen, _ := i.log.place()
	if seen.head != 0 || upTo == 0 && len(i.objects) == 0 {
		return nil
	}
	ctx := i.log.running
	v, err := i.log.submit(ctx, subjectBase, &entry{kind: beginning, seen: seen, stamp: stamp, upTo: upTo, objects: i.objects})
	if err != nil {
		return endOf(ctx, err)
	}
	if v.void {
		return fmt.Errorf("something else was appended meanwhile: %w", errOtherImport)
	}
	i.objects = nil
	return nil
}
