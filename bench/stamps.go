package main

import (
	"fmt"
	"sync/atomic"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
)

// stamps remember when each of a number of things was due. They are safe for
// concurrent use.
type stamps struct {
	origin time.Time
	first  uint64
	due    []atomic.Int64 // nanoseconds after origin, and one; zero is not known
}

func newStamps(origin time.Time, first uint64, n int) *stamps {
	return &stamps{origin: origin, first: first, due: make([]atomic.Int64, n)}
}

// set says when the nth was due. Beyond what there is room for it is forgotten.
func (s *stamps) set(n uint64, due time.Time) {
	if i := n - s.first; i < uint64(len(s.due)) {
		s.due[i].Store(int64(due.Sub(s.origin)) + 1)
	}
}

// since tells how long ago the nth was due, if that is known and was no earlier
// than a time.
func (s *stamps) since(n uint64, from, now time.Time) (time.Duration, bool) {
	i := n - s.first
	if i >= uint64(len(s.due)) {
		return 0, false
	}
	at := s.due[i].Load()
	if at == 0 {
		return 0, false
	}
	due := s.origin.Add(time.Duration(at - 1))
	return now.Sub(due), !due.Before(from)
}

// timeIn finds the time that a field of an event holds.
func timeIn(event []byte, field protowire.Number) (t time.Time, err error) {
	const fieldSeconds, fieldNanos = 1, 2
	found := false
	err = eachField(event, field, func(b []byte) error {
		found = true
		var seconds, nanos uint64
		for len(b) > 0 {
			number, kind, n := protowire.ConsumeTag(b)
			if n < 0 || kind != protowire.VarintType {
				return errNotWire
			}
			value, m := protowire.ConsumeVarint(b[n:])
			if m < 0 {
				return errNotWire
			}
			switch number {
			case fieldSeconds:
				seconds = value
			case fieldNanos:
				nanos = value
			}
			b = b[n+m:]
		}
		t = time.Unix(int64(seconds), int64(nanos))
		return nil
	})
	if err == nil && !found {
		err = fmt.Errorf("read an event: it has no field %d", field)
	}
	return t, err
}
