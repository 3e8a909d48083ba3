package natslog

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/wabastream/wabastream/server/internal/eventlog"
)

// A message of the stream is
//
//	version 1 byte | checksum 4 | kind 1 | what the writer had seen | stamp | body
//
// Integers are varints, signed ones for times. The checksum (CRC-32C) covers what
// follows it. Replicas of different releases share a stream: a version or a kind that
// a release does not know stops it, so new ones are written only once every replica
// reads them.
const (
	entryVersion = 1
	entryHead    = 1 + 4
)

// kind is what a message is. The values are stored.
type kind byte

const (
	// callback has the records of one append or more.
	callback kind = 1
	// trim and trimType remove records.
	trim     kind = 2
	trimType kind = 3
	// tick has nothing but its stamp.
	tick kind = 4
	// base says where a replica that has nothing begins.
	base kind = 5
	// imported has records with their sequences and stamps.
	imported kind = 6
	// stateBase is a base with an object that has the states there. It is in a header of
	// a message that is a base at no place: see message.
	stateBase kind = 7
	// beginning has a log that is imported begin behind a sequence, with the states in
	// objects, before anything else is in it.
	beginning kind = 8
)

// headerEntry has an entry, in base64, that stands for that in the message's data.
const headerEntry = "Wabastream-Entry"

// maxObjects bounds how many objects an entry names.
const maxObjects = 64

// place is a place in the stream with what the log is there.
type place struct {
	message     uint64            // the last message taken in
	head        eventlog.Sequence // the last record of the log
	fingerprint uint32            // its
	stamp       int64             // the least that the next record is stamped with, in microseconds
}

// entry is a message of the stream.
type entry struct {
	kind kind
	// seen is up to where the writer had taken the stream in.
	seen place
	// stamp is what the writer's clock said, in microseconds.
	stamp int64

	records []eventlog.Record // of a callback
	entries []eventlog.Entry  // of an import, with sequence and stamp
	upTo    eventlog.Sequence // of a trim and a beginning
	path    string            // of trimType
	base    place             // of base and stateBase
	objects []string          // of stateBase, one, and of a beginning
}

var (
	errChecksum  = errors.New("checksum does not match")
	errMalformed = errors.New("message is malformed")
)

func castagnoli() *crc32.Table { return crc32.MakeTable(crc32.Castagnoli) }

func (e *entry) encode() []byte {
	size := 128
	for i := range e.records {
		size += recordSize(&e.records[i])
	}
	for i := range e.entries {
		size += recordSize(&e.entries[i].Record) + 20
	}
	b := make([]byte, entryHead, size)
	b[0] = entryVersion
	b = append(b, byte(e.kind))
	b = appendPlace(b, e.seen)
	b = binary.AppendVarint(b, e.stamp)
	switch e.kind {
	case callback:
		b = binary.AppendUvarint(b, uint64(len(e.records)))
		for i := range e.records {
			b = appendRecord(b, &e.records[i])
		}
	case imported:
		b = binary.AppendUvarint(b, uint64(len(e.entries)))
		for i := range e.entries {
			b = binary.AppendUvarint(b, uint64(e.entries[i].Position.Sequence))
			b = binary.AppendVarint(b, e.entries[i].AppendTime.UnixMicro())
			b = appendRecord(b, &e.entries[i].Record)
		}
	case trim:
		b = binary.AppendUvarint(b, uint64(e.upTo))
	case trimType:
		b = binary.AppendUvarint(b, uint64(e.upTo))
		b = appendBytes(b, []byte(e.path))
	case base:
		b = appendPlace(b, e.base)
	case stateBase:
		b = appendNames(appendPlace(b, e.base), e.objects)
	case beginning:
		b = appendNames(binary.AppendUvarint(b, uint64(e.upTo)), e.objects)
	case tick:
	}
	binary.LittleEndian.PutUint32(b[1:], crc32.Checksum(b[entryHead:], castagnoli()))
	return b
}

// decode reads a message. Payloads and raws of its records point into it.
func decode(b []byte) (*entry, error) {
	if len(b) < entryHead+1 {
		return nil, errMalformed
	}
	if b[0] != entryVersion {
		return nil, fmt.Errorf("message has version %d; this program reads version %d: use a newer release", b[0], entryVersion)
	}
	if crc32.Checksum(b[entryHead:], castagnoli()) != binary.LittleEndian.Uint32(b[1:]) {
		return nil, errChecksum
	}
	d := decoder{rest: b[entryHead:]}
	e := &entry{kind: kind(d.byte()), seen: d.place(), stamp: d.varint()}
	switch e.kind {
	case callback:
		e.records = make([]eventlog.Record, d.count())
		for i := range e.records {
			e.records[i] = d.record()
		}
	case imported:
		e.entries = make([]eventlog.Entry, d.count())
		for i := range e.entries {
			e.entries[i].Position.Sequence = eventlog.Sequence(d.uvarint())
			e.entries[i].AppendTime = timeOf(d.varint())
			e.entries[i].Record = d.record()
		}
	case trim:
		e.upTo = eventlog.Sequence(d.uvarint())
	case trimType:
		e.upTo = eventlog.Sequence(d.uvarint())
		e.path = string(d.bytes())
	case base:
		e.base = d.place()
	case stateBase:
		e.base, e.objects = d.place(), d.names()
	case beginning:
		e.upTo, e.objects = eventlog.Sequence(d.uvarint()), d.names()
	case tick:
	default:
		return nil, fmt.Errorf("message is of kind %d, which this program does not know: use a newer release", e.kind)
	}
	if d.bad || len(d.rest) != 0 || e.kind == stateBase && len(e.objects) != 1 {
		return nil, errMalformed
	}
	return e, nil
}

