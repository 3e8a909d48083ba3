package natslog

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math"

	"github.com/wabastream/wabastream/server/internal/eventlog"
	"github.com/wabastream/wabastream/server/internal/eventlog/pebblelog"
)

// An object with states is
//
//	version 1 byte | log id 8 | place in the stream | trimmed up to | parts
//
// and its parts, each behind a byte that says what it is, are states, each followed by
// its values and notes, and an end with the checksum (CRC-32C) of everything before.
// Integers are varints. The layout is part of the stored format.
const baseVersion = 1

const (
	endPart   = 0 // checksum 4
	statePart = 1 // name, version, sequence, fingerprint
	valuePart = 2 // key, value
	notePart  = 3 // sequence, value
)

// maxNameBytes bounds a projection's name here; what it may be is checked elsewhere.
const maxNameBytes = 256

// baseHead is what the states of an object are of.
type baseHead struct {
	log     eventlog.LogID
	at      place             // in the stream; zero for those that were imported
	trimmed eventlog.Sequence // up to where there are no records and no notes
}

// baseWriter writes an object.
type baseWriter struct {
	w    io.Writer
	b    []byte // the part, used again
	sum  uint32
	size uint64
	err  error
}

func newBaseWriter(w io.Writer, h baseHead) *baseWriter {
	out := &baseWriter{w: w}
	b := append([]byte{baseVersion}, h.log[:]...)
	out.b = binary.AppendUvarint(appendPlace(b, h.at), uint64(h.trimmed))
	out.err = out.put()
	return out
}

// put writes the part.
func (w *baseWriter) put() error {
	if w.err == nil {
		w.sum = crc32.Update(w.sum, castagnoli(), w.b)
		w.size += uint64(len(w.b))
		_, w.err = w.w.Write(w.b)
	}
	return w.err
}

func (w *baseWriter) state(s pebblelog.StoredState) error {
	w.b = appendBytes(append(w.b[:0], statePart), []byte(s.Name))
	w.b = binary.AppendUvarint(w.b, s.Version)
	w.b = binary.AppendUvarint(w.b, uint64(s.Base.Sequence))
	w.b = binary.AppendUvarint(w.b, uint64(s.Base.Fingerprint))
	return w.put()
}

func (w *baseWriter) value(key, value []byte) error {
	w.b = appendBytes(appendBytes(append(w.b[:0], valuePart), key), value)
	return w.put()
}

func (w *baseWriter) note(n eventlog.Note) error {
	w.b = binary.AppendUvarint(append(w.b[:0], notePart), uint64(n.At))
	w.b = appendBytes(w.b, n.Value)
	return w.put()
}

func (w *baseWriter) end() error {
	w.b = append(w.b[:0], endPart)
	if err := w.put(); err != nil {
		return err
	}
	w.b = binary.LittleEndian.AppendUint32(w.b[:0], w.sum)
	return w.put()
}

// beginState begins to take in a state.
type beginState func(pebblelog.StoredState) (eventlog.StateImport, error)

// baseReader reads the parts of an object; once something is missing it has an error and
// reads zeros.
type baseReader struct {
	in    *bufio.Reader
	sum   uint32
	err   error
	state eventlog.StateImport
}

// newBaseReader begins to read an object.
func newBaseReader(in io.Reader) (*baseReader, baseHead, error) {
	r := &baseReader{in: bufio.NewReaderSize(in, chunkBytes)}
	head, err := r.head()
	return r, head, r.explain(err)
}

// parts reads the rest. The object is whole when that ends without an error; states are
// begun and ended before.
func (r *baseReader) parts(begin beginState) error {
	for {
		if more, err := r.part(begin); err != nil || !more {
			return r.explain(err)
		}
	}
}

// explain tells what is cut off from what cannot be read.
func (r *baseReader) explain(err error) error {
	switch {
	case errors.Is(r.err, io.EOF), errors.Is(r.err, io.ErrUnexpectedEOF):
		return errMalformed
	case r.err != nil:
		return r.err
	}
	return err
}

