package stream

import (
	"fmt"
	"time"

	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	wabastreamv1 "github.com/wabastream/wabastream/gen/wabastream/v1"
	"github.com/wabastream/wabastream/server/internal/eventlog"
)

// An entry's payload is already the wire form of the part of Event that the log
// does not know. Protobuf messages concatenate, so an event is sent as the
// header's fields, the payload, and raw_json, written one after the other:
// nothing is decoded on the way out. The numbers are those of event.proto; a
// test holds them against the generated code.
const (
	fieldID            = 1
	fieldCursor        = 2
	fieldSequence      = 3
	fieldType          = 4
	fieldSeverity      = 5
	fieldProvider      = 6
	fieldSource        = 7
	fieldWABAID        = 8
	fieldWABAIDSource  = 9
	fieldPhone         = 10
	fieldPhoneNumberID = 11
	fieldOccurTime     = 12
	fieldOccurTimeText = 13
	fieldReceiveTime   = 14
	fieldRawJSON       = 15
	fieldRedacted      = 16

	fieldAccountUpdate            = 20
	fieldAccountReviewUpdate      = 21
	fieldPhoneNumberNameUpdate    = 22
	fieldPhoneNumberQualityUpdate = 23
	fieldUserPreference           = 24
	fieldUnrecognized             = 25

	fieldFrameCursor = 1
	fieldFrameBatch  = 3
	fieldBatchEvents = 1
)

// headerRoom is more than the header's fields of any entry take, apart from its
// texts.
const headerRoom = 256

func appendEvent(b []byte, e *eventlog.Entry, cursor string) []byte {
	var id [2 * len(eventlog.ID{})]byte
	b = appendText(b, fieldID, e.ID.AppendTo(id[:0]))
	b = appendText(b, fieldCursor, cursor)
	b = appendNumber(b, fieldSequence, uint64(e.Position.Sequence))
	b = appendText(b, fieldType, e.Type)
	b = appendNumber(b, fieldSeverity, uint64(e.Severity))
	b = appendText(b, fieldSource, e.Source)
	b = appendText(b, fieldWABAID, e.WABAID)
	b = appendNumber(b, fieldWABAIDSource, uint64(e.WABASource))
	b = appendText(b, fieldPhone, e.BusinessPhone)
	b = appendTime(b, fieldOccurTime, e.OccurTime)
	b = appendTime(b, fieldReceiveTime, e.AppendTime)
	b = append(b, e.Payload...)
	return appendRaw(b, e.Raw)
}

func appendRaw(b, raw []byte) []byte {
	return appendText(b, fieldRawJSON, raw)
}

func appendText[T []byte | string](b []byte, field protowire.Number, s T) []byte {
	if len(s) == 0 {
		return b
	}
	b = protowire.AppendTag(b, field, protowire.BytesType)
	b = protowire.AppendVarint(b, uint64(len(s)))
	return append(b, s...)
}

func appendNumber(b []byte, field protowire.Number, v uint64) []byte {
	if v == 0 {
		return b
	}
	b = protowire.AppendTag(b, field, protowire.VarintType)
	return protowire.AppendVarint(b, v)
}

// appendTime writes a google.protobuf.Timestamp; the zero time is left out.
func appendTime(b []byte, field protowire.Number, t time.Time) []byte {
	if t.IsZero() {
		return b
	}
	seconds, nanos := uint64(t.Unix()), uint64(t.Nanosecond())
	size := sizeNumber(seconds) + sizeNumber(nanos)
	b = protowire.AppendTag(b, field, protowire.BytesType)
	b = protowire.AppendVarint(b, uint64(size))
	b = appendNumber(b, 1, seconds)
	return appendNumber(b, 2, nanos)
}

func sizeNumber(v uint64) int {
	if v == 0 {
		return 0
	}
	return 1 + protowire.SizeVarint(v)
}

// eventIn returns the entry in wire form, as it is in a view.
func (s *Service) eventIn(view viewKind, e *eventlog.Entry, cursor string) []byte {
	event := appendEvent(make([]byte, 0, headerRoom+len(e.Payload)+len(e.Raw)), e, cursor)
	if view.shows() {
		return event
	}
	return s.redactor.appendEvent(make([]byte, 0, len(event)), event, view)
}

// decodeEvent returns an event as a message, for the calls that answer with one.
func decodeEvent(wire []byte, at eventlog.Sequence) (*wabastreamv1.Event, error) {
	event := new(wabastreamv1.Event)
	if err := proto.Unmarshal(wire, event); err != nil {
		return nil, fmt.Errorf("decode event %d: %w", at, err)
	}
	return event, nil
}

// batch gathers the wire form of one batch frame.
type batch struct {
	body   []byte
	events int
	last   eventlog.Position
}

// fits reports whether an event may be added: the first always may.
func (b *batch) fits(event []byte) bool {
	return b.events == 0 || len(b.body)+len(event) <= maxBatchBytes
}

func (b *batch) add(event []byte, at eventlog.Position) {
	b.body = protowire.AppendTag(b.body, fieldBatchEvents, protowire.BytesType)
	b.body = protowire.AppendBytes(b.body, event)
	b.events++
	b.last = at
}

// frame closes the batch under the cursor and returns what goes on the wire.
func (b *batch) frame(cursor string) *rawFrame {
	head := appendFrameHead(make([]byte, 0, frameHeadBytes), cursor, len(b.body))
	return &rawFrame{mem.BufferSlice{mem.SliceBuffer(head), mem.SliceBuffer(b.body)}}
}