// message makes the message of an entry. A release that knows no bases with states has
// to go on where it runs, and must not begin there without them: what it reads of one is
// a base at no place, which it refuses to begin at.
func (e *entry) message(subject string) *nats.Msg {
	msg := nats.NewMsg(subject)
	msg.Data = e.encode()
	if e.kind == stateBase {
		msg.Header.Set(headerEntry, base64.StdEncoding.EncodeToString(msg.Data))
		msg.Data = (&entry{kind: base, seen: e.seen, stamp: e.stamp}).encode()
	}
	return msg
}

// decodeMessage reads the entry of a message.
func decodeMessage(data []byte, header nats.Header) (*entry, error) {
	text := header.Get(headerEntry)
	if text == "" {
		return decode(data)
	}
	inHeader, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return nil, errMalformed
	}
	return decode(inHeader)
}

func appendNames(b []byte, names []string) []byte {
	b = binary.AppendUvarint(b, uint64(len(names)))
	for _, name := range names {
		b = appendBytes(b, []byte(name))
	}
	return b
}

func appendPlace(b []byte, p place) []byte {
	b = binary.AppendUvarint(b, p.message)
	b = binary.AppendUvarint(b, uint64(p.head))
	b = binary.AppendUvarint(b, uint64(p.fingerprint))
	return binary.AppendVarint(b, p.stamp)
}

func recordSize(r *eventlog.Record) int {
	return 64 + len(r.Source) + len(r.WABAID) + len(r.Type) + len(r.BusinessPhone) + len(r.Payload) + len(r.Raw)
}

func appendRecord(b []byte, r *eventlog.Record) []byte {
	b = append(b, r.ID[:]...)
	b = append(b, byte(r.Severity), byte(r.WABASource))
	b = binary.AppendUvarint(b, uint64(max(r.Horizon.Microseconds(), 0)))
	if r.OccurTime.IsZero() {
		b = append(b, 0)
	} else {
		b = binary.AppendVarint(append(b, 1), r.OccurTime.Unix())
		b = binary.AppendUvarint(b, uint64(r.OccurTime.Nanosecond()))
	}
	for _, text := range []string{r.Source, r.WABAID, r.Type, r.BusinessPhone} {
		b = append(binary.AppendUvarint(b, uint64(len(text))), text...)
	}
	return appendBytes(appendBytes(b, r.Payload), r.Raw)
}

func appendBytes(b, bytes []byte) []byte {
	return append(binary.AppendUvarint(b, uint64(len(bytes))), bytes...)
}

func timeOf(stamp int64) time.Time { return time.UnixMicro(stamp).UTC() }

// decoder reads a body; once something is missing it is bad and reads zeros.
type decoder struct {
	rest []byte
	bad  bool
}

func (d *decoder) take(n uint64) []byte {
	if d.bad || n > uint64(len(d.rest)) {
		d.bad = true
		return nil
	}
	b := d.rest[:n:n]
	d.rest = d.rest[n:]
	return b
}

func (d *decoder) bytes() []byte { return d.take(d.uvarint()) }

func (d *decoder) byte() byte {
	if b := d.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (d *decoder) uvarint() uint64 {
	v, n := binary.Uvarint(d.rest)
	d.skip(n)
	return v
}

func (d *decoder) varint() int64 {
	v, n := binary.Varint(d.rest)
	d.skip(n)
	return v
}

// upTo reads a number that is at most so large where an entry was encoded.
func (d *decoder) upTo(most uint64) uint64 {
	v := d.uvarint()
	if v > most {
		d.bad = true
		return 0
	}
	return v
}

func (d *decoder) skip(n int) {
	if n <= 0 {
		d.bad = true
		return
	}
	d.take(uint64(n))
}

// count is how many records follow, each of which takes more than a byte.
func (d *decoder) count() uint64 {
	n := d.uvarint()
	if n > uint64(len(d.rest)) {
		d.bad = true
		return 0
	}
	return n
}

func (d *decoder) names() []string {
	var all []string
	for range d.upTo(maxObjects) {
		all = append(all, string(d.bytes()))
	}
	return all
}

func (d *decoder) place() place {
	return place{
		message:     d.uvarint(),
		head:        eventlog.Sequence(d.uvarint()),
		fingerprint: uint32(d.uvarint()),
		stamp:       d.varint(),
	}
}

func (d *decoder) record() eventlog.Record {
	var r eventlog.Record
	copy(r.ID[:], d.take(uint64(len(r.ID))))
	r.Severity = eventlog.Severity(d.byte())
	r.WABASource = eventlog.WABASource(d.byte())
	r.Horizon = time.Duration(d.upTo(uint64(math.MaxInt64/time.Microsecond))) * time.Microsecond
	if d.byte() != 0 {
		seconds := d.varint()
		r.OccurTime = time.Unix(seconds, int64(d.upTo(uint64(time.Second-1)))).UTC()
	}
	for _, text := range []*string{&r.Source, &r.WABAID, &r.Type, &r.BusinessPhone} {
		*text = string(d.bytes())
	}
	r.Payload, r.Raw = d.bytes(), d.bytes()
	return r
}
