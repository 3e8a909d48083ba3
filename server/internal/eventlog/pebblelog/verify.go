package pebblelog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"maps"
	"slices"

	"github.com/wabastream/wabastream/server/internal/eventlog"
)

// ProblemKind says what a problem is with.
type ProblemKind string

// The kinds of problems.
const (
	// ProblemRecord: records cannot be read: they are missing, malformed, or do not
	// match their checksum.
	ProblemRecord ProblemKind = "record"
	// ProblemOrder: a record is stamped earlier than one before it.
	ProblemOrder ProblemKind = "order"
	// ProblemIndex: the index lacks a record, or names one that is not there.
	ProblemIndex ProblemKind = "index"
	// ProblemID: an id does not lead to the newest record that has it.
	ProblemID ProblemKind = "id"
	// ProblemTable: part of a table that only look-ups read cannot be read.
	ProblemTable ProblemKind = "table"
	// ProblemState: the state of a projection cannot be read, or is of no place that
	// the log holds.
	ProblemState ProblemKind = "state"
	// ProblemCount: the store holds another number of records than it says.
	ProblemCount ProblemKind = "count"
)

// Problem is something in a store that should not be so.
type Problem struct {
	Kind ProblemKind
	// First and Last are the records concerned, inclusive; zero for a problem of
	// the store as a whole.
	First, Last eventlog.Sequence
	// Detail says what is wrong.
	Detail string
}

// Verify reads everything in the store and compares each record with its checksum,
// its neighbours, and the index, in both directions. It tells report of each
// problem in turn, and progress, now and then, how much of the whole is done; both
// are called from this goroutine. It returns how many records could be read.
//
// Memory does not grow with the log, but for some 100 bytes for each 4,096 records.
// Errors: the context's, and those of a store that cannot be read at all.
func (r *Reader) Verify(ctx context.Context, report func(Problem), progress func(done, total uint64)) (records uint64, err error) {
	view := r.log.view.Load()
	v := &verifier{
		ctx: ctx, log: r.log, start: view.start.seq, head: view.head.seq, mark: min(r.mark, view.head.seq),
		report: report, progress: progress, seed: maphash.MakeSeed(), groups: make(map[eventlog.Sequence]*sums), skipped: make(map[byte]bool),
	}
	v.total = view.records() * (1 + uint64(len(indexKinds())))
	if err := v.run(); err != nil {
		return v.records, fmt.Errorf("verify: %w", err)
	}
	return v.records, nil
}

// groupRecords is how many sequences are compared with the index together.
const groupRecords = 4096

// verifier compares records and index by sums of hashes: what a group of records
// should be found by against what the index has for the group. Two reads of the
// whole store suffice, however large it is. Only groups whose sums differ are
// looked at key by key.
type verifier struct {
	ctx               context.Context //nolint:containedctx // one call's, like the rest of this struct
	log               *Log
	start, head, mark eventlog.Sequence
	report            func(Problem)
	progress          func(done, total uint64)
	done, total       uint64

	seed    maphash.Seed
	groups  map[eventlog.Sequence]*sums // by (sequence − start − 1) ÷ groupRecords
	skipped map[byte]bool               // kinds of index that cannot be read

	records uint64
	corrupt []span    // what cannot be read, in log order
	pending []Problem // at most one: it may still grow
}

// sums has for each kind of index the sum over the records less that over the
// index.
type sums [4]uint64

func (s *sums) of(kind byte) *uint64 { return &s[bytes.IndexByte(indexKinds(), kind)] }

func indexKinds() []byte { return []byte{wabaKind, phoneKind, typeKind, idKind} }

func (v *verifier) run() error {
	if err := v.sumRecords(); err != nil {
		return err
	}
	for _, kind := range indexKinds() {
		if err := v.sumIndex(kind); err != nil {
			return err
		}
	}
	for _, i := range slices.Sorted(maps.Keys(v.groups)) {
		if err := v.compare(i); err != nil {
			return err
		}
	}
	if err := v.findStrays(); err != nil {
		return err
	}
	if err := v.checkStates(); err != nil {
		return err
	}
	if err := v.checkFilters(); err != nil {
		return err
	}
	v.checkCount()
	v.flush()
	v.progress(v.total, v.total)
	return nil
}

