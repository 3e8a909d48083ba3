// Package eventlog is the contract of the durable log that stands between the
// webhook front and the event stream, and the types it is written in.
//
// The log stores opaque payload bytes under a [Header]. It never learns what an
// event is: filters run on headers, so backends need no protobuf and the hot
// path never decodes a payload.
//
// What every backend guarantees is written on [Log]; package eventlogtest holds
// the conformance suite. What none of them does: interpret, re-encode or
// attribute anything. A header is decided before Append and never changes.
package eventlog

import (
	"context"
	"encoding/base32"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash/crc32"
	"slices"
	"time"
)

// Limits of one record and one append. Whoever builds records keeps to them;
// Append refuses what does not with [ErrTooLarge].
const (
	// MaxTextBytes bounds each text of a header.
	MaxTextBytes = 256
	// MaxRecordBytes bounds payload and raw together.
	MaxRecordBytes = 2<<20 - 16<<10
	// MaxAppendRecords bounds the records of one append.
	MaxAppendRecords = 4096
	// MaxAppendBytes bounds payload and raw of all records of one append.
	MaxAppendBytes = 16 << 20
)

// Sequence is a place in one log: strictly increasing along it, with gaps.
// Zero stands before the first record.
type Sequence uint64

// LogID identifies a log. It is made at random when the store is created, so a
// wiped or recreated store has another one.
type LogID [8]byte

// String returns the id as 16 lower-case hexadecimal digits.
func (id LogID) String() string { return hex.EncodeToString(id[:]) }

// ID identifies a record by its content. Two records with the same ID within
// the duplicate horizon are the same record.
type ID [20]byte

// idChars are what an ID is written in: base32 in the order of the alphabet, so that
// texts sort as ids do. idTextBytes is how many it takes.
const (
	idChars     = "0123456789abcdefghijklmnopqrstuv"
	idTextBytes = 32
)

// String returns the id as 32 characters of 0-9 and a-v.
func (id ID) String() string {
	var text [idTextBytes]byte
	return string(id.AppendTo(text[:0]))
}

// AppendTo appends what String returns. It is on the way of every event that is sent:
// making an encoding of package base32 for each costs ten times as much.
func (id ID) AppendTo(b []byte) []byte {
	for five := range slices.Chunk(id[:], 5) { // 40 bits are 8 characters
		group := uint64(0)
		for _, c := range five {
			group = group<<8 | uint64(c)
		}
		for shift := 35; shift >= 0; shift -= 5 {
			b = append(b, idChars[group>>shift&31])
		}
	}
	return b
}

// ParseID reads what [ID.String] returned. It accepts exactly that form.
func ParseID(s string) (ID, error) {
	var id ID
	if len(s) != idTextBytes {
		return id, fmt.Errorf("event id %.40q: want %d characters, have %d", s, idTextBytes, len(s))
	}
	encoding := base32.NewEncoding(idChars).WithPadding(base32.NoPadding)
	// The decoder passes over line breaks: only the exact form is an id.
	if _, err := encoding.Decode(id[:], []byte(s)); err != nil || id.String() != s {
		return id, fmt.Errorf("event id %.40q: want only 0-9 and a-v", s)
	}
	return id, nil
}

// Position is a place in a particular log, checkable: Fingerprint tells whether
// the record there is still the one it was when the position was handed out.
// The position before the first record has Sequence and Fingerprint zero. At a
// record that was removed or cannot be read the fingerprint is zero if it is not
// known; such a position cannot be checked.
type Position struct {
	Log         LogID
	Sequence    Sequence
	Fingerprint uint32
}

// WABASource says how a header's WABA was found. The values are stored.
type WABASource uint8

// The ways to find a WABA.
const (
	WABAUnknown    WABASource = 0
	WABAPayload    WABASource = 1
	WABAConfigured WABASource = 2
	WABALearned    WABASource = 3
)

// Severity orders records by urgency. The values are stored.
type Severity uint8

// The severities, least urgent first.
const (
	SeverityInfo     Severity = 1
	SeverityWarning  Severity = 2
	SeverityCritical Severity = 3
)

// Header is what the log knows of a record. Texts are valid UTF-8 of at most
// [MaxTextBytes] each.
type Header struct {
	// ID is the identity that duplicates are recognised by.
	ID ID
	// Source names the configured provider application; never empty.
	Source string
	// WABAID is empty when the WABA is unknown; WABASource is then WABAUnknown.
	WABAID     string
	WABASource WABASource
	// Type is a dotted path; never empty.
	Type string
	// BusinessPhone is normalised to digits where the provider sent digits;
	// empty when unknown.
	BusinessPhone string
	Severity      Severity
	// OccurTime is the provider's time; zero when unknown.
	OccurTime time.Time
}