// ReadByte implements io.ByteReader.
func (r *baseReader) ReadByte() (byte, error) {
	b := r.take(1)
	if r.err != nil {
		return 0, r.err
	}
	return b[0], nil
}

func (r *baseReader) take(n uint64) []byte {
	if r.err != nil {
		return nil
	}
	b := make([]byte, n)
	if _, r.err = io.ReadFull(r.in, b); r.err != nil {
		return nil
	}
	r.sum = crc32.Update(r.sum, castagnoli(), b)
	return b
}

func (r *baseReader) uvarint(most uint64) uint64 {
	v, err := binary.ReadUvarint(r)
	if r.err == nil && (err != nil || v > most) {
		r.err = io.ErrUnexpectedEOF
	}
	if r.err != nil {
		return 0
	}
	return v
}

func (r *baseReader) bytes(most uint64) []byte { return r.take(r.uvarint(most)) }

func (r *baseReader) sequence() eventlog.Sequence {
	return eventlog.Sequence(r.uvarint(math.MaxUint64))
}

func (r *baseReader) head() (h baseHead, err error) {
	if version := r.take(1); r.err == nil && version[0] != baseVersion {
		return h, fmt.Errorf("it has version %d; this program reads version %d: use a newer release", version[0], baseVersion)
	}
	copy(h.log[:], r.take(uint64(len(h.log))))
	h.at = place{message: r.uvarint(math.MaxUint64), head: r.sequence(), fingerprint: uint32(r.uvarint(math.MaxUint32))}
	stamp, err := binary.ReadVarint(r)
	if r.err == nil && err != nil {
		r.err = io.ErrUnexpectedEOF
	}
	h.at.stamp, h.trimmed = stamp, r.sequence()
	return h, r.err
}

// part reads a part and hands it on; there are no more behind the end.
func (r *baseReader) part(begin beginState) (more bool, err error) {
	kind, err := r.ReadByte()
	switch {
	case err != nil:
		return false, err
	case kind == endPart:
		return false, r.end()
	case kind == statePart:
		return true, r.begin(begin)
	case r.state == nil:
		return false, errMalformed
	case kind == valuePart:
		key, value := r.bytes(eventlog.MaxStateKeyBytes), r.bytes(eventlog.MaxStateValueBytes)
		if r.err != nil {
			return false, r.err
		}
		return true, r.state.Value(key, value)
	case kind == notePart:
		n := eventlog.Note{At: r.sequence(), Value: r.bytes(eventlog.MaxStateValueBytes)}
		if r.err != nil {
			return false, r.err
		}
		return true, r.state.Note(n)
	default:
		return false, errMalformed
	}
}

func (r *baseReader) begin(begin beginState) error {
	s := pebblelog.StoredState{Name: string(r.bytes(maxNameBytes)), Version: r.uvarint(math.MaxUint64)}
	s.Base = eventlog.Position{Sequence: r.sequence(), Fingerprint: uint32(r.uvarint(math.MaxUint32))}
	if r.err != nil {
		return r.err
	}
	if err := r.endState(); err != nil {
		return err
	}
	var err error
	r.state, err = begin(s)
	return err
}

func (r *baseReader) endState() error {
	if r.state == nil {
		return nil
	}
	return r.state.End()
}

// end checks that the object is whole, before the last state is.
func (r *baseReader) end() error {
	want := r.sum
	got := r.take(4)
	if r.err != nil {
		return r.err
	}
	if binary.LittleEndian.Uint32(got) != want {
		return errChecksum
	}
	if _, err := r.in.ReadByte(); !errors.Is(err, io.EOF) {
		if err == nil {
			return errMalformed
		}
		r.err = err
		return err
	}
	return r.endState()
}

// unkept takes a state in and keeps nothing of it.
type unkept struct{ base eventlog.Sequence }

func (u unkept) Value(key, value []byte) error { return eventlog.CheckStateValue(key, value) }
func (u unkept) Note(n eventlog.Note) error    { return eventlog.CheckStateNote(n, u.base) }
func (u unkept) End() error                    { return nil }

func keepNothing(s pebblelog.StoredState) (eventlog.StateImport, error) {
	return unkept{s.Base.Sequence}, s.Check()
}