// step counts work and looks at the context now and then.
func (v *verifier) step() error {
	if v.done++; v.done%groupRecords != 0 {
		return nil
	}
	v.progress(min(v.done, v.total), v.total)
	return v.ctx.Err()
}

// found reports a problem, joined with the one before if that is the same of the
// record before.
func (v *verifier) found(p Problem) {
	if len(v.pending) > 0 {
		last := &v.pending[0]
		if last.Kind == p.Kind && last.Detail == p.Detail && last.Last != 0 && last.Last+1 == p.First {
			last.Last = p.Last
			return
		}
	}
	v.flush()
	v.pending = append(v.pending, p)
}

func (v *verifier) flush() {
	for _, p := range v.pending {
		v.report(p)
	}
	v.pending = v.pending[:0]
}

// groupOf is where a record is compared with others. Groups without any take no
// memory: an import may leave out more than it holds.
func (v *verifier) groupOf(seq eventlog.Sequence) *sums {
	i := (seq - v.start - 1) / groupRecords
	g := v.groups[i]
	if g == nil {
		g = new(sums)
		v.groups[i] = g
	}
	return g
}

func (v *verifier) hash(key, value []byte) uint64 {
	return maphash.Bytes(v.seed, key) + 3*maphash.Bytes(v.seed, value)
}

// eachRecord calls do with every record in a span that can be read, and failed with
// every range that cannot.
func (v *verifier) eachRecord(s span, do func(*stored) error, failed func(*eventlog.CorruptError)) error {
	for !s.empty() {
		next, err := v.someRecords(s, do)
		corrupt, ok := errors.AsType[*eventlog.CorruptError](err)
		if err != nil && !ok {
			return err
		}
		if !ok {
			return nil
		}
		failed(corrupt)
		s = next.behind(max(corrupt.Last, next.first()))
	}
	return nil
}

// someRecords goes on until something cannot be read and returns what is left.
func (v *verifier) someRecords(s span, do func(*stored) error) (span, error) {
	src, err := v.log.scanOf(s)
	if err != nil {
		return s, err
	}
	defer src.close()
	for texts := (names{}); ; {
		if len(texts) > groupRecords {
			clear(texts)
		}
		found, err := src.next(texts)
		if errors.Is(err, errEnd) {
			return s, nil
		}
		if err != nil {
			return s, err
		}
		if err := do(&found); err != nil {
			return s, err
		}
		s = s.behind(found.seq)
	}
}

func (v *verifier) sumRecords() error {
	stamp := v.log.view.Load().start.stamp
	return v.eachRecord(span{after: v.start, upTo: v.head}, func(s *stored) error {
		v.records++
		if s.stamp < stamp {
			v.found(Problem{ProblemOrder, s.seq, s.seq, "stamped earlier than the record before"})
		}
		stamp = max(stamp, s.stamp)
		if s.seq <= v.mark {
			g := v.groupOf(s.seq)
			for _, key := range keysOf(s) {
				*g.of(key[0]) += v.hash(key, nil)
			}
			*g.of(idKind) += v.hash(idKey(s.header.ID), idEntryOf(s).encode())
		}
		return v.step()
	}, func(c *eventlog.CorruptError) {
		v.corrupt = append(v.corrupt, span{after: c.First - 1, upTo: c.Last})
		v.found(Problem{ProblemRecord, c.First, c.Last, firstLine(c.Cause)})
	})
}

// keysOf are the index keys by which a record should be found, besides its id.
func keysOf(s *stored) [][]byte {
	keys := [][]byte{indexKey(wabaKind, s.header.WABAID, s.seq), indexKey(typeKind, s.header.Type, s.seq)}
	if s.header.BusinessPhone != "" {
		keys = append(keys, indexKey(phoneKind, s.header.BusinessPhone, s.seq))
	}
	return keys
}

func idEntryOf(s *stored) idEntry {
	return idEntry{seq: s.seq, stamp: s.stamp, horizon: s.horizon}
}

func (v *verifier) checkCount() {
	said, err := v.log.Stats(v.ctx)
	if err == nil && len(v.corrupt) == 0 && said.Records != v.records {
		v.found(Problem{Kind: ProblemCount, Detail: fmt.Sprintf("holds %d records and says %d", v.records, said.Records)})
	}
}