// Record is what is appended.
type Record struct {
	Header
	// Payload is what most readers want; Raw what they seldom ask for. The log
	// keeps both as they are. Append keeps no reference to either once it has
	// returned.
	Payload, Raw []byte
	// Horizon is how long after this record's append a record with the same ID
	// is a duplicate of it. Zero or less: never.
	Horizon time.Duration
}

// Entry is a record as stored.
type Entry struct {
	Record
	// Position is where it stands.
	Position Position
	// AppendTime is the log's stamp, to the microsecond; it never decreases
	// along the log.
	AppendTime time.Time
}

// FingerprintOf computes a stored record's fingerprint, alike on every backend.
func FingerprintOf(id ID, appendTime time.Time) uint32 {
	var b [28]byte
	copy(b[:], id[:])
	binary.BigEndian.PutUint64(b[20:], uint64(appendTime.UnixMicro()))
	return crc32.Checksum(b[:], crc32.MakeTable(crc32.Castagnoli))
}

// Appended is the answer for one record.
type Appended struct {
	// Position is where the record stands: its own new place, or the place of
	// the first copy when Duplicate. Zero when that copy was trimmed; one that
	// TrimType removed may have its old place.
	Position Position
	// Duplicate says that the record was already there and was not stored again.
	Duplicate bool
}

// Bounds is one consistent view of what the log holds.
type Bounds struct {
	// Start is the position before the oldest record held: reading after it
	// yields everything. Sequence zero on a log that was never trimmed.
	Start Position
	// Head is the newest durable record; equal to Start on an empty log.
	Head Position
	// OldestTime and HeadTime are the stamps of the oldest and newest record;
	// zero on an empty log.
	OldestTime, HeadTime time.Time
	// TypeTrims are the types of which more was removed than up to Start, in no
	// particular order. Not to be changed.
	TypeTrims []TypeTrim
}

// TypeTrim says that the records of a type were removed up to a position that is
// after the log's start.
type TypeTrim struct {
	// Path selects types as a path of [Filter.Types] does.
	Path string
	// UpTo is where the last record stood that was removed of the type.
	UpTo Position
}

// StartFor returns the position after which the log holds everything that the
// filter selects: Start, or a later one where records of a type were removed that
// the filter may select. A nil filter selects everything.
func (b Bounds) StartFor(m *Matcher) Position {
	start := b.Start
	for _, t := range b.TypeTrims {
		if t.UpTo.Sequence > start.Sequence && m.MaySelect(t.Path) {
			start = t.UpTo
		}
	}
	return start
}

// Measure is what a part of the log takes.
type Measure struct {
	// UpTo is the last sequence looked at.
	UpTo Sequence
	// Records and their Bytes, as stored before any compression.
	Records, Bytes uint64
}

// Stats are sizes for people and dashboards; they may be a little old.
type Stats struct {
	// Records held.
	Records uint64
	// Bytes on disk.
	Bytes uint64
	// Reclaimable is the part of Bytes that the backend gives back by itself:
	// what was trimmed and what its own housekeeping leaves behind. It counts
	// what a trim removed from the moment the trim returns.
	Reclaimable uint64
}

// Query is one bounded read.
type Query struct {
	// After is exclusive. Forward: records after it. Reverse: records before
	// it, newest first; zero then means from the head.
	After Sequence
	// Until bounds a forward read, inclusive; zero means the durable head.
	Until Sequence
	// Reverse reads towards the start.
	Reverse bool
	// Filter selects records; nil selects all.
	Filter *Matcher
	// Held asks for what is still held, although retention has removed records
	// of some types after After that the filter may select. Records trimmed with
	// everything else (Bounds.Start) are ErrTrimmed all the same.
	Held bool
	// Limit is the most records to return, and Bytes closes the page once
	// payloads (and raws, if wanted) reach it; at least one record is returned
	// if any matches. Zero means 1,000 records and 1 MiB.
	Limit, Bytes int
	// Raw asks for Record.Raw; without it Raw is nil.
	Raw bool
}

// Page is the outcome of a read.
type Page struct {
	// Entries match the filter, in the direction of the read. They and the
	// bytes they point at belong to the caller.
	Entries []Entry
	// Scanned is the place up to which everything was looked at: continue
	// reading after it. It is never beyond the durable head, and its record
	// need not match, nor be there any more. A reverse read leaves its
	// Fingerprint zero.
	Scanned Position
	// More says that records up to the end of the query may remain. A page can
	// be empty and have More: implementations bound the work of one read.
	More bool
}

