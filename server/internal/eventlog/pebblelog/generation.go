package pebblelog

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"slices"
	"strings"

	"github.com/wabastream/wabastream/server/internal/eventlog"
)

// generation is the index of some records that follow each other, in memory.
type generation struct {
	last    eventlog.Sequence
	records []indexed
	lists   map[list][]uint32 // places in records, ascending
}

// list is one list of the index: the records of an account, a phone or a type.
type list struct {
	kind byte
	text string
}

// indexed is what the index keeps of a record.
type indexed struct {
	id    eventlog.ID
	entry idEntry
	size  uint32 // of the stored value
}

// placed is a record in its place, as the index takes it.
type placed struct {
	indexed
	header *eventlog.Header
}

func (s *staged) placedAt(p point) placed {
	return placed{indexedAt(p, s.header.ID, s.horizon, len(s.value)), &s.header}
}

// placedAgain is the same of a record that is stored already.
func placedAgain(s *stored) placed {
	header := s.header
	return placed{indexedAt(s.point, header.ID, s.horizon, s.size), &header}
}

func indexedAt(p point, id eventlog.ID, horizon int64, size int) indexed {
	return indexed{id: id, entry: idEntry{seq: p.seq, stamp: p.stamp, horizon: horizon}, size: uint32(size)}
}

func (r *indexed) point() point {
	return point{seq: r.entry.seq, fingerprint: eventlog.FingerprintOf(r.id, timeOf(r.entry.stamp)), stamp: r.entry.stamp}
}

func newGeneration() *generation {
	return &generation{lists: make(map[list][]uint32)}
}

func (g *generation) add(r indexed, header *eventlog.Header) {
	place := uint32(len(g.records))
	g.records = append(g.records, r)
	g.last = r.entry.seq
	for kind, text := range indexTexts(header) {
		of := list{kind, text}
		g.lists[of] = append(g.lists[of], place)
	}
}

// find appends the records of a span that lists in a range name.
func (g *generation) find(found []eventlog.Sequence, r listRange, s span) []eventlog.Sequence {
	if !r.below {
		return g.appendWithin(found, g.lists[r.list], s)
	}
	for of, places := range g.lists {
		if of.kind == r.kind && strings.HasPrefix(of.text, r.text) {
			found = g.appendWithin(found, places, s)
		}
	}
	return found
}

func (g *generation) appendWithin(found []eventlog.Sequence, places []uint32, s span) []eventlog.Sequence {
	at := func(place uint32, seq eventlog.Sequence) int { return cmp.Compare(g.records[place].entry.seq, seq) }
	from, _ := slices.BinarySearchFunc(places, s.after+1, at)
	to, _ := slices.BinarySearchFunc(places, s.upTo+1, at)
	for _, place := range places[from:max(from, to)] {
		found = append(found, g.records[place].entry.seq)
	}
	return found
}

// pairs calls visit with every key of the index and its value, in order. The mark
// is one of them.
func (g *generation) pairs(visit func(key, value []byte) error) error {
	if err := g.idPairs(visit); err != nil {
		return err
	}
	if err := visit(indexMetaKey(), appendSequence(nil, g.last)); err != nil {
		return err
	}
	for _, l := range g.sorted() {
		for _, place := range l.places {
			r := &g.records[place]
			var value []byte
			if l.prefix[0] == typeKind {
				value = binary.AppendUvarint(nil, uint64(r.size))
			}
			if err := visit(appendSequence(l.prefix, r.entry.seq), value); err != nil {
				return err
			}
		}
	}
	return nil
}

// idPairs visits the newest entry of each id.
func (g *generation) idPairs(visit func(key, value []byte) error) error {
	order := slices.Clone(g.records)
	slices.SortFunc(order, func(a, b indexed) int {
		return cmp.Or(bytes.Compare(a.id[:], b.id[:]), cmp.Compare(a.entry.seq, b.entry.seq))
	})
	for i := range order {
		if i+1 < len(order) && order[i+1].id == order[i].id {
			continue
		}
		if err := visit(idKey(order[i].id), order[i].entry.encode()); err != nil {
			return err
		}
	}
	return nil
}

// prefixed is a list under the key prefix that its records have in the store.
type prefixed struct {
	prefix []byte
	places []uint32
}

func (g *generation) sorted() []prefixed {
	all := make([]prefixed, 0, len(g.lists))
	for of, places := range g.lists {
		all = append(all, prefixed{slices.Clip(appendIndexPrefix(nil, of.kind, of.text)), places})
	}
	slices.SortFunc(all, func(a, b prefixed) int { return bytes.Compare(a.prefix, b.prefix) })
	return all
}
