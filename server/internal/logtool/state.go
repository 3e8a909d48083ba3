package logtool

import (
	"errors"
	"fmt"
	"io"

	"google.golang.org/protobuf/proto"

	wabastreamv1 "github.com/wabastream/wabastream/gen/wabastream/v1"
	"github.com/wabastream/wabastream/server/internal/eventlog"
	"github.com/wabastream/wabastream/server/internal/eventlog/pebblelog"
)

// statePartBytes is about how large a part of a state is in a file.
const statePartBytes = 64 << 10

// writeStates writes what states are made again of, together with the events that
// follow: their bases, unless nothing is in them.
func (x *export) writeStates(w io.Writer, head eventlog.Sequence) error {
	states, err := x.reader.States()
	if err != nil {
		return err
	}
	for _, s := range states {
		if s.Base.Sequence > head { // what is appended to an import would not be folded into it
			return fmt.Errorf("state of %s: it is of event %d, and the folder holds events up to %d: it is a replica's, which has not yet taken in the stream: start the replica first", s.Name, s.Base.Sequence, head)
		}
		if err := x.writeState(w, s); err != nil {
			return fmt.Errorf("state of %s: %w", s.Name, err)
		}
	}
	return nil
}

func (x *export) writeState(w io.Writer, s pebblelog.StoredState) error {
	out := stateWriter{w: w, format: x.options.Format, state: s}
	out.begin()
	if err := x.reader.ReadBase(s.Name, out.value, out.note); err != nil {
		return err
	}
	if !out.written && out.size == 0 && uint64(s.Base.Sequence) <= uint64(x.last) {
		return nil
	}
	out.part.Complete = true
	return out.flush()
}

// stateWriter writes a state in parts.
type stateWriter struct {
	w       io.Writer
	format  Format
	state   pebblelog.StoredState
	part    *wabastreamv1.ExportedState
	size    int // of what the part holds
	written bool
}

func (s *stateWriter) begin() {
	s.size = 0
	s.part = &wabastreamv1.ExportedState{
		Projection: s.state.Name, Version: s.state.Version,
		Sequence: uint64(s.state.Base.Sequence), Fingerprint: s.state.Base.Fingerprint,
	}
}

func (s *stateWriter) value(key, value []byte) error {
	s.part.Values = append(s.part.Values, proto.CloneOf(&wabastreamv1.ExportedStateValue{Key: key, Value: value}))
	return s.grow(len(key) + len(value))
}

func (s *stateWriter) note(n eventlog.Note) error {
	s.part.Notes = append(s.part.Notes, proto.CloneOf(&wabastreamv1.ExportedStateNote{Sequence: uint64(n.At), Value: n.Value}))
	return s.grow(len(n.Value))
}

func (s *stateWriter) grow(by int) error {
	if s.size += by + 1; s.size < statePartBytes {
		return nil
	}
	if err := s.flush(); err != nil {
		return err
	}
	s.begin()
	return nil
}

func (s *stateWriter) flush() error {
	frame, err := s.format.encode(&wabastreamv1.ExportedEvent{State: s.part})
	if err != nil {
		return err
	}
	s.written = true
	_, err = s.w.Write(frame)
	return err
}

// stateImport is a state of which parts were read.
type stateImport struct {
	into eventlog.StateImport
	name string
}

// importState takes a part of a state.
func (i *importing) importState(part *wabastreamv1.ExportedState) error {
	if i.state == nil {
		into, err := i.store.ImportState(pebblelog.StoredState{
			Name: part.GetProjection(), Version: part.GetVersion(),
			Base: eventlog.Position{Sequence: eventlog.Sequence(part.GetSequence()), Fingerprint: part.GetFingerprint()},
		})
		if err != nil {
			return err
		}
		i.state = &stateImport{into: into, name: part.GetProjection()}
	}
	if i.state.name != part.GetProjection() {
		return fmt.Errorf("it belongs to another state than the part before, which was not the last of %q", i.state.name)
	}
	var errs []error
	for _, v := range part.GetValues() {
		errs = append(errs, i.state.into.Value(v.GetKey(), v.GetValue()))
	}
	for _, n := range part.GetNotes() {
		errs = append(errs, i.state.into.Note(eventlog.Note{At: eventlog.Sequence(n.GetSequence()), Value: n.GetValue()}))
	}
	if part.GetComplete() {
		errs = append(errs, i.state.into.End())
		i.state = nil
	}
	return errors.Join(errs...)
}
