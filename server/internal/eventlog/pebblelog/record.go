package pebblelog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"slices"
	"time"

	"github.com/wabastream/wabastream/server/internal/eventlog"
)

// A record is stored as
//
//	version 1 byte | checksum 4 | stamp 8 | body
//
// The checksum (CRC-32C) covers the body, the stamp and the sequence, so that an
// intact value at a wrong place is found too. The body is made by the caller of
// Append, in parallel; the committer only adds what it alone knows.
//
//	body: id 20 | severity 1 | WABA source 1 | horizon, microseconds (varint) |
//	      occur time (0, or 1, seconds (varint), nanoseconds (uvarint)) |
//	      source, WABA, type, phone, payload, raw (each: uvarint length, bytes)
//
// The layout is part of the stored format.
const (
	recordVersion = 1
	checksumAt    = 1
	stampAt       = checksumAt + 4
	bodyAt        = stampAt + 8
)

var (
	errChecksum  = errors.New("checksum does not match")
	errMalformed = errors.New("record is malformed")
	errMissing   = errors.New("record is missing")
)

func castagnoli() *crc32.Table { return crc32.MakeTable(crc32.Castagnoli) }

// staged is a record ready to be committed.
type staged struct {
	header  eventlog.Header
	horizon int64 // microseconds
	value   []byte
	bodySum uint32
}

func stage(r *eventlog.Record) staged {
	value := make([]byte, bodyAt, bodyAt+64+len(r.Source)+len(r.WABAID)+len(r.Type)+
		len(r.BusinessPhone)+len(r.Payload)+len(r.Raw))
	value[0] = recordVersion
	horizon := max(r.Horizon.Microseconds(), 0)
	value = append(value, r.ID[:]...)
	value = append(value, byte(r.Severity), byte(r.WABASource))
	value = binary.AppendVarint(value, horizon)
	value = appendTime(value, r.OccurTime)
	for _, text := range []string{r.Source, r.WABAID, r.Type, r.BusinessPhone} {
		value = append(binary.AppendUvarint(value, uint64(len(text))), text...)
	}
	for _, bytes := range [][]byte{r.Payload, r.Raw} {
		value = append(binary.AppendUvarint(value, uint64(len(bytes))), bytes...)
	}
	return staged{
		header:  r.Header,
		horizon: horizon,
		value:   value,
		bodySum: crc32.Checksum(value[bodyAt:], castagnoli()),
	}
}

func appendTime(b []byte, t time.Time) []byte {
	if t.IsZero() {
		return append(b, 0)
	}
	b = binary.AppendVarint(append(b, 1), t.Unix())
	return binary.AppendUvarint(b, uint64(t.Nanosecond()))
}

// seal completes the value with what is known at the commit.
func (s *staged) seal(seq eventlog.Sequence, stamp int64) {
	binary.LittleEndian.PutUint64(s.value[stampAt:], uint64(stamp))
	binary.LittleEndian.PutUint32(s.value[checksumAt:], checksum(s.bodySum, s.value, seq))
}

func checksum(bodySum uint32, value []byte, seq eventlog.Sequence) uint32 {
	var rest [16]byte
	copy(rest[:8], value[stampAt:bodyAt])
	binary.LittleEndian.PutUint64(rest[8:], uint64(seq))
	return crc32.Update(bodySum, castagnoli(), rest[:])
}

// stored is a record read back. Its payload and raw point into the store's
// memory; its texts do not.
type stored struct {
	point
	header       eventlog.Header
	horizon      int64
	payload, raw []byte
	size         int // of the stored value
}

// entry copies a stored record for a caller.
func (l *Log) entry(s *stored, raw bool) eventlog.Entry {
	e := eventlog.Entry{
		Record: eventlog.Record{
			Header:  s.header,
			Horizon: time.Duration(s.horizon) * time.Microsecond,
		},
		Position:   l.position(s.point),
		AppendTime: timeOf(s.stamp),
	}
	own := make([]byte, 0, len(s.payload)+len(s.raw))
	own = append(own, s.payload...)
	e.Payload = slices.Clip(own)
	if raw {
		own = append(own, s.raw...)
		e.Raw = own[len(e.Payload):]
	}
	return e
}

// decode verifies a value and reads it. Texts are taken from names, so that a
// scan does not allocate the same few types and accounts again and again.
func decode(seq eventlog.Sequence, value []byte, names names) (stored, error) {
	var s stored
	if len(value) < bodyAt {
		return s, errMalformed
	}
	if value[0] != recordVersion {
		return s, fmt.Errorf("record has version %d; this program reads version %d", value[0], recordVersion)
	}
	sum := crc32.Checksum(value[bodyAt:], castagnoli())
	if checksum(sum, value, seq) != binary.LittleEndian.Uint32(value[checksumAt:]) {
		return s, errChecksum
	}
	s.seq = seq
	s.size = len(value)
	s.stamp = int64(binary.LittleEndian.Uint64(value[stampAt:]))
	d := decoder{rest: value[bodyAt:]}
	copy(s.header.ID[:], d.take(uint64(len(s.header.ID))))
	s.header.Severity = eventlog.Severity(d.byte())
	s.header.WABASource = eventlog.WABASource(d.byte())
	s.horizon = d.varint()
	s.header.OccurTime = d.time()
	for _, text := range []*string{&s.header.Source, &s.header.WABAID, &s.header.Type, &s.header.BusinessPhone} {
		*text = names.of(d.take(d.uvarint()))
	}
	s.payload = d.take(d.uvarint())
	s.raw = d.take(d.uvarint())
	if d.bad || len(d.rest) != 0 {
		return s, errMalformed
	}
	s.fingerprint = eventlog.FingerprintOf(s.header.ID, timeOf(s.stamp))
	return s, nil
}

// names holds one copy of each text met.
type names map[string]string

func (n names) of(b []byte) string {
	if s, ok := n[string(b)]; ok {
		return s
	}
	s := string(b)
	if n != nil {
		n[s] = s
	}
	return s
}

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
	b := d.rest[:n]
	d.rest = d.rest[n:]
	return b
}

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

func (d *decoder) skip(n int) {
	if n <= 0 {
		d.bad = true
		return
	}
	d.take(uint64(n))
}

func (d *decoder) time() time.Time {
	if d.byte() == 0 {
		return time.Time{}
	}
	seconds, nanos := d.varint(), d.uvarint()
	return time.Unix(seconds, int64(nanos)).UTC()
}
