package pebblelog

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"github.com/wabastream/wabastream/server/internal/eventlog"
)

// posted is one key of an index, or of ids, and the record it names.
type posted struct {
	key   []byte // valid until the next one
	seq   eventlog.Sequence
	entry idEntry // of an id
}

// eachPosted calls do with every key of a kind that should name a record, and
// malformed with what is no key. Keys at or below the log's start are left behind by
// records that could not be read when they were trimmed, or are ids of trimmed ones.
func (v *verifier) eachPosted(kind byte, malformed func(key []byte), do func(posted) error) error {
	iter, err := v.log.db.NewIter(&pebble.IterOptions{LowerBound: []byte{kind}, UpperBound: []byte{kind + 1}})
	if err != nil {
		return err
	}
	defer iter.Close()
	for ok := iter.First(); ok; ok = iter.Next() {
		p, err := readPosted(kind, iter.Key(), iter.Value())
		if err != nil {
			malformed(iter.Key())
			continue
		}
		if p.seq <= v.start || p.entry.removed {
			continue
		}
		if err := do(p); err != nil {
			return err
		}
	}
	return iter.Error()
}

func readPosted(kind byte, key, value []byte) (posted, error) {
	if kind == idKind {
		e, err := decodeID(value)
		if len(key) != len(idKey(eventlog.ID{})) {
			err = errMalformed
		}
		return posted{key: key, seq: e.seq, entry: e}, err
	}
	text, ok := bytes.CutPrefix(key, []byte{kind})
	if n := len(text) - sequenceBytes; !ok || n < 2 || !bytes.Equal(text[n-2:n], []byte{0, 1}) {
		return posted{}, errMalformed
	}
	return posted{key: key, seq: sequenceOf(key)}, nil
}

func nameOf(kind byte) string {
	switch kind {
	case wabaKind:
		return "accounts"
	case phoneKind:
		return "phone numbers"
	case typeKind:
		return "types"
	default:
		return "ids"
	}
}

func problemOf(kind byte) ProblemKind {
	if kind == idKind {
		return ProblemID
	}
	return ProblemIndex
}

// sumIndex takes what the index has from the sums.
func (v *verifier) sumIndex(kind byte) error {
	malformed := func(key []byte) {
		v.found(Problem{Kind: problemOf(kind), Detail: fmt.Sprintf("the index of %s has a malformed entry of %d bytes", nameOf(kind), len(key))})
	}
	err := v.eachPosted(kind, malformed, func(p posted) error {
		if p.seq > v.mark {
			v.found(Problem{problemOf(kind), p.seq, p.seq, fmt.Sprintf("the index of %s names it, and should end at %d", nameOf(kind), v.mark)})
			return v.step()
		}
		var value []byte
		if kind == idKind {
			value = p.entry.encode()
		}
		*v.groupOf(p.seq).of(kind) -= v.hash(p.key, value)
		return v.step()
	})
	if err != nil && pebble.IsCorruptionError(err) {
		v.skipped[kind] = true
		v.found(Problem{Kind: problemOf(kind), Detail: fmt.Sprintf("the index of %s cannot be read: %s", nameOf(kind), firstLine(err))})
		return nil
	}
	return err
}

// suspect reports whether records and index of a group differ.
func (v *verifier) suspect(g *sums, kind byte) bool { return *g.of(kind) != 0 && !v.skipped[kind] }

// compare looks up each record of a suspect group.
func (v *verifier) compare(i eventlog.Sequence) error {
	g := v.groups[i]
	if !slices.ContainsFunc(indexKinds(), func(kind byte) bool { return v.suspect(g, kind) }) {
		return nil
	}
	after := v.start + i*groupRecords
	s := span{after: after, upTo: min(after+groupRecords, v.mark)}
	return v.eachRecord(s, func(s *stored) error {
		for _, key := range keysOf(s) {
			if !v.suspect(g, key[0]) {
				continue
			}
			if err := v.lookUp(key, s.seq); err != nil {
				return err
			}
		}
		if !v.suspect(g, idKind) {
			return v.ctx.Err()
		}
		return errors.Join(v.lookUpID(s), v.ctx.Err())
	}, func(*eventlog.CorruptError) {}) // reported already
}

func (v *verifier) lookUp(key []byte, seq eventlog.Sequence) error {
	_, closer, err := v.log.db.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		v.found(Problem{ProblemIndex, seq, seq, "missing from the index of " + nameOf(key[0])})
		return nil
	}
	if err != nil {
		return err
	}
	return closer.Close()
}

// lookUpID wants the id to lead to the record, or to a later one with the same id.
func (v *verifier) lookUpID(s *stored) error {
	e, ok, err := v.log.storedID(s.header.ID)
	switch {
	case errors.Is(err, errMalformed):
		return nil // reported already
	case err != nil:
		return err
	case !ok:
		v.found(Problem{ProblemID, s.seq, s.seq, "its id is not known"})
	case e.seq < s.seq:
		v.found(Problem{ProblemID, s.seq, s.seq, "its id leads to an earlier record"})
	}
	return nil // whether e.seq has that id is looked at from the other side
}

// findStrays looks up each record that the index names in a suspect group.
func (v *verifier) findStrays() error {
	for _, kind := range indexKinds() {
		if !v.anySuspect(kind) {
			continue
		}
		err := v.eachPosted(kind, func([]byte) {}, func(p posted) error {
			if p.seq > v.mark || !v.suspect(v.groupOf(p.seq), kind) || v.unreadable(p.seq) {
				return nil
			}
			return errors.Join(v.checkPosted(kind, p), v.ctx.Err())
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// unreadable reports whether a record is in a part that could not be read. To try
// again takes Pebble long: it looks for the one bit that is wrong.
func (v *verifier) unreadable(seq eventlog.Sequence) bool {
	_, found := slices.BinarySearchFunc(v.corrupt, seq, func(s span, seq eventlog.Sequence) int {
		switch {
		case s.upTo < seq:
			return -1
		case s.after >= seq:
			return 1
		default:
			return 0
		}
	})
	return found
}

func (v *verifier) anySuspect(kind byte) bool {
	for _, g := range v.groups {
		if v.suspect(g, kind) {
			return true
		}
	}
	return false
}

func (v *verifier) checkPosted(kind byte, p posted) error {
	fits := false
	err := v.log.withRecord(p.seq, func(s *stored) {
		if kind == idKind {
			fits = bytes.Equal(p.key, idKey(s.header.ID)) && p.entry == idEntryOf(s)
			return
		}
		fits = slices.ContainsFunc(keysOf(s), func(key []byte) bool { return bytes.Equal(key, p.key) })
	})
	_, removed := errors.AsType[*removedError](err)
	_, unreadable := errors.AsType[*eventlog.CorruptError](err)
	switch {
	case removed:
		v.found(Problem{problemOf(kind), p.seq, p.seq, fmt.Sprintf("the index of %s names it, and it was removed", nameOf(kind))})
	case unreadable: // reported as a record
	case err != nil:
		return err
	case !fits:
		v.found(Problem{problemOf(kind), p.seq, p.seq, fmt.Sprintf("the index of %s names it wrongly", nameOf(kind))})
	}
	return nil
}