// Log is a durable, ordered, append-only log. Every method is safe for
// concurrent use.
//
// A log can fail for good: after a write or sync error nothing that follows can
// be trusted, so every later call returns an error that matches [ErrFailed],
// nothing is retried, and the process is expected to end and open it anew.
type Log interface {
	// Append stores one callback's records, at most [MaxAppendRecords], and
	// returns an answer for each once all of them are durable: on stable
	// storage, or replicated as the backend says. They are stored contiguously,
	// in order, all or none. The append time is stamped inside as max(clock,
	// last stamp). Concurrent callers share one sync.
	//
	// A record whose ID was appended within its horizon, also earlier in the
	// same call, is not stored again; the answer waits until the first copy is
	// durable.
	//
	// Errors: ErrTooLarge, ErrFull (try later), ErrClosed, ErrFailed, or the
	// context's. After the context's error the records may or may not be
	// stored; appending them again is safe.
	Append(ctx context.Context, records []Record) ([]Appended, error)

	// Read returns the next page of a query. It sees only durable records.
	//
	// Errors: ErrTrimmed when records after Query.After were trimmed (forward
	// only; of some types only: those that the filter may select, and not if
	// Query.Held), *CorruptError for records that cannot be read, ErrClosed,
	// ErrFailed, or the context's.
	Read(ctx context.Context, query Query) (Page, error)

	// Check tells whether a position handed out earlier may be read after. It
	// returns ErrOtherLog, ErrDiverged, ErrTrimmed, ErrAhead or nil.
	Check(ctx context.Context, position Position) error

	// Lookup returns the newest durable record with the id, or ErrNotFound.
	Lookup(ctx context.Context, id ID) (Entry, error)

	// Seek returns the position to read after in order to receive everything
	// stamped at or after t and nothing stamped before, as far as the log still
	// holds it. If the clock has passed t when Seek is called, the answer is
	// final: no record stamped before t becomes visible later.
	Seek(ctx context.Context, t time.Time) (Position, error)

	// Bounds returns the ends of the log, one consistent snapshot.
	Bounds(ctx context.Context) (Bounds, error)

	// Stats returns counts and sizes.
	Stats(ctx context.Context) (Stats, error)

	// Wait returns nil as soon as the durable head is after the sequence; at
	// once if it is already. No wake-up is missed between Read and Wait.
	// Errors: ErrClosed, ErrFailed, or the context's.
	Wait(ctx context.Context, after Sequence) error

	// Trim removes every record up to and including the sequence, which may
	// not be beyond the durable head. Bounds moves at once. IDs stay known for
	// their horizon. Idempotent; never blocks readers: a page already being
	// read is completed or ends in ErrTrimmed. It waits for the states of projections
	// ([Log.Project]).
	//
	// Errors: ErrAhead, ErrUnprojected, ErrClosed, ErrFailed, or the context's, after
	// which a part may be removed.
	Trim(ctx context.Context, upTo Sequence) error

	// TrimType removes the records up to and including the sequence, which may
	// not be beyond the durable head, whose type the path selects
	// ([Filter].Types), except the record at the head. Sequences do not change,
	// and everything else stays where it is. Bounds says at once how far it goes:
	// to the last record that there is to remove. [Log.Check] goes on accepting
	// positions of removed records, [Log.Lookup] does not find them, and
	// [Log.Seek] may return one. IDs stay known for their horizon. A record that
	// cannot be read stays. Idempotent; never blocks readers or appends: a page
	// already being read is completed or, unless Query.Held, ends in ErrTrimmed.
	//
	// The path has 1 to [MaxTextBytes] bytes. Errors are those of Trim.
	TrimType(ctx context.Context, path string, upTo Sequence) error

	// MeasureType sums up the records held after the sequence whose type the path
	// selects, in log order, until they take at least limit bytes or the durable
	// head is reached. A limit of zero is none. The path is as of TrimType. What
	// cannot be read may be left out. Errors: ErrClosed, ErrFailed, or the
	// context's.
	MeasureType(ctx context.Context, path string, after Sequence, limit uint64) (Measure, error)

	// Project begins to keep the state of a projection, from what the log holds of it
	// on, and returns it. Until Close, one goroutine of the log folds records in soon
	// after they are durable; appends do not wait for it. While they come at a great
	// rate it may leave them most of the machine and fall behind, unless somebody waits
	// for the state. Crashes take nothing from it that is not made again.
	//
	// From then on, and after every later opening until Project was called again with
	// the name, [Log.Trim] and [Log.TrimType] remove nothing that is not folded into
	// the state and its base: they see to it, or return ErrUnprojected. The base moves
	// only with them.
	//
	// Errors: those of [Projection.Check] and of a name that was given before,
	// ErrClosed, ErrFailed, or the context's.
	Project(ctx context.Context, projection Projection) (State, error)

	// Failed is closed when the log has failed for good; Err then tells why.
	// Closing the log does not close it.
	Failed() <-chan struct{}
	// Err returns the failure behind ErrFailed, or nil.
	Err() error

	// Close waits for appends under way and releases the store. Idempotent.
	// Waiters wake with ErrClosed; every later call returns ErrClosed.
	Close() error
}
